"""What is asked of the system for connections to providers."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any
from unittest import mock

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from skyproxy.http.client import links
from skyproxy.http.client.links import LinkEndpoint


class Handle:
    """A socket that notes what is asked of it.

    :param refused: options that this system does not take.
    """

    def __init__(self, refused: tuple[int, ...] = ()) -> None:
        self.refused = refused
        self.options: dict[int, int] = {}
        self.controls: list[Any] = []

    def setsockopt(self, level: int, option: int, value: int) -> None:
        if option in self.refused:
            raise OSError("no such option")
        self.options[option] = value

    def ioctl(self, control: int, value: Any) -> None:
        self.controls.append((control, value))


@implementer(ITCPTransport)
class Transport(StringTransport):
    """One over TCP to *host*."""

    def __init__(self, host: str, handle: Any) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", host, 443))
        self.handle = handle

    def getHandle(self) -> Any:
        return self.handle


class Endpoint:
    """Is connected over *transport*."""

    def __init__(self, transport: Any) -> None:
        self.protocol = Protocol()
        self.protocol.makeConnection(transport)

    def connect(self, factory: Any) -> Deferred[Any]:
        return succeed(self.protocol)


ON, IDLE, BETWEEN, COUNT, UNACKNOWLEDGED = 9, 4, 5, 6, 18
NAMES = {
    "SO_KEEPALIVE": ON,
    "TCP_KEEPIDLE": IDLE,
    "TCP_KEEPINTVL": BETWEEN,
    "TCP_KEEPCNT": COUNT,
    "TCP_USER_TIMEOUT": UNACKNOWLEDGED,
}
"""Linux's."""

ASKED = {ON: 1, IDLE: 30, BETWEEN: 5, COUNT: 3}


class LinkTests(SynchronousTestCase):
    """LinkEndpoint."""

    def connect(self, handle: Any, host: str = "192.0.2.7", **kinds: bool) -> Any:
        endpoint: Any = Endpoint(Transport(host, handle))
        protocol = self.successResultOf(LinkEndpoint(endpoint, **kinds).connect(None))
        self.assertIs(protocol, endpoint.protocol)
        return handle

    def asked(self, names: dict[str, int] = NAMES, refused: tuple[int, ...] = (), **kinds: Any) -> Handle:
        """What a system is asked whose socket module has *names*."""
        levels = {"SOL_SOCKET": socket.SOL_SOCKET, "IPPROTO_TCP": socket.IPPROTO_TCP}
        with mock.patch.object(links, "socket", SimpleNamespace(**levels, **names)):
            handle: Handle = self.connect(Handle(refused), **kinds)
        return handle

    def test_the_system_asks_whether_the_other_side_is_there(self) -> None:
        self.assertEqual(self.asked().options, {**ASKED, UNACKNOWLEDGED: 45_000})

    def test_a_server_that_may_not_read_is_not_hurried(self) -> None:
        self.assertEqual(self.asked(reads_always=False).options, ASKED)

    def test_no_link_of_this_machine_dies(self) -> None:
        for host in ("127.0.0.1", "127.8.8.8", "::1"):
            self.assertEqual(self.asked(host=host).options, {})

    def test_macos(self) -> None:
        names = {"SO_KEEPALIVE": ON, "TCP_KEEPALIVE": 16, "TCP_KEEPINTVL": BETWEEN, "TCP_KEEPCNT": COUNT}
        self.assertEqual(self.asked(names).options, {ON: 1, 16: 30, BETWEEN: 5, COUNT: 3})

    def test_windows(self) -> None:
        names = {**NAMES, "SIO_KEEPALIVE_VALS": 0x98000004}
        del names["TCP_USER_TIMEOUT"]
        for refused, options in (((), ASKED), ((IDLE, BETWEEN, COUNT), {ON: 1})):
            handle = self.asked(names, refused)
            self.assertEqual(handle.controls, [(0x98000004, (1, 30_000, 5_000))])
            self.assertEqual(handle.options, options)

    def test_a_system_that_knows_nothing_of_this(self) -> None:
        handle = self.asked({})
        self.assertEqual((handle.options, handle.controls), ({}, []))

    def test_a_real_socket_takes_it_all(self) -> None:
        with socket.socket() as ours:
            self.connect(ours)
            self.assertTrue(ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
            for name, value in (("IDLE", 30), ("INTVL", 5), ("CNT", 3)):
                option = getattr(socket, f"TCP_KEEP{name}", None)
                if option is not None:
                    self.assertEqual(ours.getsockopt(socket.IPPROTO_TCP, option), value, name)

    def test_what_is_not_tcp_is_left_alone(self) -> None:
        endpoint: Any = Endpoint(StringTransport())
        self.successResultOf(LinkEndpoint(endpoint).connect(None))
