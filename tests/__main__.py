"""Runs all tests: the unit tests by trial and by pytest, then those on real processes by pytest with pytest-twisted,
and once more with Twisted's own HTTP in the place of skyproxy's (see stock_wire.py).

Trial's reactor and pytest-twisted's do not share a process, so each run has one of its own. Two run at a time: those on
real processes mostly wait.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

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


class Run(NamedTuple):
    """:ivar settings: of the environment."""

    name: str
    arguments: list[str]
    settings: dict[str, str]


LANES = (
    (
        Run("unit tests by trial", ["twisted.trial", "--reporter=text", "tests.unit"], {}),
        Run("tests on real processes by pytest-twisted", ["pytest", "-q", "tests/e2e"], {}),
    ),
    (
        Run("unit tests by pytest", ["pytest", "-q", "-p", "no:pytest_twisted", "tests/unit"], {}),
        Run(
            "tests on real processes with Twisted's own HTTP",
            ["pytest", "-q", "tests/e2e", *NOT_ON_STOCK_WIRE],
            {"SKYPROXY_TEST_WIRE": "stock"},
        ),
    ),
)
"""What runs one after the other, beside the other."""


def failures(lane: tuple[Run, ...]) -> list[str]:
    """Do the runs of *lane*, and show what each said when it is over; the names of those that failed."""
    failed = []
    for run in lane:
        print(f"== begin: {run.name}", flush=True)
        command = [sys.executable, "-m", *run.arguments]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **run.settings}, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        print(f"== end: {run.name}\n{done.stdout}", flush=True)
        if done.returncode:
            failed.append(run.name)
    return failed


def main() -> int:
    """Do all; 1 if one failed."""
    with ThreadPoolExecutor(len(LANES)) as pool:
        failed = [name for names in pool.map(failures, LANES) for name in names]
    print(f"== failed: {', '.join(failed)}" if failed else "== all passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
