"""Socket pairs between processes, spoken through by protocols."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.protocol import Factory, Protocol


def connect(reactor: Any, end: socket.socket, protocol: Protocol) -> None:
    """Have *protocol* speak through *end*, which it takes over."""
    factory = Factory()
    factory.noisy = False
    factory.buildProtocol = lambda _: protocol  # type: ignore[method-assign,assignment]
    with end:
        end.setblocking(False)
        reactor.adoptStreamConnection(end.fileno(), end.family, factory)
