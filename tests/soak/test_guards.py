"""The table of the guards, as shipped."""

from __future__ import annotations

from tests.e2e.conftest import Starter
from tests.e2e.findings import Findings
from tests.features.groups import guards
from tests.features.lab import Lab


def test_each_row_of_the_table(start: Starter, findings: Findings) -> None:
    lab = Lab(start)
    guards.show(lab, guards.SHIPPED)
    lines = [line for sheet in lab.sheets for line in sheet.table.lines]
    broken = [each for sheet in lab.sheets for each in sheet.broken]
    findings.figure(f"{len(lines) - len(broken)} of {len(lines)} situations as promised")
    assert not broken, broken
