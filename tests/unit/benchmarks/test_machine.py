"""The other interpreter that the benchmarks run skyproxy on, if they are given one."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.benchmarks.bench import Bench
from tests.benchmarks.machine import Tools, find_interpreter
from tests.e2e.processes import TWISTD


class InterpreterTests(SynchronousTestCase):
    def test_one_in_which_skyproxy_is_installed(self) -> None:
        found = find_interpreter(sys.executable)
        self.assertEqual(found.name, f"{platform.python_implementation()} {platform.python_version()}")
        bench = Bench(Tools(None, None, None, None), 1.0, 1, True, Path("none"), found)
        self.assertEqual(bench.ours(), {"skyproxy": TWISTD, f"skyproxy, {found.name}": found.twistd})

    def test_without_another_there_is_one(self) -> None:
        bench = Bench(Tools(None, None, None, None), 1.0, 1, True, Path("none"))
        self.assertEqual(bench.ours(), {"skyproxy": TWISTD})

    def test_what_is_none_is_refused(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        alone = folder / "python"
        alone.symlink_to(sys.executable)
        for python in ("/nowhere/python", "/bin/false", str(alone)):
            with self.assertRaisesRegex(ValueError, "skyproxy is installed"):
                find_interpreter(python)
