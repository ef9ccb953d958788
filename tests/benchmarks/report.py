"""Tables: how they are printed, judged, and kept in RESULTS.md."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

_INTRODUCTION = """\
# Results of the benchmarks

Made by `python -m tests.benchmarks --write`, which puts what it measures between the markers and keeps the rest.
"""

_BY_HAND = "## What was tried, what it gave, what bounds it"


@dataclass(frozen=True, slots=True)
class Goal:
    """What was to be reached.

    :ivar must: the bound; so is *aim*, which may be missing.
    :ivar at_least: whether more is better.
    """

    what: str
    measured: float
    must: float
    aim: float | None = None
    unit: str = ""
    at_least: bool = False

    def verdict(self) -> str:
        """One line."""
        unit = f" {self.unit}" if self.unit else ""
        parts = [f"{self.what}: {number(self.measured)}{unit}"]
        for name, bound in (("must", self.must), ("aim", self.aim)):
            if bound is not None:
                word = "reached" if self._reaches(bound) else "not reached"
                parts.append(f"{name} {'≥' if self.at_least else '≤'} {number(bound)}{unit} {word}")
        return "; ".join(parts)

    def reached(self) -> bool:
        """Whether the bound is kept."""
        return self._reaches(self.must)

    def _reaches(self, bound: float) -> bool:
        return self.measured >= bound if self.at_least else self.measured <= bound


@dataclass(slots=True)
class Table:
    """One table.

    :ivar about: how it was measured.
    :ivar skipped: what was not measured, and why.
    :ivar notes: what else is to be known.
    :ivar prose: whether the cells are words rather than numbers.
    """

    title: str
    columns: Sequence[str]
    about: str = ""
    lines: list[list[str]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    prose: bool = False

    def add(self, *cells: Any) -> None:
        """One line; numbers are rounded to three digits."""
        self.lines.append([each if isinstance(each, str) else number(each) for each in cells])

    def markdown(self) -> str:
        """The table, readable as it stands."""
        parts = [f"### {self.title}"]
        if self.about:
            parts.append(self.about)
        if self.lines:
            parts.append(_grid([list(self.columns), *self.lines], prose=self.prose))
        notes = [goal.verdict() for goal in self.goals]
        notes += [*self.notes, *(f"Not measured: {each}" for each in self.skipped)]
        if notes:
            parts.append("\n".join(f"- {note}" for note in notes))
        return "\n\n".join(parts) + "\n"


def number(value: float) -> str:
    """*value* with three digits that matter; a dash for NaN, a word for infinity."""
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "beyond"
    if isinstance(value, int) or abs(value) >= 999.5:
        return f"{round(value):,}"
    shown = f"{value:.3g}"
    return f"{float(shown):g}" if "e" in shown else shown


def ratio(part: float, whole: float) -> float:
    """*part* of *whole*; NaN if there is no whole."""
    return part / whole if whole else float("nan")


def percent(value: float) -> str:
    """A change as the founding document writes it: 0.5 is +50 %; a dash for NaN."""
    return "-" if math.isnan(value) else f"{value * 100:+.0f} %"


def _grid(lines: Sequence[Sequence[str]], *, prose: bool) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]

    def shown(line: Sequence[str]) -> str:
        first, *rest = (
            cell.rjust(width) if column and not prose else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return "| " + " | ".join([first, *rest]) + " |"

    rule = "|" + "|".join(
        ("-" * (width + 1) + ":") if column and not prose else "-" * (width + 2) for column, width in enumerate(widths)
    )
    return "\n".join([shown(lines[0]), rule + "|", *map(shown, lines[1:])])


def new_results(names: Iterable[str]) -> str:
    """The file of results, with room for the machine and for the tables that *names* name."""
    document = keep(_INTRODUCTION, "machine", "") + f"\n{_BY_HAND}\n\n## Tables\n"
    for name in names:
        document = keep(document, name, "")
    return document


def keep(document: str, name: str, content: str) -> str:
    """*document*, with *content* in the place that its markers call *name*; at the end if it has none yet."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    block = f"{begin}\n\n{content.strip()}\n\n{end}"
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if place.search(document):
        return place.sub(lambda _: block, document, count=1)
    return f"{document.rstrip()}\n\n{block}\n"


def machine_markdown(facts: Iterable[tuple[str, str]]) -> str:
    """What :func:`~tests.benchmarks.machine.describe` told, as a list."""
    return "\n".join(f"- {name}: {value}" for name, value in facts)


def quantile(values: Iterable[float], part: float) -> float:
    """The value below or at which *part* of *values* lie; NaN if there are none."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
