"""The command that shows what each feature does, with one group of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.e2e.processes import PATIENCE, ROOT, environment


def test_tables_of_slot_rules(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.features", "slots"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=6 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("| yes ") > 10 and "| NO " not in done.stdout
    assert '`{"max_completion_tokens": 50}`' in done.stdout and done.stdout.endswith("All as promised.\n")
