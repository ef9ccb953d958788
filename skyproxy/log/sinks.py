"""Where the bytes of a log go. Only a writer thread calls these: they block."""

from __future__ import annotations

import os
import select
import threading
from io import RawIOBase
from pathlib import Path
from typing import Protocol

from skyproxy.log.rotation import Limits, Rotation, refuse_foreign
from skyproxy.util.private_files import open_private

_FLAGS = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)

_NUMBERED = os.name == "posix"
"""Whether the number of a file tells it from another. On Windows it may be another at each look, on mapped drives say;
but there, a file that is open here cannot be moved or removed.
"""

_PIPE_BYTES = 4096
"""PIPE_BUF of Linux: bytes that a pipe does not mix with those of others (pipe(7))."""

_TRIES = 3
"""How often a batch meets a file that is not the one that its path names, before that is taken as no sign of it."""


class Sink(Protocol):
    """What a :class:`~skyproxy.log.writer.LogWriter` writes to."""

    def write(self, batch: bytes) -> None:
        """Append the whole of *batch*, which ends with the end of a line.

        :raise OSError: not all of it is written. The next call has the same batch, and goes on from there.
        """

    def reopen(self) -> None:
        """Open what the name stands for now.

        :raise OSError: it cannot be opened; the next write tries again.
        """

    def close(self) -> None:
        """Let go of it. A later write opens it again, and does not wait: nobody else is left to write."""


class _MidLine(OSError):
    """A line of before, which was cut, cannot be ended now."""


class FileSink:
    """A file that is appended to, and found again when it was moved or removed.

    It is made, with the folders that lead to it, for its owner alone (0600, 0700).

    :param path: made absolute at once.
    :param usual: see :class:`~skyproxy.log.rotation.Rotation`.
    :param guarded: whether a file that holds something else than a log of skyproxy's is refused when it is opened for
        the first time. Later ones were put there by who rotates logs.
    :ivar rotation: renames it when it is full.
    """

    def __init__(self, path: Path, usual: Limits | None = None, *, guarded: bool = False) -> None:
        self._unseen = guarded
        self._path = path.absolute()
        self.rotation = Rotation(self._path, usual)
        self._fd: int | None = None
        self._done = 0
        """Bytes of the current batch that are written."""
        self._left: os.stat_result | None = None
        """The file as the last write left it."""
        self._trusted = False
        """Whether the file that was opened is current as long as the path names any: it was opened anew, and even then
        it seemed to be another."""

    def __str__(self) -> str:
        return str(self._path)

    def write(self, batch: bytes) -> None:
        """As :meth:`Sink.write`. What went into a file that was removed meanwhile is written again."""
        if not self._done and self.rotation.is_due(len(batch)):
            if not _NUMBERED:
                self.close()  # an open file cannot be renamed there
            with self.rotation.alone() as may:
                # Another process, which writes to the same file, may just have done it.
                if may and self.rotation.is_due(len(batch)):
                    self.rotation.rotate()
        for _ in range(_TRIES):
            fd = self._find(batch)
            self._append(fd, batch)
            if self._is_current(fd):
                break
        else:
            self._trusted = True
        self._done = 0

    def _find(self, batch: bytes) -> int:
        """The file that the path names, and the place in *batch* from which to go on."""
        if self._fd is None or not self._is_current(self._fd):
            self.reopen()
        fd = self._fd
        assert fd is not None
        if self._done and self._left is not None:
            now = os.fstat(fd)
            if not _is_same(now, self._left) or now.st_size < self._left.st_size:
                # Another file, or emptied to save space: it begins with a whole line.
                self._done = batch.rfind(b"\n", 0, self._done) + 1
        return fd

    def _append(self, fd: int, batch: bytes) -> None:
        view = memoryview(batch)
        try:
            while self._done < len(batch):
                self._done += os.write(fd, view[self._done :])
        finally:
            self._left = os.fstat(fd)

    def _is_current(self, fd: int) -> bool:
        try:
            return _is_same(os.stat(self._path), os.fstat(fd)) or self._trusted
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # what cannot be seen cannot be opened anew either

    def open(self, owner: tuple[int, int] | None) -> None:
        """Open it, and give what had to be made to *owner*, a user and a group.

        :raise OSError: it cannot be opened, or is a pipe that nobody reads.
        """
        made = [each for each in (self._path, *self._path.parents) if not each.exists()]
        try:
            self._open(wait=False)
        except _MidLine:
            # It is tried again with the first line; a full disk keeps nobody from serving.
            return
        if owner is not None:
            for each in made:
                os.chown(each, *owner)

    def reopen(self) -> None:
        """As :meth:`Sink.reopen`.

        The writer's thread waits until somebody reads a pipe. The main thread, which writes when the process ends, does
        not.
        """
        self._open(wait=threading.current_thread() is not threading.main_thread())

    def _open(self, *, wait: bool) -> None:
        if self._unseen:
            refuse_foreign(self._path)
            self._unseen = False
        torn = self._fd is None and not self._done and _ends_in_mid_line(self._path)
        fd = open_private(self._path, _FLAGS, wait=wait)
        if torn:
            try:
                os.write(fd, b"\n")
            except OSError as error:
                os.close(fd)
                raise _MidLine(error.errno, error.strerror, str(self._path)) from error
        if _NUMBERED and self._fd is not None and os.fstat(self._fd).st_nlink == 0:
            self._done = 0  # all of the batch is gone with the old file
        self.close()
        self._fd = fd
        self._trusted = False

    def close(self) -> None:
        """As :meth:`Sink.close`."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return not _NUMBERED or os.path.samestat(one, other)


def _ends_in_mid_line(path: Path) -> bool:
    """Whether who wrote the file was killed before the end of a line, which the next one must not continue."""
    try:
        # What is no file, but a device or a pipe, may have no end.
        if not path.is_file() or not path.stat().st_size:
            return False
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:
        return False


def _end_of_lines(batch: bytes, start: int) -> int:
    """The end of as many lines from *start* on as a pipe takes in one piece; of one line, if it takes less."""
    if len(batch) - start <= _PIPE_BYTES:
        return len(batch)
    return batch.rfind(b"\n", start, start + _PIPE_BYTES) + 1 or batch.find(b"\n", start) + 1 or len(batch)


class StreamSink:
    """A stream that somebody else opened, such as standard output.

    :param stream: unbuffered.
    :param shared: other processes write to it as well: lines are written so that a pipe does not mix them.
    """

    def __init__(self, stream: RawIOBase, shared: bool = False) -> None:
        self._stream = stream
        self._shared = shared
        self._closed = False
        self._done = 0

    def __str__(self) -> str:
        return str(getattr(self._stream, "name", "stream"))

    def write(self, batch: bytes) -> None:
        """As :meth:`Sink.write`."""
        view = memoryview(batch)
        while self._done < len(batch):
            in_pieces = self._shared or self._closed
            end = _end_of_lines(batch, self._done) if in_pieces else len(batch)
            count = 0 if self._closed and not _takes(self._stream) else self._stream.write(view[self._done : end])
            if not count:
                raise BlockingIOError("the stream takes no more for now")
            self._done += count
        self._done = 0

    def reopen(self) -> None:
        """A stream has no name by which to find it again."""

    def close(self) -> None:
        """It is its owner's to close. But from now on the process ends, which a full pipe must not keep from it."""
        self._closed = True


def _takes(stream: RawIOBase) -> bool:
    """Whether *stream* takes something at once, as far as that is known: Windows tells it of sockets alone."""
    try:
        return bool(select.select([], [stream], [], 0)[1])
    except (OSError, ValueError):
        return True
