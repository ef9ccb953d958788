"""What is asked of the system for each connection to a provider."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint, ITCPTransport
from zope.interface import implementer

from skyproxy.config.hosts import is_loopback
from skyproxy.http.loop.direct_io import hear_out

_QUIET_SECONDS = 30
"""Without a packet from the other side, after which the system asks whether it is there."""
_BETWEEN_SECONDS, _QUESTIONS = 5, 3
"""Between one such question and the next, and how many have no answer before the connection is lost."""

GONE_SECONDS = _QUIET_SECONDS + _BETWEEN_SECONDS * _QUESTIONS
"""After which a peer counts as gone: as long as one of HTTP/2 takes to be found silent."""


@implementer(IStreamClientEndpoint)
class LinkEndpoint:
    """Connects through another endpoint, over TCP.

    A link that is dead says nothing: no packet comes that would end its connections. The system is asked to find that
    out; it would take it hours otherwise, and some sixteen minutes where something was sent. Whoever is alive answers
    such questions, however long the answer to a request takes. On this machine no link can die.

    A server that answers in the middle of a request, and closes, is heard: RFC 9112, section 9.5.

    :param reads_always: the server takes what is sent to it, whatever else it is at. One that does not may be alive for
        as long as it likes with its window shut, and what was sent lies here.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, *, reads_always: bool = True) -> None:
        self._endpoint: Any = endpoint
        self._reads_always = reads_always

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect, as the endpoint does."""
        connected: Deferred[Any] = self._endpoint.connect(protocolFactory)
        return connected.addCallback(self._prepared)

    def _prepared(self, protocol: Any) -> Any:
        transport = protocol.transport
        hear_out(transport)
        is_tcp = ITCPTransport.providedBy(transport)
        if is_tcp and not is_loopback(transport.getPeer().host):
            _watch(transport.getHandle(), reads_always=self._reads_always)
        return protocol


def _watch(handle: socket.socket, *, reads_always: bool) -> None:
    """Have the system notice when whoever is at the other end of *handle* is gone."""
    # Windows before 10 knows no other way; the options beside it say the same where they exist.
    with suppress(AttributeError, OSError):
        handle.ioctl(socket.SIO_KEEPALIVE_VALS, (1, _QUIET_SECONDS * 1000, _BETWEEN_SECONDS * 1000))  # type: ignore[attr-defined,unused-ignore]
    for level, name, value in _options(reads_always):
        option = getattr(socket, name, None)
        if option is not None:
            with suppress(OSError):
                handle.setsockopt(level, option, value)


def _options(reads_always: bool) -> Iterator[tuple[int, str, int]]:
    tcp = socket.IPPROTO_TCP
    yield socket.SOL_SOCKET, "SO_KEEPALIVE", 1
    # The same by two names: macOS has the second.
    yield tcp, "TCP_KEEPIDLE", _QUIET_SECONDS
    yield tcp, "TCP_KEEPALIVE", _QUIET_SECONDS
    yield tcp, "TCP_KEEPINTVL", _BETWEEN_SECONDS
    yield tcp, "TCP_KEEPCNT", _QUESTIONS
    if reads_always:
        # Linux's, in milliseconds: for what was sent and not acknowledged, of which the questions say nothing. A shut
        # window counts, too, although its side is there.
        yield tcp, "TCP_USER_TIMEOUT", GONE_SECONDS * 1000
