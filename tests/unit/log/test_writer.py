from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from time import sleep
from typing import Any, BinaryIO

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from skyproxy.log.sinks import FileSink, Sink
from skyproxy.log.writer import LogWriter
from tests.unit.log.events import folder_of

PATIENCE = 30.0
"""Seconds after which what should happen is taken not to."""


class Memory:
    """A sink in memory, that can be made to block or to fail.

    :ivar failures: errors to raise, one per attempt.
    :ivar attempts: calls of :meth:`write`.
    """

    def __init__(self) -> None:
        self.written = b""
        self.failures: list[Exception] = []
        self.attempts = 0
        self.attempted = threading.Event()
        self.open = threading.Event()
        self.open.set()
        self.reopened = threading.Event()

    def write(self, batch: bytes) -> None:
        self.attempts += 1
        self.attempted.set()
        assert self.open.wait(PATIENCE)
        if self.failures:
            raise self.failures.pop(0)
        self.written += batch

    def reopen(self) -> None:
        self.reopened.set()

    def close(self) -> None:
        self.open.set()


class WriterTestCase(SynchronousTestCase):
    def writer(self, sink: Sink, **options: Any) -> LogWriter:
        self.trouble: list[Exception] = []
        self.troubled = threading.Event()

        def troubled(error: Exception) -> None:
            self.trouble.append(error)
            self.troubled.set()

        options = {"flush_interval": 0.01, "retry_interval": 0.01, **options}
        return LogWriter(sink, lost=lambda count: b"lost %d\n" % count, trouble=troubled, **options)

    def stop(self, writer: LogWriter) -> None:
        done = threading.Event()
        writer.stop(done.set)
        self.assertTrue(done.wait(PATIENCE))


class LogWriterTests(WriterTestCase):
    def setUp(self) -> None:
        self.sink = Memory()

    def test_nothing_is_written_before_the_start(self) -> None:
        writer = self.writer(self.sink)
        writer.write(b"a\n")
        self.assertEqual(self.sink.attempts, 0)
        writer.start()
        self.stop(writer)
        self.assertEqual(self.sink.written, b"a\n")

    def test_order(self) -> None:
        writer = self.writer(self.sink, capacity=100_000)
        lines = [b"%d\n" % number for number in range(20_000)]
        for number, line in enumerate(lines):
            if number == 5000:
                writer.start()
            writer.write(line, droppable=number % 3 == 0)
        self.stop(writer)
        self.assertEqual(self.sink.written, b"".join(lines))
        self.assertEqual(writer.dropped, 0)

    def test_lines_of_several_threads(self) -> None:
        writer = self.writer(self.sink, capacity=100_000)
        writer.start()

        def write(name: int) -> None:
            for number in range(2000):
                writer.write(b"%d %d\n" % (name, number))

        threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        self.stop(writer)
        lines = self.sink.written.splitlines()
        for name in range(4):
            mine = [line for line in lines if line.startswith(b"%d " % name)]
            self.assertEqual(mine, [b"%d %d" % (name, number) for number in range(2000)])

    def test_a_line_alone_is_written_without_a_stop(self) -> None:
        writer = self.writer(self.sink)
        writer.start()
        writer.write(b"a\n")
        self.assertTrue(self.sink.attempted.wait(PATIENCE))
        self.stop(writer)
        self.assertEqual(self.sink.written, b"a\n")

    def test_many_lines_do_not_wait_for_the_interval(self) -> None:
        writer = self.writer(self.sink, capacity=100, flush_interval=1e6)
        writer.start()
        for _ in range(40):
            writer.write(b"a\n")
        self.assertTrue(self.sink.attempted.wait(PATIENCE))
        self.stop(writer)
        self.assertEqual(self.sink.written, b"a\n" * 40)

    def test_few_lines_hardly_wait_and_more_of_them_do(self) -> None:
        for lines, waits in ((20, False), (21, True)):
            writer = self.writer(self.sink, flush_interval=1e6)
            for _ in range(lines):
                writer.write(b"a\n")
            self.sink.attempted.clear()
            writer.start()
            self.assertEqual(self.sink.attempted.wait(0.3 if waits else PATIENCE), not waits, lines)
            self.stop(writer)
        self.assertEqual(self.sink.written, b"a\n" * 41)

    def test_lines_that_come_while_others_are_written_wait_for_the_next_time(self) -> None:
        """Written at once they would go one by one, and each would want the interpreter's lock from the event loop."""
        writer = self.writer(self.sink)
        written, reopened = self.sink.write, self.sink.reopen
        attempts: list[int] = []

        def write(batch: bytes) -> None:
            written(batch)
            if self.sink.attempts <= 10:
                writer.write(b"%d\n" % self.sink.attempts)
            if self.sink.attempts == 1:
                writer.reopen()

        def reopen() -> None:
            attempts.append(self.sink.attempts)
            reopened()

        self.sink.write, self.sink.reopen = write, reopen  # type: ignore[method-assign]
        writer.write(b"0\n")
        writer.start()
        self.assertTrue(self.sink.reopened.wait(PATIENCE))
        self.stop(writer)
        self.assertEqual(attempts, [1])
        self.assertEqual(self.sink.written, b"".join(b"%d\n" % number for number in range(11)))

    # Too many lines.

    def test_droppable_lines_are_refused_from_half_on(self) -> None:
        writer = self.writer(self.sink, capacity=10)
        for number in range(20):
            writer.write(b"%d\n" % number, droppable=True)
        self.assertEqual(writer.dropped, 15)
        writer.start()
        self.stop(writer)
        self.assertEqual(self.sink.written, b"0\n1\n2\n3\n4\nlost 15\n")

    def test_the_oldest_droppable_gives_way_then_the_oldest(self) -> None:
        writer = self.writer(self.sink, capacity=10)
        for number in range(4):
            writer.write(b"debug %d\n" % number, droppable=True)
        for number in range(6 + 5):
            writer.write(b"info %d\n" % number)
        self.assertEqual(writer.dropped, 5)
        writer.start()
        self.stop(writer)
        kept = b"".join(b"info %d\n" % number for number in range(1, 11))
        self.assertEqual(self.sink.written, kept + b"lost 5\n")

    def test_a_sink_that_blocks_blocks_nobody(self) -> None:
        self.sink.open.clear()
        writer = self.writer(self.sink, capacity=10)
        writer.start()
        writer.write(b"first\n")
        self.assertTrue(self.sink.attempted.wait(PATIENCE))
        for number in range(100):
            writer.write(b"%d\n" % number)
        self.assertEqual(writer.dropped, 91)
        self.sink.open.set()
        self.stop(writer)
        last = b"".join(b"%d\n" % number for number in range(91, 100))
        self.assertEqual(self.sink.written, b"first\n" + last + b"lost 91\n")

    def test_the_bound_holds_when_all_is_in_the_threads_hands(self) -> None:
        writer = self.writer(self.sink, capacity=4)
        self.sink.open.clear()
        for _ in range(4):
            writer.write(b"a\n")
        writer.start()
        self.assertTrue(self.sink.attempted.wait(PATIENCE))
        writer.write(b"b\n")
        self.assertEqual(writer.dropped, 1)
        self.sink.open.set()
        self.stop(writer)
        self.assertEqual(self.sink.written, b"a\n" * 4 + b"lost 1\n")

    def test_losses_are_told_once(self) -> None:
        writer = self.writer(self.sink, capacity=2)
        for _ in range(5):
            writer.write(b"a\n")
        writer.start()
        self.assertTrue(self.sink.attempted.wait(PATIENCE))
        writer.write(b"b\n")
        self.stop(writer)
        self.assertEqual(self.sink.written.count(b"lost"), 1)

    # A sink that fails.

    def test_an_outage_loses_nothing_and_warns_once(self) -> None:
        self.sink.failures = [OSError(errno.ENOSPC, "full") for _ in range(5)]
        writer = self.writer(self.sink)
        writer.start()
        for number in range(100):
            writer.write(b"%d\n" % number)
        self.assertTrue(self.troubled.wait(PATIENCE))
        while self.sink.failures:
            self.sink.attempted.clear()
            self.assertTrue(self.sink.attempted.wait(PATIENCE))
        self.stop(writer)
        self.assertEqual(self.sink.written, b"".join(b"%d\n" % number for number in range(100)))
        self.assertEqual(len(self.trouble), 1)

    def test_another_outage_soon_after_is_not_worth_a_warning(self) -> None:
        writer = self.writer(self.sink)
        writer.start()
        for _ in range(3):
            self.sink.failures = [OSError(errno.EIO, "broken")]
            self.sink.attempted.clear()
            writer.write(b"a\n")
            while self.sink.failures:
                self.assertTrue(self.sink.attempted.wait(PATIENCE))
        self.stop(writer)
        self.assertEqual((self.sink.written, len(self.trouble)), (b"a\n" * 3, 1))

    def test_a_failing_sink_is_left_alone_between_attempts(self) -> None:
        self.sink.failures = [OSError(errno.EIO, "broken")] * 1000
        writer = self.writer(self.sink, retry_interval=1e6)
        writer.start()
        writer.write(b"0\n")
        self.assertTrue(self.troubled.wait(PATIENCE))
        for _ in range(5000):
            writer.write(b"1\n")
        self.stop(writer)
        # One for the first line, one for a line that came before the wait, one for the stop.
        self.assertLessEqual(self.sink.attempts, 4)

    def test_a_rotation_ends_the_wait(self) -> None:
        self.sink.failures = [OSError(errno.EIO, "broken")]
        writer = self.writer(self.sink, retry_interval=1e6)
        writer.start()
        writer.write(b"a\n")
        self.assertTrue(self.troubled.wait(PATIENCE))
        self.sink.attempted.clear()
        writer.reopen()
        self.assertTrue(self.sink.reopened.wait(PATIENCE))
        self.assertTrue(self.sink.attempted.wait(PATIENCE))
        self.stop(writer)
        self.assertEqual(self.sink.written, b"a\n")

    def test_a_stop_does_not_wait_for_a_sink_that_fails(self) -> None:
        self.sink.failures = [OSError(errno.EIO, "broken")] * 1000
        writer = self.writer(self.sink)
        writer.start()
        writer.write(b"a\n")
        self.stop(writer)
        self.assertEqual(self.sink.written, b"")

    def test_a_stream_that_was_closed(self) -> None:
        self.sink.failures = [ValueError("I/O operation on closed file")]
        writer = self.writer(self.sink)
        writer.start()
        writer.write(b"a\n")
        self.assertTrue(self.troubled.wait(PATIENCE))
        self.stop(writer)
        self.assertEqual(self.sink.written, b"a\n")

    # The end.

    def test_lines_after_the_stop_are_written_at_once(self) -> None:
        writer = self.writer(self.sink)
        writer.start()
        self.stop(writer)
        writer.finish(PATIENCE)
        writer.write(b"a\n")
        self.assertEqual(self.sink.written, b"a\n")

    def test_a_line_from_within_such_a_write(self) -> None:
        """As from a finalizer: it neither waits for itself nor gets lost."""
        writer = self.writer(self.sink)
        writer.finish(PATIENCE)
        written = self.sink.write

        def write(batch: bytes) -> None:
            self.sink.write = written  # type: ignore[method-assign]
            writer.write(b"inner\n")
            written(batch)

        self.sink.write = write  # type: ignore[method-assign]
        writer.write(b"outer\n")
        self.assertEqual(self.sink.written, b"outer\ninner\n")

    def test_finish_without_a_start(self) -> None:
        writer = self.writer(self.sink)
        writer.write(b"a\n")
        writer.finish(PATIENCE)
        self.assertEqual(self.sink.written, b"a\n")

    def test_finish_without_a_stop(self) -> None:
        writer = self.writer(self.sink, flush_interval=1e6)
        writer.start()
        writer.write(b"a\n")
        writer.finish(PATIENCE)
        self.assertEqual(self.sink.written, b"a\n")

    def test_what_nobody_reads_after_the_end_is_no_trouble(self) -> None:
        writer = self.writer(self.sink)
        writer.start()
        self.stop(writer)
        self.sink.failures = [BlockingIOError(), OSError(errno.ENOSPC, "full")]
        writer.write(b"a\n")
        self.assertEqual(self.trouble, [])
        writer.write(b"b\n")
        # It fails still, and that was worth no word when it began.
        self.assertEqual(self.trouble, [])
        writer.write(b"c\n")
        self.assertEqual(self.sink.written, b"a\nb\nc\n")

    def test_finish_does_not_wait_for_a_sink_that_blocks(self) -> None:
        self.sink.open.clear()
        writer = self.writer(self.sink)
        writer.start()
        writer.write(b"a\n")
        self.assertTrue(self.sink.attempted.wait(PATIENCE))
        writer.finish(0.01)
        self.assertEqual(self.sink.written, b"")
        self.sink.open.set()
        writer.finish(PATIENCE)
        self.assertEqual(self.sink.written, b"a\n")


class FileTests(WriterTestCase):
    """On real files."""

    def setUp(self) -> None:
        self.folder = folder_of(self) / "log"
        self.path = self.folder / "skyproxy.log"

    def test_a_full_disk(self) -> None:
        if not os.path.exists("/dev/full"):
            raise SkipTest("there is no /dev/full")
        writer = self.writer(FileSink(Path("/dev/full")), capacity=100)
        writer.start()
        for number in range(1000):
            writer.write(b"%d\n" % number)
        self.assertTrue(self.troubled.wait(PATIENCE))
        self.stop(writer)
        self.assertEqual([getattr(error, "errno", None) for error in self.trouble], [errno.ENOSPC])
        self.assertGreaterEqual(writer.dropped, 800)

    def test_a_disk_that_is_full_for_a_while(self) -> None:
        if not os.path.exists("/dev/full"):
            raise SkipTest("there is no /dev/full")
        self.folder.mkdir()
        self.path.symlink_to("/dev/full")
        writer = self.writer(FileSink(self.path))
        writer.start()
        for number in range(100):
            writer.write(b"%d\n" % number)
        self.assertTrue(self.troubled.wait(PATIENCE))
        self.path.unlink()
        self.stop(writer)
        self.assertEqual(self.path.read_bytes(), b"".join(b"%d\n" % number for number in range(100)))

    def test_moved_under_load(self) -> None:
        writer = self.writer(FileSink(self.path), flush_interval=0.0001, capacity=10_000_000)
        writer.start()
        moved: list[Path] = []
        total = 0
        while len(moved) < 10:
            total = self.load(writer, total)
            if self.path.exists():
                moved.append(self.path.rename(self.folder / f"skyproxy.log.{len(moved)}"))
        total = self.load(writer, total)
        self.stop(writer)
        written = b"".join(path.read_bytes() for path in (*moved, self.path))
        self.assertEqual(written, b"".join(b"%d\n" % number for number in range(total)))

    def test_removed_under_load(self) -> None:
        """Every line was in a file that the name stood for, at the end or when it was removed."""
        writer = self.writer(FileSink(self.path), flush_interval=0.0001, capacity=10_000_000)
        writer.start()
        removed: list[BinaryIO] = []
        total = 0
        while len(removed) < 10:
            total = self.load(writer, total)
            if self.path.exists():
                removed.append(self.path.open("rb"))
                self.path.unlink()
        total = self.load(writer, total)
        self.stop(writer)
        lines = set(self.path.read_bytes().splitlines())
        for file in removed:
            with file:
                lines.update(file.read().splitlines())
        self.assertEqual(lines, {b"%d" % number for number in range(total)})

    def load(self, writer: LogWriter, begin: int) -> int:
        """Write some lines with their numbers, and let the thread come to its turn; the number of the next."""
        for number in range(begin, begin + 100):
            writer.write(b"%d\n" % number)
        # Without it, more come on a slow machine than the thread can take, until all memory is full of them.
        sleep(0.0001)
        return begin + 100

    def test_reopened_at_once(self) -> None:
        writer = self.writer(FileSink(self.path))
        writer.start()
        writer.write(b"a\n")
        self.stop(writer)
        sink = FileSink(self.path)
        writer = self.writer(sink)
        writer.start()
        rotated = self.path.rename(self.folder / "skyproxy.log.1")
        writer.reopen()
        self.stop(writer)
        self.assertEqual((rotated.read_bytes(), self.path.read_bytes()), (b"a\n", b""))
