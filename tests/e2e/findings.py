"""What a test saw, in figures: for the one who reads its output, and for the table of tests.soak."""

from __future__ import annotations

from collections.abc import Callable

from tests.benchmarks.report import Goal

FIGURE, MISSED = "figure", "missed"
"""Names of the properties in pytest's report."""


class Findings:
    """Figures of one test.

    Bounds of time are judged by the soak only: on a machine with much else to do, they would fail tests that have found
    no mistake.

    :param record: pytest's ``record_property``.
    """

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self._record = record

    def figure(self, text: str) -> None:
        """What was seen, in a few words."""
        print(text)
        self._record(FIGURE, text)

    def most(self, what: str, measured: float, must: float, unit: str) -> None:
        """A measure that must not be more than *must*."""
        self.goal(Goal(what, measured, must, unit=unit))

    def goal(self, goal: Goal) -> None:
        """A measure and its bound."""
        self.figure(goal.verdict())
        if not goal.reached():
            self._record(MISSED, goal.what)
