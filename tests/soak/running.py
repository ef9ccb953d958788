"""One row's tests, by a pytest of their own, and what they found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from tests.e2e.findings import FIGURE, MISSED
from tests.e2e.sizes import FULL
from tests.soak.rows import Row

ROOT = Path(__file__).resolve().parents[2]

PATIENCE = 1200.0
"""Seconds for a row."""

HOLDS, FAILS, NOT_TRIED = "yes", "NO", "not tried"


class Found(NamedTuple):
    """What a row's tests found.

    :ivar holds: HOLDS, FAILS or NOT_TRIED.
    :ivar seen: figures and counts, in words.
    :ivar troubles: what did not hold, each in a line.
    :ivar load: of the machine, a minute's average when it began.
    """

    row: Row
    holds: str
    seen: str
    troubles: list[str]
    seconds: float
    load: float


class Runner:
    """Runs rows, also several at a time from several threads.

    :param full: whether at full size.
    """

    def __init__(self, *, full: bool) -> None:
        self._full = full
        self._children: set[subprocess.Popen[str]] = set()

    def run(self, row: Row) -> Found:
        """Try *row*."""
        began, load = time.monotonic(), os.getloadavg()[0]
        with tempfile.TemporaryDirectory(prefix="skyproxy-soak-") as folder:
            report = Path(folder) / "report.xml"
            said = self._pytest(row, report)
            found = (
                read(report, bounds=self._full)
                if report.exists()
                else Report(troubles=[f"no report: {said.strip()[-300:]}"])
            )
        holds = FAILS if found.troubles else HOLDS if found.passed else NOT_TRIED
        return Found(row, holds, found.told(), found.troubles, time.monotonic() - began, load)

    def stop(self) -> None:
        """Have what runs end what it started."""
        for child in list(self._children):
            child.send_signal(signal.SIGINT)

    def _pytest(self, row: Row, report: Path) -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
        env = {key: value for key, value in os.environ.items() if key != FULL}
        if self._full:
            env[FULL] = "1"
        with subprocess.Popen(
            [*command, *(f"tests/{each}" for each in row.tests)], cwd=ROOT, env=env, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as child:  # fmt: skip
            self._children.add(child)
            try:
                said, _ = child.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    child.communicate(timeout=PATIENCE / 10)
                child.kill()
                said = f"it did not end within {PATIENCE:.0f} s"
            finally:
                self._children.discard(child)
        return said


class Report:
    """What pytest's report says."""

    def __init__(self, troubles: list[str] | None = None) -> None:
        self.passed = 0
        self.skipped: list[str] = []
        self.figures: list[str] = []
        self.troubles = troubles or []

    def told(self) -> str:
        """In a line."""
        parts = [*self.figures, f"{self.passed} {'check' if self.passed == 1 else 'checks'} passed"]
        if failed := len(self.troubles):
            parts.append(f"{failed} did not")
        if self.skipped:
            parts.append(f"{len(self.skipped)} skipped: {', '.join(sorted(set(self.skipped)))}")
        return "; ".join(parts)


def read(file: Path, *, bounds: bool = True) -> Report:
    """The report in *file*, in JUnit's XML, which our own pytest has written.

    :param bounds: whether bounds of time and memory count. Where rows run beside each other they say little.
    """
    report = Report()
    for case in ElementTree.parse(file).iter("testcase"):
        name = case.get("name", "?")
        values: dict[str, list[str]] = {FIGURE: [], MISSED: []}
        for each in case.iter("property"):
            values.setdefault(each.get("name", ""), []).append(each.get("value", ""))
        report.figures += values[FIGURE]
        missed = values[MISSED] if bounds else []
        report.troubles += [f"{name}: {what}" for what in missed]
        failures = [*case.findall("failure"), *case.findall("error")]
        skipped = case.find("skipped")
        if failures:
            report.troubles.append(f"{name}: {' '.join(failures[0].get('message', '').split())[:200]}")
        elif skipped is not None:
            report.skipped.append(skipped.get("message", ""))
        elif not missed:
            report.passed += 1
    return report
