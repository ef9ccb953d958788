"""The table of rows, as it is shown and kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tests.benchmarks import report
from tests.soak.rows import ROWS
from tests.soak.running import Found

TITLE = """\
# Faults that skyproxy survives

Made by `python -m tests.soak --write`: real `twistd skyproxy` processes before real providers, on loopback, at full
size. "Load" is how many processes wanted a processor, on average, in the minute before the row began.
"""

COLUMNS = ("row", "what happens", "what must hold", "seen", "holds", "seconds", "load")
_PLACE = "rows"


def cells(found: Found) -> tuple[str, ...]:
    """A row's line."""
    row = found.row
    seen = f"{found.seen}. {row.note[0].upper()}{row.note[1:]}" if row.note else found.seen
    texts = (row.name, row.happens, row.must, seen, found.holds, f"{found.seconds:.0f}", f"{found.load:.1f}")
    return tuple(" ".join(text.replace("|", "/").split()) for text in texts)


def kept(document: str) -> dict[str, tuple[str, ...]]:
    """The lines that *document* has, by the row's name."""
    lines = (tuple(line.strip("| \n").split(" | ")) for line in re.findall(r"^\| T\d+ .*\|$", document, re.MULTILINE))
    return {line[0].strip(): tuple(cell.strip() for cell in line) for line in lines}


def markdown(lines: Mapping[str, tuple[str, ...]]) -> str:
    """The table of *lines*, in the order of the rows."""
    shown = [COLUMNS, ("---",) * len(COLUMNS), *(lines[row.name] for row in ROWS if row.name in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in shown)


def document(before: str, facts: Iterable[tuple[str, str]], found: Iterable[Found]) -> str:
    """The file of results: what was found now in the place of what stood there, the other rows as they were."""
    lines = {**kept(before), **{each.row.name: cells(each) for each in found}}
    text = report.keep(before or TITLE, "machine", report.machine_markdown(facts))
    return report.keep(text, _PLACE, markdown(lines))
