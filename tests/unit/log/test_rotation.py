"""skyproxy.log.rotation, by the sink that has it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.log import rotation, sinks
from skyproxy.log.rotation import Limits, Rotation
from skyproxy.log.sinks import FileSink
from tests.unit.log.events import folder_of

if sys.platform != "win32":
    import fcntl


def line(number: int) -> bytes:
    """One of a log."""
    return b'{"timestamp":"2026-01-01T12:00:00.000Z","level":"INFO","n":%05d}\n' % number


SIZE = 2 * len(line(0))


class RotationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = folder_of(self)
        self.path = self.folder / "skyproxy.log"
        self.sink = self.make(self.path)
        self.now = 0.0
        self.said: list[str] = []
        self.patch(rotation, "_log", Logger(namespace="test", observer=lambda event: self.said.append(str(event))))

    def make(self, path: Path, usual: Limits | None = None) -> FileSink:
        sink = FileSink(path)
        sink.rotation = Rotation(path, usual, lambda: self.now)
        sink.rotation.limits = Limits(SIZE, 2)
        self.addCleanup(sink.close)
        return sink

    def write(self, *numbers: int) -> None:
        for number in numbers:
            self.sink.write(line(number))

    def kept(self, name: str) -> list[int]:
        """What lies in the file *name*."""
        path = self.folder / name
        return [int(each[-6:-1]) for each in path.read_bytes().splitlines()] if path.exists() else []

    def test_full_files_get_numbers_and_the_last_goes(self) -> None:
        self.write(*range(9))
        self.assertEqual(self.kept("skyproxy.log"), [8])
        self.assertEqual(self.kept("skyproxy.log.1"), [6, 7])
        self.assertEqual(self.kept("skyproxy.log.2"), [4, 5])
        self.assertEqual(len(list(self.folder.iterdir())), 3)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_where_an_open_file_cannot_be_renamed_it_is_closed(self) -> None:
        self.patch(sinks, "_NUMBERED", False)
        replace = os.replace

        def careful(source: Any, target: Any) -> None:
            self.assertIsNone(self.sink._fd)
            replace(source, target)

        self.patch(os, "replace", careful)
        self.write(*range(5))
        self.assertEqual((self.kept("skyproxy.log.2"), self.kept("skyproxy.log.1")), ([0, 1], [2, 3]))
        self.assertEqual(self.kept("skyproxy.log"), [4])

    def test_a_file_that_another_program_has_open(self) -> None:
        for numbered in (True, False):
            self.patch(sinks, "_NUMBERED", numbered)
            self.path.unlink(missing_ok=True)
            self.said.clear()
            tries: list[Any] = []

            def refuse(source: Any, target: Any, tries: list[Any] = tries) -> None:
                tries.append(source)
                raise PermissionError(13, "it is being used by another process")

            refused = self.patch(os, "replace", refuse)
            self.write(*range(6))
            self.assertEqual(len(tries), 1)
            self.now += 60
            self.write(*range(6, 8))
            self.assertEqual(len(tries), 2)
            self.assertEqual(self.kept("skyproxy.log"), list(range(8)))
            self.assertEqual(len(self.said), 1)
            self.assertIn("used by another process", self.said[0])
            refused.restore()
            self.now += 60
            self.write(8)
            self.assertEqual((self.kept("skyproxy.log.1"), self.kept("skyproxy.log")), (list(range(8)), [8]))
            (self.folder / "skyproxy.log.1").unlink()
            self.now += 60

    def test_files_of_others_are_left_alone(self) -> None:
        (self.folder / "skyproxy.log.1").write_bytes(line(77))
        foreign = self.folder / "skyproxy.log.2"
        for make in (
            lambda: foreign.write_text("Dear diary\n"),
            lambda: foreign.write_text("2026-01-01T12:00:00.000Z Another program has begun\n"),
            lambda: foreign.write_text('{"timestamp":"2026-01-01T12:00:00Z","msg":"so has a third"}\n'),
            foreign.mkdir,
            lambda: foreign.symlink_to("x"),
        ):
            self.said.clear()
            self.now += 60
            make()
            self.write(*range(4))
            self.assertEqual(len(self.said), 1)
            self.assertIn("skyproxy.log.2 is no log of skyproxy's", self.said[0])
            self.assertEqual(self.kept("skyproxy.log.1"), [77])
            if foreign.is_dir() and not foreign.is_symlink():
                foreign.rmdir()
            else:
                foreign.unlink()
            self.now += 60
            self.path.write_bytes(b"")
            self.sink.rotation._failed_at = None

    def test_other_names_are_none_of_its_business(self) -> None:
        names = ("skyproxy.log.3", "skyproxy.log.2026", "skyproxy.log.old", "other.log.1")
        for name in names:
            (self.folder / name).write_bytes(line(77))
        self.write(*range(20))
        self.assertEqual([self.kept(name) for name in names], [[77]] * 4)

    def test_a_file_that_was_there_and_is_something_else(self) -> None:
        self.path.write_text("Dear diary\n" * 20)
        self.write(*range(5))
        self.assertEqual(len(list(self.folder.iterdir())), 1)
        self.assertTrue(self.path.read_text().startswith("Dear diary"))
        self.assertEqual(len(self.said), 1)

    def test_a_link(self) -> None:
        real = self.folder / "disk"
        real.mkdir()
        self.path.symlink_to(real / "x.log")
        self.write(*range(3))
        self.assertTrue(self.path.is_symlink())
        self.assertEqual(sorted(each.name for each in real.iterdir()), ["x.log", "x.log.1"])

    def test_devices_and_what_is_not_there(self) -> None:
        for path in (Path("/dev/null"), self.folder):
            self.assertFalse(self.make(path).rotation.is_due(10**9))
        self.assertFalse(self.sink.rotation.is_due(10**9))

    def test_a_batch_goes_into_one_file(self) -> None:
        self.sink.write(b"".join(map(line, range(10))))
        self.assertEqual(len(list(self.folder.iterdir())), 1)
        self.write(10)
        self.assertEqual(self.kept("skyproxy.log.1"), list(range(10)))

    def test_a_batch_that_is_half_written_is_finished_first(self) -> None:
        self.write(0)
        write = os.write

        def full(fd: int, data: Any) -> int:
            if len(data) <= 25:
                raise OSError(28, "No space left on device")
            return write(fd, bytes(data[:25]))

        failing = self.patch(os, "write", full)
        with self.assertRaises(OSError):
            self.sink.write(line(1))
        failing.restore()
        self.sink.rotation.limits = Limits(SIZE // 2, 2)
        self.sink.write(line(1))
        self.assertEqual(self.kept("skyproxy.log"), [0, 1])

    def test_limits(self) -> None:
        self.sink.rotation.limits = None
        self.write(*range(9))
        self.assertEqual(self.kept("skyproxy.log"), list(range(9)))
        usual = self.make(self.path, Limits(SIZE, 1))
        usual.rotation.limits = None
        usual.write(line(9))
        self.assertEqual(self.kept("skyproxy.log.1"), list(range(9)))

    def test_two_processes_write_one_log(self) -> None:
        other = self.make(self.path)
        for number in range(0, 6, 2):
            self.write(number)
            other.write(line(number + 1))
        kept = [number for name in ("skyproxy.log.2", "skyproxy.log.1", "skyproxy.log") for number in self.kept(name)]
        self.assertEqual(kept, list(range(6)))

    def test_who_locks_the_folder_does_not_stop_the_log(self) -> None:
        if sys.platform == "win32":
            raise SkipTest("Windows has no such lock")
        self.patch(rotation, "_LOCK_SECONDS", 0.01)
        folder = os.open(self.folder, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        self.write(*range(5))
        self.assertEqual(self.kept("skyproxy.log"), list(range(5)))
        self.assertEqual(len(self.said), 1)
        self.assertIn("another program has locked its folder", self.said[0])
        os.close(folder)
        self.now = 61.0
        self.write(5)
        self.assertEqual(self.kept("skyproxy.log"), [5])
        self.assertEqual(self.kept("skyproxy.log.1"), list(range(5)))

    def test_the_warning(self) -> None:
        events: list[Any] = []
        self.patch(rotation, "_log", Logger(namespace="test", observer=events.append))
        self.sink.rotation.rotate()
        self.assertEqual([formatEvent(event) for event in events], ["A log file cannot be rotated, it grows on"])
        self.assertEqual(events[0]["file"], str(self.path))
