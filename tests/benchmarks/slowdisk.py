"""A file that takes one line at a time, slowly: a pipe with a name, whose reader is in no hurry."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

_SMALLEST_PIPE = 4096


class SlowDisk:
    """Within a ``with`` block, *path* is such a file; when it is left, what is still to be written is taken fast.

    :param delay: seconds for each line.
    """

    def __init__(self, path: Path, delay: float) -> None:
        self.path = path
        self._delay = delay
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> SlowDisk:
        os.mkfifo(self.path, 0o600)
        # Open for both, so that it has a reader at any time and never ends; no writer is to wait for it to be opened.
        self._fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _SMALLEST_PIPE)
        self._thread.start()
        return self

    def hurry(self) -> None:
        """Be slow no more: who writes is about to end."""
        self._delay = 0.0

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._fd)

    def _read(self) -> None:
        while not self._over.is_set():
            try:
                data = os.read(self._fd, _SMALLEST_PIPE)
            except BlockingIOError:
                time.sleep(0.001)
                continue
            time.sleep(self._delay * data.count(b"\n"))
