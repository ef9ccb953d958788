"""Straight to a socket, and straight from it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.interfaces import IProtocol
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from skyproxy.http.loop.batches import WRITES, Schedule

_MOST_READS = 16
"""Of up to 64 KiB each, for a peer's last words."""


def direct_writer(transport: Any, schedule: Schedule) -> Callable[[bytes], None]:
    """What to write to *transport* with.

    Twisted's own write keeps the data for the reactor's next turn, and has the system watch the socket for that turn:
    three more system calls for each message, and a wait behind whatever else that turn brings. Here the data goes to
    the system in its phase (see ``batches``), in one call for all that was written until then, and only what the system
    does not take is kept. Over TLS, Twisted's own serves.
    """
    if not isinstance(transport, Connection) or transport.TLS:
        return transport.write  # type: ignore[no-any-return]
    return _Writer(transport, schedule).write


class _Writer:
    """Writes to one connection. What waits for its phase waits in the connection's own buffer, so that whoever closes
    the connection, or writes to it in another way, finds it there.
    """

    __slots__ = ("_connection", "_schedule", "_send", "_waiting")

    def __init__(self, connection: Any, schedule: Schedule) -> None:
        self._connection = connection
        self._send = connection.socket.send
        self._schedule = schedule
        self._waiting = False

    def write(self, data: bytes) -> None:
        connection = self._connection
        if self._waiting and connection._tempDataLen < connection.bufferSize:
            connection._tempDataBuffer.append(data)
            connection._tempDataLen += len(data)
        elif (
            connection.dataBuffer or connection._tempDataBuffer or not connection.connected or connection.disconnecting
        ):
            connection.write(data)
        else:
            self._waiting = True
            connection._tempDataBuffer.append(data)
            connection._tempDataLen = len(data)
            self._schedule(WRITES, self._flush)

    def _flush(self) -> None:
        self._waiting = False
        connection = self._connection
        if connection.dataBuffer or not connection.connected or connection.disconnecting:
            # The reactor sees to it; or there is nobody to write to any more.
            return
        kept = connection._tempDataBuffer
        data = kept[0] if len(kept) == 1 else b"".join(kept)
        kept.clear()
        connection._tempDataLen = 0
        try:
            sent = self._send(data)
        except OSError:
            # The system's buffer is full, or the connection is lost, of which the reactor's next turn tells.
            connection.write(data)
        else:
            if sent < len(data):
                connection.write(data[sent:])


def hear_out(transport: Any) -> None:
    """Have *transport* read what its peer has sent before it is given up as lost.

    A server that answers before it has read all of a request, and closes, resets the connection. Whoever writes finds
    that out, and Twisted closes the connection then, with the answer unread.
    """
    if isinstance(transport, Connection):
        kind: Any = type(transport)
        transport.__class__ = _hearing_out(kind)


@cache
def _hearing_out(kind: Any) -> Any:
    """Connections of that *kind*, made by Twisted, which makes no others."""

    class HearingOut(kind):  # type: ignore[misc]
        def connectionLost(self, reason: Failure) -> None:
            try:
                lost = reason.check(ConnectionLost) and not reason.check(ConnectionAborted)
                if lost and hasattr(self, "socket"):
                    for _ in range(_MOST_READS):
                        if self.doRead() is not None:
                            break
            finally:
                super().connectionLost(reason)

    return HearingOut


def unsent(transport: Any) -> int:
    """Bytes that *transport* keeps because the system has not taken them yet, as far as is known."""
    if not hasattr(transport, "dataBuffer"):
        return 0
    return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)


def read_directly(transport: Any, protocol: IProtocol) -> None:
    """Have *transport* give what it reads to *protocol* itself, past those between them that only pass it on.

    Endpoints leave such a one behind when they have connected, and twisted.web has one that changes protocols by what
    TLS negotiated. Where there is TLS, all stay in their places.
    """
    if isinstance(transport, Connection) and not transport.TLS:
        transport.protocol = protocol
