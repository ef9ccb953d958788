"""What the benchmarks say of the machine, and the other interpreter that they are given."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.benchmarks.bench import Bench
from tests.benchmarks.machine import Tools, find_interpreter, processor
from tests.e2e.processes import TWISTD

CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 23
model\t\t: 1
model name\t: AMD EPYC
cpu MHz\t\t: 1996.249
power management:

"""
"""Of each processor."""


class ProcessorTests(SynchronousTestCase):
    def test_its_generation_is_told(self) -> None:
        self.assertEqual(processor(2 * CPUINFO), "AMD EPYC, family 23, model 1, 1996 MHz")

    def test_what_is_not_told_is_left_out(self) -> None:
        self.assertEqual(processor("processor\t: 0\nBogoMIPS\t: 50.00\n"), platform.machine())


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
