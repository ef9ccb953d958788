"""Ten times too much load, as the benchmark makes it."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.bench import Bench
from tests.benchmarks.machine import find_tools
from tests.benchmarks.rows import overload
from tests.e2e.findings import Findings
from tests.e2e.sizes import size


def test_ten_times_too_much_load(findings: Findings, tmp_path: Path) -> None:
    table = overload.ten_times(Bench(find_tools(tmp_path), float(size(20, 3)), 1, False, tmp_path))
    assert not table.skipped, table.skipped
    for goal in table.goals:
        findings.goal(goal)
