"""Lines for the terminal of a process that serves, printed by a thread of their own."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Sequence
from typing import Any

import click

from skyproxy.log.sinks import StreamSink
from skyproxy.log.writer import LogWriter

_END_SECONDS = 1.0
"""That the end of the process waits for what is still to be printed."""


class Speech:
    """Prints by a thread for each stream: a terminal in which text is being selected, or whose output was stopped,
    takes nothing until that is over, and nothing else shall wait for that.
    """

    def __init__(self) -> None:
        self._writers: dict[bool, LogWriter] = {}

    def say(self, lines: Sequence[str], *, err: bool = False) -> None:
        """Print *lines*, soon.

        :param err: to the error stream.
        """
        stream: Any = sys.stderr if err else sys.stdout
        buffer = getattr(stream, "buffer", None)
        if buffer is None:  # a file in the place of a terminal
            for line in lines:
                click.echo(line, err=err)
            return
        writer = self._writers.get(err)
        if writer is None:
            writer = self._writers[err] = LogWriter(
                StreamSink(getattr(buffer, "raw", buffer)), lost=lambda count: b"", trouble=lambda error: None
            )
            writer.start()
            atexit.register(writer.finish, _END_SECONDS)
        for line in lines:
            writer.write(f"{line}\n".encode(stream.encoding, "replace"))
