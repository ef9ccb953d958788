"""A configuration is read when nobody writes it any more."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogEvent, Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import Config, ConfigError, Problem
from skyproxy.config.text_files import digests_of
from skyproxy.process import reloading as module
from skyproxy.process.reloading import Reloading
from tests.unit.configs import config_of
from tests.unit.process.workers_at_hand import Held

TEXT = """
providers:
  a: {base_url: "http://127.0.0.1:1001/v1"}
  b: {base_url: "http://127.0.0.1:1002/v1"}
model_slots:
  default: {provider: a, model: guard}
"""
START = 1_000_000.0


class ReloadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file, self.other = Path(folder.name) / "skyproxy.yaml", Path(folder.name) / ".env"
        self.clock = Clock()
        self.problems: list[Problem] = []
        self.paths: tuple[Path, ...] = (self.file,)
        self.loads = 0
        self.used: list[Config] = []
        self.events: list[LogEvent] = []
        self.patch(module, "_log", Logger(namespace="test", observer=self.events.append))
        self.over: list[bool] = []
        self.fulfilled: list[int] = []
        self.error: Exception | None = None
        self.digests: dict[Path, str] = {}
        self.thread = Held()
        self.patch(module, "Worker", lambda reactor, name: self.thread)
        self.reloading = Reloading(self.clock, self.load, self.is_over, lambda: START + self.clock.seconds())

    def is_over(self, number: int, problems: str | None) -> None:
        self.over.append(problems is None)
        self.fulfilled.append(number)

    def load(self) -> Config:
        self.loads += 1
        if self.error is not None:
            raise self.error
        if self.problems:
            raise ConfigError(self.problems)
        return config_of(TEXT).model_copy(update={"paths": self.paths, "digests": self.digests})

    def written(self, file: Path, ago: float) -> None:
        file.write_text("")
        when = START + self.clock.seconds() - ago
        os.utime(file, (when, when))

    def read(self) -> None:
        self.reloading.read((self.file,), self.used.append)

    def test_at_once(self) -> None:
        self.written(self.file, ago=1.0)
        self.read()
        self.assertEqual(len(self.used), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_while_it_is_written(self) -> None:
        self.written(self.file, ago=0.05)
        self.read()
        for _ in range(3):
            self.clock.advance(0.1)
            self.written(self.file, ago=0.0)
            self.clock.advance(0.1)
            self.assertEqual((self.loads, self.used), (0, []))
        self.clock.advance(0.2)
        self.assertEqual(len(self.used), 1)

    def test_another_file_that_is_written(self) -> None:
        self.written(self.file, ago=1.0)
        self.written(self.other, ago=0.0)
        self.paths = (self.file, self.other)
        self.read()
        self.assertEqual((self.loads, self.used), (1, []))
        self.clock.advance(0.25)
        self.assertEqual((self.loads, len(self.used)), (2, 1))

    def test_asked_again_meanwhile(self) -> None:
        self.written(self.file, ago=0.0)
        self.read()
        self.read()
        self.clock.advance(0.25)
        self.assertEqual(len(self.used), 1)

    def test_stopped_meanwhile(self) -> None:
        self.written(self.file, ago=0.0)
        self.read()
        self.reloading.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.reloading.stop()

    def test_written_for_ever(self) -> None:
        self.written(self.file, ago=0.0)
        self.read()
        for _ in range(150):
            self.clock.advance(0.1)
            self.written(self.file, ago=0.0)
        self.assertEqual((self.used, self.clock.getDelayedCalls()), ([], []))
        (event,) = self.events
        self.assertIn(str(self.file), event["problems"])

    def test_times_of_another_clock(self) -> None:
        self.written(self.file, ago=-3600.0)
        self.read()
        self.assertEqual(len(self.used), 1)

    def test_problems(self) -> None:
        self.problems.append(Problem("skyproxy.yaml", 3, "proxy.listen", "is no endpoint"))
        self.read()
        (event,) = self.events
        self.assertIn("proxy.listen", event["problems"])
        self.assertEqual((self.used, self.clock.getDelayedCalls()), ([], []))

    def test_its_end_is_told(self) -> None:
        self.written(self.file, ago=0.0)
        self.read()
        self.assertEqual(self.over, [])
        self.clock.advance(0.25)
        self.assertEqual(self.over, [True])
        self.problems.append(Problem("skyproxy.yaml", 3, "proxy.listen", "is no endpoint"))
        self.read()
        self.assertEqual(self.over, [True, False])

    def test_a_fault_is_told_and_ends_it(self) -> None:
        self.error = ZeroDivisionError()
        self.read()
        self.assertEqual((self.over, self.clock.getDelayedCalls()), ([False], []))
        self.assertEqual([event["log_level"].name for event in self.events], ["critical", "error"])
        self.flushLoggedErrors(ZeroDivisionError)

    def test_want_of_descriptors_passes(self) -> None:
        for error in (
            OSError(errno.EMFILE, "Too many open files"),
            RuntimeError("can't start new thread"),
            ConfigError([Problem("skyproxy.yaml", None, "", "cannot be read: Too many open files", passing=True)]),
        ):
            self.loads, self.over[:], self.events[:], self.used[:] = 0, [], [], []
            self.error = error
            self.read()
            self.assertEqual((self.loads, self.over), (1, [False]))
            for seconds, loads in ((0.9, 1), (0.2, 2), (2.1, 3), (4.1, 4), (8.1, 5), (16.1, 6), (30.1, 7), (30.1, 8)):
                self.clock.advance(seconds)
                self.assertEqual(self.loads, loads)
            self.assertEqual((self.over, len(self.events)), ([False], 1))
            self.error = None
            self.clock.advance(30.1)
            self.assertEqual((self.over, len(self.used)), ([False, True], 1))
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_want_of_descriptors_that_ends_in_another_problem(self) -> None:
        self.error = OSError(errno.ENFILE, "Too many open files in system")
        self.read()
        self.error = None
        self.problems.append(Problem("skyproxy.yaml", 3, "proxy.listen", "is no endpoint"))
        self.clock.advance(1.1)
        self.assertEqual((self.over, len(self.events)), ([False, False], 2))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_while_descriptors_are_waited_for(self) -> None:
        self.error = OSError(errno.EMFILE, "Too many open files")
        self.read()
        self.reloading.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    # While it is read.

    def begun(self) -> None:
        """It is being read."""
        self.written(self.file, ago=1.0)
        self.thread.holds = True
        self.read()
        self.assertEqual((self.loads, len(self.thread.jobs)), (0, 1))

    def test_wishes_while_it_is_read_are_fulfilled_once_after_it(self) -> None:
        self.begun()
        for _ in range(3):
            self.read()
        self.assertEqual(len(self.thread.jobs), 1)
        self.thread.release()
        self.assertEqual((len(self.used), self.fulfilled, self.reloading.requested), (1, [1], 4))
        self.thread.release()
        self.assertEqual((len(self.used), self.fulfilled, self.thread.jobs), (2, [1, 4], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_last_one_counts_if_the_first_cannot_be_read(self) -> None:
        for self.error in (ValueError("broken"), OSError(errno.EMFILE, "Too many open files")):
            self.used.clear()
            self.begun()
            self.read()
            self.thread.release()
            self.error = None
            self.thread.release()
            self.assertEqual((self.over[-2:], len(self.used)), ([False, True], 1))
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.loads = 0
        self.flushLoggedErrors(ValueError)

    def test_the_loop_waits_for_short_turns_alone(self) -> None:
        before = sys.getswitchinterval()
        turns: list[float] = []

        def load() -> Config:
            turns.append(sys.getswitchinterval())
            return self.load()

        self.patch(self.reloading, "_load", load)
        self.read()
        self.problems.append(Problem("skyproxy.yaml", None, "", "the file is empty"))
        self.read()
        self.assertEqual((len(turns), self.over), (2, [True, False]))
        self.assertLessEqual(max(turns), 0.001)
        self.assertEqual(sys.getswitchinterval(), before)

    def test_stopped_while_it_is_read(self) -> None:
        self.begun()
        self.read()
        self.reloading.stop()
        self.thread.release()
        self.clock.advance(60.0)
        self.assertEqual((self.used, self.over, self.thread.jobs), ([], [], []))

    def test_files_that_others_wrote_while_they_were_read(self) -> None:
        self.begun()
        self.digests = digests_of([self.file])
        job, done = self.thread.jobs.pop(0)

        def load_and_write() -> Config:
            config = self.load()
            self.file.write_text("more")
            # As a reading that takes longer finds it: it was a while ago.
            os.utime(self.file, (START - 1.0, START - 1.0))
            return config

        self.patch(self.reloading, "_load", load_and_write)
        done.callback(job())
        self.assertEqual((self.used, self.over), ([], []))
        self.digests = digests_of([self.file])
        self.patch(self.reloading, "_load", self.load)
        self.clock.advance(0.25)
        self.thread.release()
        self.assertEqual((len(self.used), self.over), (1, [True]))

    def test_a_file_that_went_while_it_was_read(self) -> None:
        self.begun()
        self.digests = digests_of([self.file])
        self.file.unlink()
        self.thread.release()
        self.assertEqual((len(self.used), self.over), (1, [True]))

    def test_what_this_process_has_written_meanwhile_is_read(self) -> None:
        self.begun()
        self.reloading.outdate()
        self.thread.release()
        self.assertEqual((self.used, self.over), ([], []))
        self.clock.advance(0.25)
        self.thread.release()
        self.assertEqual((len(self.used), self.over), (1, [True]))

    def test_problems_of_files_that_were_complete_before_they_were_told(self) -> None:
        self.begun()
        job, done = self.thread.jobs.pop(0)

        def load_and_write() -> Config:
            # As a machine that is busy finds it: it was a while ago.
            self.file.write_text("more")
            os.utime(self.file, (START - 0.5, START - 0.5))
            raise ConfigError([Problem("skyproxy.yaml", None, "", "the file is empty")])

        self.patch(self.reloading, "_load", load_and_write)
        try:
            read: Any = job()
        except ConfigError:
            read = Failure()
        done.callback(read)
        self.assertEqual((self.over, self.events), ([], []))
        self.patch(self.reloading, "_load", self.load)
        self.clock.advance(0.25)
        self.thread.release()
        self.assertEqual((len(self.used), self.over), (1, [True]))

    def test_problems_of_files_that_changed_meanwhile(self) -> None:
        self.begun()
        self.problems.append(Problem("skyproxy.yaml", None, "", "the file is empty"))
        self.written(self.file, ago=0.0)
        self.thread.release()
        self.assertEqual((self.over, self.events), ([], []))
        self.problems.clear()
        self.clock.advance(0.25)
        self.thread.release()
        self.assertEqual((len(self.used), self.over), (1, [True]))
