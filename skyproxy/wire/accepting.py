"""Taking connections when the process may have no more descriptors."""

from __future__ import annotations

import select
from typing import Any

REST = 0.05
"""Seconds for which a place to listen at is left alone when it could take nobody."""

_AT_ONCE = 100
"""Connections that are taken, or closed for want of a descriptor, in one go after a rest."""


def rest_when_full(port: Any, reactor: Any) -> None:
    """Make *port* leave its clients waiting for a moment when it could take none of them.

    Twisted keeps one descriptor in reserve, to take and close those for whom there is none left. Another thread that
    opens a file at that moment, a log that is rotated for one, gets it instead; after that Twisted tries, and fails,
    at every turn of the reactor, which keeps a processor busy and fills the log. A client that waits is taken as soon
    as another has left.

    :param port: a ``twisted.internet.tcp.Port`` that listens, or one made from it (TLS, UNIX sockets); others are left
        as they are.
    :param reactor: its clock measures the rest.
    """
    if not hasattr(select, "poll") or not hasattr(port, "numberAccepts"):
        return
    take = port.doRead

    def take_or_rest() -> None:
        number = port.sessionno
        take()
        if port.sessionno == number and port.connected and _somebody_waits(port):
            port.numberAccepts = _AT_ONCE
            port.stopReading()
            reactor.callLater(REST, go_on)

    def go_on() -> None:
        if port.connected and not port.disconnecting:
            port.startReading()

    port.doRead = take_or_rest


def _somebody_waits(port: Any) -> bool:
    waiting = select.poll()
    waiting.register(port.fileno(), select.POLLIN)
    return bool(waiting.poll(0))
