"""Runs all tests: the unit tests by trial and by pytest, then those on real processes by pytest with pytest-twisted,
and once more with Twisted's own HTTP in the place of skyproxy's (see stock_wire.py).

Trial's reactor and pytest-twisted's do not share a process, so each run has one of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

NOT_ON_STOCK_WIRE = {
    "--ignore=tests/e2e/test_server_wire.py": "Twisted's channel has no ServerLimits, and is less strict",
    "--ignore=tests/e2e/test_server_wire_tls.py": "likewise",
    "--deselect=tests/e2e/test_http.py::test_broken_providers[headers=100000-False]": (
        "Twisted's client takes any number of header fields"
    ),
    "--deselect=tests/e2e/test_values.py::test_too_much_from_a_provider_takes_bounded_memory[headers=100000]": (
        "likewise"
    ),
    "--deselect=tests/e2e/test_http.py::test_the_client_cannot_choose_the_upstream": (
        "Twisted's channel does not read targets in absolute form; it answers 404"
    ),
}
"""What shows that skyproxy's wire does more than Twisted's, and so is left out with Twisted's; and why."""

RUNS: tuple[tuple[str, list[str], dict[str, str]], ...] = (
    ("unit tests by trial", ["twisted.trial", "--reporter=text", "tests.unit"], {}),
    ("unit tests by pytest", ["pytest", "-q", "-p", "no:pytest_twisted", "tests/unit"], {}),
    ("tests on real processes by pytest-twisted", ["pytest", "-q", "tests/e2e"], {}),
    (
        "tests on real processes with Twisted's own HTTP",
        ["pytest", "-q", "tests/e2e", *NOT_ON_STOCK_WIRE],
        {"SKYPROXY_TEST_WIRE": "stock"},
    ),
)


def main() -> int:
    """Run them all; 1 if one failed."""
    failed = []
    for name, arguments, settings in RUNS:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", *arguments]
        if subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, check=False).returncode:
            failed.append(name)
    print(f"== failed: {', '.join(failed)}" if failed else "== all passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
