"""A text stream for processes that have no terminal."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from skyproxy.util.private_files import open_private

_KEPT = 4000
"""Characters that are kept in memory."""


class FileStream(io.TextIOBase):
    """In place of ``sys.stdout`` or ``sys.stderr``: appends each text to a file. That is open while it is written only,
    so that a log's writer may rename it. Each line begins with the time.

    A file that cannot be written is no error: nobody could be told.

    :param path: None: there is no file.
    :param wall: the time of day, in seconds since the epoch.
    :ivar recent: the end of what was written.
    """

    def __init__(self, path: Path | None, wall: Callable[[], float] = time.time) -> None:
        self._path = path
        self._wall = wall
        self._in_line = False
        self.recent = ""

    encoding = "utf-8"
    errors = "backslashreplace"

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str, /) -> int:
        """Append *text*."""
        if not isinstance(text, str):
            raise TypeError("text is written here, not bytes")
        if text and self._path is not None:
            self._append(self._path, self._dated(text))
        self.recent = (self.recent + text)[-_KEPT:]
        return len(text)

    def _dated(self, text: str) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime(self._wall()))
        lines = text.splitlines(keepends=True)
        first = lines[0] if self._in_line else f"{when}{lines[0]}"
        self._in_line = not text.endswith("\n")
        return "".join([first, *(f"{when}{line}" for line in lines[1:])])

    def _append(self, path: Path, text: str) -> None:
        try:
            descriptor = open_private(path, os.O_WRONLY | os.O_APPEND)
            with open(descriptor, "w", encoding=self.encoding, errors=self.errors) as file:
                file.write(text)
        except OSError:
            return


def replace_missing_streams(path: Path | None) -> None:
    """Have what is printed go to *path* where the process has no standard output or error, as under pythonw.exe; and
    what is read come from nowhere where it has no standard input.
    """
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    if sys.stdout is None:
        sys.stdout = FileStream(path)
    if sys.stderr is None:
        sys.stderr = FileStream(path)
