"""Writing to a socket at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
        sent = connection.writeSomeData(data)
        # What is no number is a lost connection, of which the reactor's next turn tells.
        if not isinstance(sent, int):
            connection.write(data)
        elif sent < len(data):
            connection.write(data[sent:])

    return write
