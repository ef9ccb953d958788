"""Runs all tests: the unit tests by trial and by pytest, then those on real processes by pytest with pytest-twisted.

Trial's reactor and pytest-twisted's do not share a process, so each run has one of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

RUNS = (
    ("unit tests by trial", ["twisted.trial", "--reporter=text", "tests.unit"]),
    ("unit tests by pytest", ["pytest", "-q", "-p", "no:pytest_twisted", "tests/unit"]),
    ("tests on real processes by pytest-twisted", ["pytest", "-q", "tests/e2e"]),
)


def main() -> int:
    """Run them all; 1 if one failed."""
    failed = []
    for name, arguments in RUNS:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, check=False).returncode:
            failed.append(name)
    print(f"== failed: {', '.join(failed)}" if failed else "== all passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
