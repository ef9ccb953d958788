"""Runs the tests, and shows what they say as they say it.

One run after the other, each by processes of pytest-xdist: the unit tests; those on real processes; and those of them
that speak HTTP once more, with Twisted's own in the place of skyproxy's (see stock_wire.py). Trial runs the unit tests
if it is named.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tests.chromium import chromium
from tests.e2e.sizes import FULL

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
    "--deselect=tests/e2e/test_stop.py::test_who_comes_while_it_stops_gets_an_answer_or_no_connection": (
        "Twisted's channel closes who has not asked yet"
    ),
    "--ignore=tests/e2e/test_upgrade.py": "Twisted's channel closes connections of which it has not said that they end",
    "--ignore=tests/e2e/test_in_front.py": "likewise",
    "--ignore-glob=tests/e2e/test_page*.py": "what it tells of the process does not depend on HTTP",
    **{
        f"--ignore=tests/e2e/test_{name}.py": "likewise"
        for name in (
            "access",
            "actions",
            "activation",
            "bodies",
            "budgets",
            "cache",
            "cache_redis",
            "capacity",
            "clock",
            "command",
            "commands",
            "commands_faults",
            "commands_running",
            "costs",
            "deploy",
            "docs_lines",
            "features",
            "forks",
            "front",
            "in_front",
            "instruments",
            "limits",
            "listen",
            "log",
            "log_trouble",
            "names",
            "notify",
            "now_after_changes",
            "openai_choices",
            "prometheus",
            "provider_killed",
            "proxy_killed",
            "random_slots",
            "reload",
            "reload_broken",
            "resilience",
            "service",
            "shared_limits",
            "shared_scripts",
            "shared_told",
            "should_retry",
            "spans",
            "start",
            "timelines",
            "tokens",
            "trust",
            "upgrade",
            "watch",
            "whatif",
            "windows",
            "with_game",
            "workers",
            "workers_flights",
            "workers_marks",
            "workers_shares",
            "workers_told",
        )
    },
}
"""What shows that skyproxy's wire does more than Twisted's, and so is left out with Twisted's; and why."""

BY_FILE = ("-n", "7", "--dist", "loadfile", "--no-loadscope-reorder", "-v", "-rsfE", "--durations=5")
"""A file's tests share its processes. Much of their time they wait, so that two cores run seven of them. The files come
in the order of conftest.py, not in that of how many tests they have. Tests that are skipped tell what they miss."""

FAILURE = re.compile(r"(?:FAILED|ERROR) (tests/\S+\.py::.+?)(?: - .*)?")
"""pytest's line, at the end, for a test that failed."""

TRIALS_NAME = re.compile(r"tests\.unit(?:\.\w+)+\.test_\w+")
"""A test's name, with which trial ends what it tells of it."""

FEW = 5
"""How many tests that failed are tried once more."""

ANNOUNCEMENT = re.compile(r"tests/\S+\.py::\S+ ?")
"""pytest-xdist's line for a test that begins; it shows another when the test is over."""


class Run(NamedTuple):
    """:ivar about: for ``--help``.
    :ivar arguments: of the interpreter's ``-m``; where the tests are comes last.
    :ivar settings: of the environment.
    """

    about: str
    arguments: tuple[str, ...]
    settings: dict[str, str]


RUNS = {
    "unit": Run(
        "the unit tests, by pytest",
        ("pytest", "-q", "-rsfE", "-p", "no:twisted", "-n", "2", "tests/unit"), {},
    ),
    "e2e": Run("the tests on real processes", ("pytest", *BY_FILE, "tests/e2e"), {}),
    "stock": Run(
        "those of them that speak HTTP, with Twisted's own",
        ("pytest", *BY_FILE, *NOT_ON_STOCK_WIRE, "tests/e2e"), {"SKYPROXY_TEST_WIRE": "stock"},
    ),
    "trial": Run("the unit tests, by trial", ("twisted.trial", "-j2", "--reporter=text", "tests.unit"), {}),
}  # fmt: skip
DEFAULT = ("unit", "e2e", "stock")

MODULES = {
    "pytest": "pytest",
    "xdist": "pytest-xdist",
    "pytest_twisted": "pytest-twisted",
    "hypothesis": "hypothesis",
    "openai": "openai",
    "twisted": "Twisted",
}
"""What must be importable: by its module, the package that has it."""


def missing() -> list[str]:
    """What no test runs without, and this interpreter has not."""
    lacks = [
        f"{package}: {sys.executable} -m pip install -e '.[test]'"
        for module, package in MODULES.items()
        if find_spec(module) is None
    ]
    if not lacks and not any(Path(sys.executable).parent.glob("twistd*")):
        lacks.append(f"twistd beside {sys.executable}: {sys.executable} -m pip install -e '.[test]'")
    return lacks


def left_out() -> list[str]:
    """What these tests cannot try here."""
    lacks = []
    if find_spec("playwright") is None or find_spec("axe_playwright_python") is None:
        lacks.append(f"{sys.executable} -m pip install -e '.[test]'")
    if chromium() is None:
        lacks.append("apt-get install chromium (or CHROMIUM=/path/of/chromium)")
    missed = [f"the page in a browser: {each}" for each in lacks]
    if shutil.which("promtool") is None or shutil.which("prometheus") is None:
        missed.append("metrics, dashboard and alerts in Prometheus: apt-get install prometheus")
    if shutil.which("redis-server") is None:
        missed.append("limits shared by a Redis: apt-get install redis-server")
    for program in ("haproxy", "nginx"):
        if shutil.which(program) is None:
            missed.append(f"what skyproxy deploy prints for {program}: apt-get install {program}")
    return missed


class Outcome(NamedTuple):
    """What became of a run.

    :ivar failed: the tests that failed, also when they were alone; or the run itself.
    :ivar unsteady: those that failed beside others, and passed alone.
    """

    failed: list[str]
    unsteady: list[str]


def shown(name: str, arguments: Sequence[str]) -> tuple[int, list[str]]:
    """Do a run of this name, its lines shown as they come; its exit code, and the tests that failed."""
    # Without bytecode, each of a thousand processes would compile the same modules anew.
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    failures: list[str] = []
    title = ""
    with subprocess.Popen(
        [sys.executable, "-m", *arguments], cwd=ROOT,
        env={**kept, "PYTHONUNBUFFERED": "1", **RUNS[name].settings},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as child:  # fmt: skip
        assert child.stdout is not None
        for line in map(str.rstrip, child.stdout):
            if not ANNOUNCEMENT.fullmatch(line):
                print(f"{name}: {line}", flush=True)
            if failure := FAILURE.fullmatch(line):
                failures.append(failure[1])
            elif line.startswith("["):
                title = line
            elif title in ("[FAIL]", "[ERROR]") and TRIALS_NAME.fullmatch(line):
                failures.append(line)
    return child.returncode, failures


def outcome_of(name: str) -> Outcome:
    """Do the run of this name. A few tests that fail are tried once more, alone: those that pass then depend on what
    runs beside them. They are named at the end, to be mended."""
    print(f"{name}: begins: {RUNS[name].about}", flush=True)
    began = time.monotonic()
    code, failures = shown(name, RUNS[name].arguments)
    outcome = Outcome(failures or [f"{name}, which ended with {code}"] if code else [], [])
    if code and 0 < len(failures) <= FEW:
        print(f"{name}: once more, alone: {', '.join(failures)}", flush=True)
        alone = ("-j1",) if name == "trial" else ("-n", "0")
        code, again = shown(name, (*RUNS[name].arguments[:-1], *alone, *failures))
        if not code:
            outcome = Outcome([], failures)
        elif again:
            outcome = Outcome(again, [each for each in failures if each not in again])
    print(f"{name}: {'FAILED' if outcome.failed else 'passed'} after {time.monotonic() - began:.0f} s", flush=True)
    return outcome


def main() -> int:
    """Do the runs that are named; 1 if one failed, or cannot be done here."""
    parser = argparse.ArgumentParser(
        prog="python -m tests", description="Run the tests.", formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{name:7}{run.about}" for name, run in RUNS.items()),
    )  # fmt: skip
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help=f"of {', '.join(RUNS)}; without any: {', '.join(DEFAULT)}"
    )
    parser.add_argument("--full", action="store_true", help="kill and flood at full size, for minutes more")
    given = parser.parse_args()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So a shell starts what shall run in the background; the tests' processes would ignore Ctrl-C, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    names = given.runs or DEFAULT
    if given.full:
        os.environ[FULL] = "1"
    if unknown := [name for name in names if name not in RUNS]:
        parser.error(f"no such run: {', '.join(unknown)} (there are {', '.join(RUNS)})")
    if lacks := missing():
        for what in lacks:
            print(f"missing: {what}", flush=True)
        print("FAILED: the tests cannot run here", flush=True)
        return 1
    if "e2e" in names:
        for what in left_out():
            print(f"left out: {what}", flush=True)
    outcomes = {name: outcome_of(name) for name in names}
    for name, outcome in outcomes.items():
        for test in outcome.unsteady:
            print(f"unsteady: {name}: {test} failed beside others, and passed alone", flush=True)
        for test in outcome.failed:
            print(f"FAILED: {name}: {test}", flush=True)
    failed = [name for name, outcome in outcomes.items() if outcome.failed]
    print(f"FAILED: {', '.join(failed)}" if failed else f"all passed: {', '.join(names)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
