"""Ports of balancers: how they begin what they say."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config.access import networks_of
from skyproxy.process.balancers import OnlyFrom

ADDRESSES = b"\1\2\3\4\5\6\7\x08\x13\x88\0\x50"
BINARY = b"\r\n\r\n\0\r\nQUIT\n"
HEADERS = (
    (b"PROXY TCP4 1.2.3.4 5.6.7.8 5000 80\r\n", "1.2.3.4"),
    (b"PROXY TCP6 ::1 ::2 5000 80\r\n", "::1"),
    (b"PROXY UNKNOWN\r\n", "10.0.0.5"),
    (b"PROXY UNKNOWN ::1 ::2 5000 80\r\n", "10.0.0.5"),
    (BINARY + b"\x21\x11\0\x0c" + ADDRESSES, "1.2.3.4"),
    (BINARY + b"\x20\0\0\0", "10.0.0.5"),
)


class Taken(Protocol):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data


class BalancerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = MemoryReactor()
        self.made: list[Taken] = []
        factory: Any = Factory()
        factory.buildProtocol = self.build
        only: Any = OnlyFrom(self.reactor, lambda: networks_of(("10.0.0.5",)))
        serverFromString(only, "haproxy:tcp:80").listen(factory)
        serverFromString(only, "haproxy:unix:/x").listen(factory)

    def build(self, address: Any) -> Taken:
        self.made.append(Taken())
        return self.made[-1]

    def say(self, *pieces: bytes, unix: bool = False) -> tuple[StringTransport, Taken]:
        address = IPv4Address("TCP", "10.0.0.5", 5000)
        factory = self.reactor.unixServers[0][1] if unix else self.reactor.tcpServers[0][1]
        protocol, transport = factory.buildProtocol(address), StringTransport(peerAddress=address)
        protocol.makeConnection(transport)
        for piece in pieces:
            protocol.dataReceived(piece)
        return transport, self.made[-1]

    def test_every_form_in_any_pieces(self) -> None:
        for header, client in HEADERS:
            for unix in (False, True):
                for cut in range(len(header) + 1):
                    pieces = header[:cut], header[cut:] + b"GET /"
                    transport, taken = self.say(*filter(None, pieces), b"x", unix=unix)
                    self.assertEqual((transport.disconnecting, taken.data), (False, b"GET /x"), (header, cut))
                    assert taken.transport is not None
                    self.assertEqual(taken.transport.getPeer().host, client)  # type: ignore[attr-defined]

    def test_who_speaks_otherwise_is_closed_and_told_of_once(self) -> None:
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        for said in (
            b"GET / HTTP/1.1\r\n\r\n", b"POST /v1 HTTP/1.1\r\n\r\n", b"\r\n\r\nGET /", b"PROXY " + b"x" * 107,
            b"PROXY TCP4 1.2.3.4 5.6.7.8 port 80\r\nGET /", b"PROXY TCP4 \xff 5.6.7.8 5000 80\r\nGET /",
            b"PROXY TCP5 1.2.3.4 5.6.7.8 5000 80\r\nPROXY TCP4 1.2.3.4 5.6.7.8 5000 80\r\nGET /",
            BINARY + b"\x31\x11\0\x0c" + ADDRESSES + b"GET /",
        ):  # fmt: skip
            for cut in range(1, len(said)):
                transport, taken = self.say(said[:cut], said[cut:])
                self.assertEqual((transport.disconnecting, taken.data), (True, b""), (said, cut))
        self.assertEqual(len([each for each in events if "send-proxy" in str(each.get("log_format"))]), 1)
