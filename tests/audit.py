"""``python -m tests.audit SITE-PACKAGES``: known vulnerabilities of what is installed there, as pip-audit finds them.

Where it cannot look, since there is no network or the index tells no vulnerabilities, it says so, and does not fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, NamedTuple

PATIENCE = 120.0
"""Seconds."""


class Audit(NamedTuple):
    """What was found.

    :ivar lines: for people.
    :ivar vulnerable: whether anything is.
    """

    lines: list[str]
    vulnerable: bool


def read(report: str, said: str = "") -> Audit:
    """What pip-audit's *report* tells, in JSON.

    :param said: what it wrote besides.
    """
    try:
        found: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, LookupError, TypeError):
        reason = (said.strip().splitlines() or ["it said nothing"])[-1]
        return Audit([f"WARNING: COULD NOT LOOK FOR VULNERABILITIES: {reason}"], False)
    known = [each for each in found if "skip_reason" not in each and each["name"] != "skyproxy"]
    unknown = [each["name"] for each in found if "skip_reason" in each and each["name"] != "skyproxy"]
    lines = [
        f"VULNERABLE: {each['name']} {each['version']}: {vulnerability['id']}, mended in "
        f"{', '.join(vulnerability['fix_versions']) or 'no version yet'}"
        for each in known
        for vulnerability in each["vulns"]
    ]
    vulnerable = bool(lines)
    if known:
        lines.append(f"{len(known)} packages looked up")
    if unknown:
        lines.append(f"WARNING: THE INDEX TELLS NO VULNERABILITIES of {len(unknown)}: {', '.join(sorted(unknown))}")
    return Audit(lines, vulnerable)


def main(site_packages: str) -> int:
    """1 if something is known to be vulnerable."""
    command = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "-f", "json", "--path", site_packages]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        audit = read(done.stdout, done.stderr)
    except (OSError, subprocess.TimeoutExpired) as error:
        audit = read("", str(error))
    print("\n".join(audit.lines))
    return 1 if audit.vulnerable else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
