"""Taking connections when the process may have few more sockets, or none."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from skyproxy.http.loop.socket_budget import Sockets
from skyproxy.http.server.connections import readable

REST = 0.05
"""Seconds for which a place to listen at is left alone when it could take nobody."""

_AT_ONCE = 100
"""Connections that are taken, or closed for want of a descriptor, in one go after a rest."""


def rest_when_full(port: Any, reactor: Any, sockets: Sockets) -> None:
    """Make *port* leave its clients waiting for a moment when it could take none of them, or should not.

    A client that waits in the system's queue is taken as soon as another has left. One that is taken with the last
    descriptor could only be closed without a word; and one that is, can be served only while there is another for its
    request to a provider.

    Twisted keeps one descriptor in reserve, to take and close those for whom there is none left. Another thread that
    opens a file at that moment, a log that is rotated for one, gets it instead; after that Twisted tries, and fails,
    at every turn of the reactor, which keeps a processor busy and fills the log.

    Before *port* closes, it takes all who wait, so that each is answered that the process is about to stop: the system
    would reset their connections.

    :param port: a ``twisted.internet.tcp.Port`` that listens, or one made from it (TLS, UNIX sockets); others are left
        as they are.
    :param reactor: its clock measures the rest.
    :param sockets: tells whether another may be taken.
    """
    if not hasattr(port, "numberAccepts"):
        return
    take = port.doRead

    def take_all() -> None:
        number = -1
        while port.sessionno != number:
            number = port.sessionno
            port.numberAccepts = _AT_ONCE
            take()

    port.socket = _Rationed(port.socket, sockets, take_all)

    def take_or_rest() -> None:
        number = port.sessionno
        take()
        if port.sessionno == number and port.connected and readable(port.fileno()):
            port.numberAccepts = _AT_ONCE
            port.stopReading()
            reactor.callLater(REST, go_on)

    def go_on() -> None:
        if port.connected and not port.disconnecting:
            port.startReading()

    port.doRead = take_or_rest


class _Rationed:
    """A listening socket whose queue looks empty when no more sockets may be used."""

    def __init__(self, listening: Any, sockets: Sockets, last_call: Callable[[], None]) -> None:
        self._listening = listening
        self._sockets = sockets
        self._last_call = last_call
        self._closing = False

    def accept(self) -> Any:
        """As of a socket.

        :raise BlockingIOError: nobody waits, or nobody can be taken.
        """
        if not self._closing and not self._sockets.room_for_client():
            raise BlockingIOError(errno.EWOULDBLOCK, "no more sockets may be used")
        return self._listening.accept()

    def shutdown(self, how: int) -> None:
        """As of a socket, which Twisted asks for before it closes one that is not another process's as well."""
        self._closing = True
        # From here on Linux lets nobody in while somebody waits. Who finds no way in tries again a second later, and is
        # refused, which is clear to all.
        with suppress(OSError):
            self._listening.listen(0)
        self._last_call()
        self._listening.shutdown(how)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listening, name)
