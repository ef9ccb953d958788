from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from skyproxy.log import sinks
from skyproxy.log.sinks import FileSink, StreamSink
from tests.unit.log.events import folder_of

BATCH = b"one\ntwo\nthree\n"


class FileSinkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = folder_of(self) / "log"
        self.folder.mkdir()
        self.path = self.folder / "skyproxy.log"
        self.sink = FileSink(self.path)
        self.addCleanup(self.sink.close)

    def test_a_pipe_that_nobody_reads_is_waited_for_by_the_thread_alone(self) -> None:
        if not hasattr(os, "mkfifo"):
            raise SkipTest("no named pipes")
        os.mkfifo(self.path)
        error = self.assertRaises(OSError, self.sink.write, b"one\n")
        self.assertEqual(error.errno, errno.ENXIO)
        writing = Thread(target=self.sink.write, args=(b"two\n",), daemon=True)
        writing.start()
        with self.path.open("rb") as reader:
            self.assertEqual(reader.readline(), b"two\n")
        writing.join(30.0)

    def interrupt(self, after: int) -> None:
        """Let the disk be full after some more bytes."""
        write = os.write
        room = after

        def full(fd: int, data: bytes) -> int:
            nonlocal room
            if room == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            count = write(fd, bytes(data[:room]))
            room -= count
            return count

        patch = self.patch(os, "write", full)
        with self.assertRaises(OSError):
            self.sink.write(BATCH)
        patch.restore()

    def test_appends(self) -> None:
        self.path.write_bytes(b"old\n")
        self.sink.write(BATCH)
        self.sink.write(b"four\n")
        self.assertEqual(self.path.read_bytes(), b"old\n" + BATCH + b"four\n")

    def test_a_file_of_somebody_else_stays_as_it_is(self) -> None:
        line = b'{"timestamp":"2026-11-29T17:21:26.001Z","level":"INFO","message":"x"}\n'
        for theirs in (b"Dear diary,\n", b"SQLite format 3\0" + bytes(5000), b"{}", b"proxy:\n  log_file: this\n"):
            self.path.write_bytes(theirs)
            sink = FileSink(self.path, guarded=True)
            with self.assertRaisesRegex(OSError, "no log of skyproxy's"):
                sink.write(BATCH)
            with self.assertRaisesRegex(OSError, "no log of skyproxy's"):
                sink.open(None)
            self.assertEqual(self.path.read_bytes(), theirs)
        for ours in (b"", line, b'tamp": cut at its beginning\n' + line):
            self.path.write_bytes(ours)
            sink = FileSink(self.path, guarded=True)
            sink.write(BATCH)
            # Who rotates logs may begin the next file as they like.
            self.path.unlink()
            self.path.write_bytes(b"# rotated\n")
            sink.write(BATCH)
            self.assertEqual(self.path.read_bytes(), b"# rotated\n" + BATCH)
            sink.close()

    def test_nothing_is_made_before_the_first_write(self) -> None:
        self.assertFalse(self.path.exists())

    def test_for_its_owner_alone(self) -> None:
        if os.name != "posix":
            raise SkipTest("modes are POSIX")
        self.addCleanup(os.umask, os.umask(0))
        path = self.folder / "a" / "b" / "skyproxy.log"
        sink = FileSink(path)
        self.addCleanup(sink.close)
        sink.write(BATCH)
        modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent, path.parent.parent)]
        self.assertEqual([oct(mode) for mode in modes], ["0o600", "0o700", "0o700"])

    def test_moved(self) -> None:
        self.sink.write(BATCH)
        rotated = self.path.rename(self.folder / "skyproxy.log.1")
        self.sink.write(b"four\n")
        self.assertEqual((rotated.read_bytes(), self.path.read_bytes()), (BATCH, b"four\n"))

    def test_removed(self) -> None:
        self.sink.write(BATCH)
        self.path.unlink()
        self.sink.write(b"four\n")
        self.assertEqual(self.path.read_bytes(), b"four\n")

    def test_removed_with_its_folder(self) -> None:
        self.sink.write(BATCH)
        self.path.unlink()
        self.folder.rmdir()
        self.sink.write(b"four\n")
        self.assertEqual(self.path.read_bytes(), b"four\n")

    def test_removed_while_it_is_written(self) -> None:
        """What went into the removed file is written again."""
        write = os.write

        def removed_then_write(fd: int, data: bytes) -> int:
            self.path.unlink()
            self.patch(os, "write", write)
            return write(fd, data)

        self.sink.write(b"zero\n")
        self.patch(os, "write", removed_then_write)
        self.sink.write(BATCH)
        self.assertEqual(self.path.read_bytes(), BATCH)

    def test_moved_while_it_is_written(self) -> None:
        """What went into the moved file is not written twice."""
        write = os.write
        rotated = self.folder / "skyproxy.log.1"

        def moved_then_write(fd: int, data: bytes) -> int:
            self.path.rename(rotated)
            self.patch(os, "write", write)
            return write(fd, data)

        self.sink.write(b"zero\n")
        self.patch(os, "write", moved_then_write)
        self.sink.write(BATCH)
        self.assertEqual((rotated.read_bytes(), self.path.read_bytes()), (b"zero\n" + BATCH, b""))

    def test_goes_on_where_the_disk_was_full(self) -> None:
        self.interrupt(after=6)
        self.assertEqual(self.path.read_bytes(), b"one\ntw")
        self.sink.write(BATCH)
        self.sink.write(b"four\n")
        self.assertEqual(self.path.read_bytes(), BATCH + b"four\n")

    def test_emptied_to_make_room(self) -> None:
        self.interrupt(after=6)
        os.truncate(self.path, 0)
        self.sink.write(BATCH)
        self.assertEqual(self.path.read_bytes(), b"two\nthree\n")

    def test_moved_to_make_room(self) -> None:
        self.interrupt(after=6)
        self.path.rename(self.folder / "skyproxy.log.1")
        self.sink.write(BATCH)
        self.assertEqual(self.path.read_bytes(), b"two\nthree\n")

    def test_removed_to_make_room(self) -> None:
        self.interrupt(after=6)
        self.path.unlink()
        self.sink.write(BATCH)
        self.assertEqual(self.path.read_bytes(), BATCH)

    def test_cannot_be_opened(self) -> None:
        self.path.mkdir()
        with self.assertRaises(OSError):
            self.sink.write(BATCH)
        self.path.rmdir()
        self.sink.write(BATCH)
        self.assertEqual(self.path.read_bytes(), BATCH)

    def test_closed_and_written_again(self) -> None:
        self.sink.write(BATCH)
        self.sink.close()
        self.sink.write(b"four\n")
        self.assertEqual(self.path.read_bytes(), BATCH + b"four\n")

    def test_a_line_that_was_cut_spoils_no_other(self) -> None:
        self.path.write_bytes(b'{"a":1}\n{"b":')  # Who wrote it was killed in mid-line.
        self.sink.write(b'{"c":1}\n')
        self.assertEqual(self.path.read_bytes(), b'{"a":1}\n{"b":\n{"c":1}\n')

    def test_a_line_that_was_cut_keeps_nobody_from_the_start_while_the_disk_is_full(self) -> None:
        self.path.write_bytes(b'{"b":')

        def full(fd: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch = self.patch(os, "write", full)
        self.sink.open(None)
        with self.assertRaises(OSError) as raised:
            self.sink.write(BATCH)
        self.assertEqual((raised.exception.errno, raised.exception.filename), (errno.ENOSPC, str(self.path)))
        patch.restore()
        self.sink.write(BATCH)
        self.assertEqual(self.path.read_bytes(), b'{"b":\n' + BATCH)

    def test_whole_lines_are_followed_at_once(self) -> None:
        for before in (b"", b'{"a":1}\n'):
            self.path.write_bytes(before)
            sink = FileSink(self.path)
            sink.write(b'{"c":1}\n')
            sink.close()
            self.assertEqual(self.path.read_bytes(), before + b'{"c":1}\n')

    def count_openings(self) -> list[Path]:
        opened: list[Path] = []
        really_open = os.open

        def counting(path: Path, flags: int, mode: int) -> int:
            opened.append(path)
            self.assertLess(len(opened), 100)
            return really_open(path, flags, mode)

        self.patch(os, "open", counting)
        return opened

    def number_anew(self) -> None:
        """Let the number of a file be another at each look, as on some mapped drives."""
        numbers = count(1)

        def renumbered(look: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
            def looked(*args: Any, **options: Any) -> os.stat_result:
                found = list(look(*args, **options))
                found[1] = next(numbers)
                return os.stat_result(found)

            return looked

        for name in ("stat", "fstat"):
            self.patch(os, name, renumbered(getattr(os, name)))

    def test_a_file_that_never_seems_the_same_is_opened_anew_once_or_twice(self) -> None:
        self.number_anew()
        opened = self.count_openings()
        for _ in range(10):
            self.sink.write(BATCH)
        self.assertEqual(self.path.read_bytes(), 10 * BATCH)
        self.assertLessEqual(len(opened), 3)

    def test_a_file_that_never_seems_the_same_is_made_again_when_it_is_gone(self) -> None:
        self.number_anew()
        self.sink.write(BATCH)
        self.path.unlink()
        self.sink.write(b"four\n")
        self.assertEqual(self.path.read_bytes(), b"four\n")

    def test_windows_files_have_no_number(self) -> None:
        self.patch(sinks, "_NUMBERED", False)
        self.number_anew()
        opened = self.count_openings()
        for _ in range(10):
            self.sink.write(BATCH)
        self.interrupt(after=6)
        self.sink.write(BATCH)
        self.assertEqual(self.path.read_bytes(), 11 * BATCH)
        self.assertEqual(len(opened), 1)

    def test_a_relative_path_is_made_absolute_at_once(self) -> None:
        self.assertEqual(str(FileSink(Path("x.log"))), str(Path.cwd() / "x.log"))


class Stream(io.RawIOBase):
    """Takes a few bytes at a time; none when told so."""

    def __init__(self) -> None:
        self.taken = b""
        self.room = 4

    def write(self, data: memoryview) -> int | None:  # type: ignore[override]
        if not self.room:
            return None
        self.taken += bytes(data[: self.room])
        return len(data[: self.room])


class StreamSinkTests(SynchronousTestCase):
    def test_all_of_it_in_pieces(self) -> None:
        stream = Stream()
        StreamSink(stream).write(BATCH)
        self.assertEqual(stream.taken, BATCH)

    def test_goes_on_where_the_stream_took_no_more(self) -> None:
        stream = Stream()
        sink = StreamSink(stream)
        stream.room = 0
        with self.assertRaises(OSError):
            sink.write(BATCH)
        stream.room = 4
        sink.write(BATCH)
        sink.write(b"four\n")
        self.assertEqual(stream.taken, BATCH + b"four\n")

    def test_what_comes_after_the_end_waits_for_no_reader(self) -> None:
        if os.name != "posix":
            raise SkipTest("nobody tells there whether a pipe is full")
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        stream = os.fdopen(writer, "wb", buffering=0)
        self.addCleanup(stream.close)
        sink = StreamSink(stream)
        sink.write(b"first\n")
        sink.close()
        sink.write(b"late\n")
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while stream.write(bytes(4096)):
                continue
        os.set_blocking(writer, True)
        late = Thread(target=lambda: self.assertRaises(BlockingIOError, sink.write, b"later\n"), daemon=True)
        late.start()
        late.join(60.0)
        self.assertFalse(late.is_alive())
        self.assertTrue(os.read(reader, 100).startswith(b"first\nlate\n"))
