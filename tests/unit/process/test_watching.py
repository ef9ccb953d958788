"""Files that change are noticed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from skyproxy.process import watching
from skyproxy.process.watching import LOOK_SECONDS, Watch


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file, self.other = Path(folder.name) / "proxy.yaml", Path(folder.name) / ".env"
        self.file.write_text("a")
        self.other.write_text("b")
        self.clock = Clock()
        self.changes = 0
        self.watch = Watch(self.clock, self.changed)
        self.watch.watch((self.file, self.other))

    def changed(self) -> None:
        self.changes += 1

    def look(self) -> int:
        """How many changes have been told after one more look."""
        self.clock.advance(LOOK_SECONDS)
        return self.changes

    def test_nothing_has_changed(self) -> None:
        self.assertEqual([self.look() for _ in range(3)], [0, 0, 0])

    def test_each_change_is_told_once(self) -> None:
        for number, file in enumerate((self.file, self.other), 1):
            file.write_text("longer")
            self.assertEqual([self.look(), self.look()], [number, number])

    def test_other_content_of_the_same_length(self) -> None:
        self.file.write_text("x")
        os.utime(self.file, (1, 1))
        self.assertEqual(self.look(), 1)

    def test_the_same_content_is_no_change(self) -> None:
        for time in (1, 2, 3):
            os.utime(self.file, (time, time))
            self.assertEqual(self.look(), 0)
        self.file.write_text("x")
        self.assertEqual(self.look(), 1)

    def test_one_whose_number_is_another_at_each_look(self) -> None:
        for numbered in (True, False):
            self.patch(watching, "_NUMBERED", numbered)
            numbers, stat = count(), Path.stat

            def renumbered(path: Path, numbers: Iterator[int] = numbers, stat: Any = stat) -> os.stat_result:
                found = list(stat(path))
                return os.stat_result([found[0], next(numbers), *found[2:]])

            self.patch(Path, "stat", renumbered)
            self.assertEqual([self.look() for _ in range(3)], [0, 0, 0])

    def test_one_that_was_replaced(self) -> None:
        """By another of the same length and time."""
        if os.name != "posix":
            raise SkipTest("files have no number")
        new = self.file.with_name("new")
        new.write_text("x")
        found = self.file.stat()
        os.utime(new, ns=(found.st_atime_ns, found.st_mtime_ns))
        new.replace(self.file)
        self.assertEqual(self.look(), 1)

    def test_one_that_cannot_be_read_now_is_looked_at_again(self) -> None:
        def locked(path: Path, mode: str) -> None:
            raise PermissionError

        patch = self.patch(Path, "open", locked)
        os.truncate(self.file, 0)
        self.assertEqual(self.look(), 0)
        patch.restore()
        self.assertEqual(self.look(), 1)

    def test_what_is_no_file_is_not_read(self) -> None:
        if not hasattr(os, "mkfifo"):
            raise SkipTest("there are no pipes")
        pipe = self.file.with_name("pipe")
        os.mkfifo(pipe)
        self.watch.watch((pipe,))
        self.assertEqual(self.look(), 0)
        os.utime(pipe, (1, 1))
        self.assertEqual(self.look(), 1)

    def test_one_that_is_gone_is_waited_for(self) -> None:
        self.file.unlink()
        self.assertEqual([self.look(), self.look()], [0, 0])
        self.file.write_text("back again")
        self.assertEqual([self.look(), self.look()], [1, 1])

    def test_one_that_is_gone_hides_no_change_of_another(self) -> None:
        self.other.unlink()
        self.file.write_text("longer")
        self.assertEqual([self.look(), self.look()], [1, 1])

    def test_other_files(self) -> None:
        self.watch.watch((self.other,))
        self.file.write_text("longer")
        self.assertEqual(self.look(), 0)

    def test_what_changed_since_the_last_look_is_not_missed_when_files_are_added(self) -> None:
        self.watch.watch((self.other,))
        self.other.write_text("longer")
        self.watch.watch((self.other, self.file))
        self.assertEqual([self.look(), self.look()], [1, 1])

    def test_no_more(self) -> None:
        self.watch.watch(())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.watch.watch(())
        self.watch.watch((self.file,))
        self.file.write_text("longer")
        self.assertEqual(self.look(), 1)

    def test_who_is_told_may_end_it(self) -> None:
        self.watch = Watch(self.clock, lambda: self.watch.watch(()))
        self.watch.watch((self.file,))
        self.file.write_text("longer")
        self.look()
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.func.__self__ is self.watch], [])
