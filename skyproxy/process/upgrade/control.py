"""What the old and the new process tell each other: lines of JSON over a pair of UNIX sockets.

The two may be of different versions: a word or a field that is not known is ignored, and none is ever given another
meaning.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

MOST_SOCKETS = 250
"""Descriptors that go with one message: Linux takes 253."""

_HELLO_SECONDS = 10.0
"""For which the first message is waited for."""

Heard = Callable[[str, dict[str, Any]], None]
"""Takes a word and the whole message."""


class Control(LineReceiver):
    """One side of it.

    :param heard: takes what the other side says.
    :param lost: called when it is gone.
    """

    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def __init__(self, heard: Heard, lost: Callable[[], None]) -> None:
        self._heard = heard
        self._lost = lost

    def say(self, word: str, **fields: Any) -> None:
        """Tell the other side, if it is there."""
        if self.transport is not None:
            self.sendLine(_encoded(word, fields))  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Say and hear no more."""
        if self.transport is not None:
            self.transport.loseConnection()

    def lineReceived(self, line: bytes) -> None:
        with suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict):
                self._heard(str(told.get("word")), told)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.transport = None
        self._lost()


def send_hello(end: socket.socket, fields: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Leave the first message in *end*, with *descriptors*, for who will read the other end.

    :raise OSError: it cannot be sent.
    """
    socket.send_fds(end, [_encoded("hello", fields) + b"\n"], descriptors)


def receive_hello(end: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The first message, and the descriptors that came with it.

    :raise OSError: nothing came.
    :raise ValueError: it is none.
    """
    end.settimeout(_HELLO_SECONDS)
    data, descriptors, _, _ = socket.recv_fds(end, 1 << 16, MOST_SOCKETS)
    while data and not data.endswith(b"\n"):
        data += (more := end.recv(1 << 16)) or b"\n"
        if not more:
            break
    for each in descriptors:
        os.set_inheritable(each, False)
    told = json.loads(data)
    if not isinstance(told, dict) or told.get("word") != "hello":
        raise ValueError("no hello")
    return told, list(descriptors)


def _encoded(word: str, fields: dict[str, Any]) -> bytes:
    return json.dumps({"word": word, **fields}).encode()


def is_open(number: int) -> bool:
    """Whether this process has a descriptor of this *number*."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
