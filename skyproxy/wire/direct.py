"""Straight to a socket, and straight from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IProtocol
from twisted.internet.tcp import Connection


def direct_writer(transport: Any) -> Callable[[bytes], None]:
    """What to write to *transport* with.

    Twisted's own write keeps the data for the reactor's next turn, and has the system watch the socket for that turn:
    three more system calls for each message, and a wait behind whatever else that turn brings. Where nothing is kept
    already, the data goes to the system now, and only what it does not take is kept. Over TLS, Twisted's own serves.
    """
    if not isinstance(transport, Connection) or transport.TLS:
        return transport.write  # type: ignore[no-any-return]
    connection: Any = transport
    send = connection.socket.send

    def write(data: bytes) -> None:
        if (
            connection.dataBuffer
            or connection._tempDataBuffer
            or not connection.connected
            or connection.disconnecting
            or connection._writeDisconnected
        ):
            connection.write(data)
            return
        try:
            sent = send(data)
        except OSError:
            # The system's buffer is full, or the connection is lost, of which the reactor's next turn tells.
            connection.write(data)
        else:
            if sent < len(data):
                connection.write(data[sent:])

    return write


def read_directly(transport: Any, protocol: IProtocol) -> None:
    """Have *transport* give what it reads to *protocol* itself, past those between them that only pass it on.

    Endpoints leave such a one behind when they have connected, and twisted.web has one that changes protocols by what
    TLS negotiated. Where there is TLS, all stay in their places.
    """
    if isinstance(transport, Connection) and not transport.TLS:
        transport.protocol = protocol
