"""NameEndpoint."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectBindError, ConnectionRefusedError, DNSLookupError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.client.host_endpoint import ATTEMPT_DELAY, SLOW_SECONDS, STALE_SECONDS, NameEndpoint


class Resolver:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def resolveHostName(self, receiver: Any, host: str, port: int) -> None:
        self.asked.append((host, receiver))

    def answer(self, *addresses: str, number: int = -1) -> None:
        receiver = self.asked[number][1]
        for address in addresses:
            receiver.addressResolved((IPv6Address if ":" in address else IPv4Address)("TCP", address, 80))
        receiver.resolutionComplete()


class NameEndpointTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.reactor.nameResolver = self.resolver = Resolver()
        self.endpoint = NameEndpoint(self.reactor, "my_host", 8080, 5.0)

    def tearDown(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def connect(self, *addresses: str) -> Deferred[Any]:
        connected = self.endpoint.connect(Factory.forProtocol(Protocol))
        if addresses:
            self.resolver.answer(*addresses)
        return connected

    def tried(self) -> list[str]:
        return [client[0] for client in self.reactor.tcpClients]

    def accept(self, number: int = -1) -> None:
        client = self.reactor.tcpClients[number]
        client[2].buildProtocol(IPv4Address("TCP", client[0], client[1])).makeConnection(StringTransport())

    def refuse(self, number: int = -1, error: Exception | None = None) -> None:
        failure = Failure(error or ConnectionRefusedError())
        self.reactor.tcpClients[number][2].clientConnectionFailed(self.reactor.connectors[number], failure)

    def test_a_name_that_idna_does_not_know(self) -> None:
        connected = self.connect("10.0.0.7")
        self.assertEqual([host for host, _ in self.resolver.asked], ["my_host"])
        self.assertEqual(self.reactor.tcpClients[0][:2], ("10.0.0.7", 8080))
        self.assertEqual(self.reactor.tcpClients[0][3], 5.0)
        self.accept()
        self.assertIsInstance(self.successResultOf(connected), Protocol)

    def test_who_refuses_is_followed_at_once(self) -> None:
        connected = self.connect("::5", "10.0.0.7")
        self.assertEqual(self.tried(), ["::5"])
        self.refuse()
        self.assertEqual(self.tried(), ["::5", "10.0.0.7"])
        self.accept()
        self.successResultOf(connected)

    def test_who_takes_long_is_followed_after_a_while(self) -> None:
        connected = self.connect("::5", "10.0.0.7", "10.0.0.8")
        self.reactor.advance(ATTEMPT_DELAY * 0.9)
        self.assertEqual(self.tried(), ["::5"])
        self.reactor.advance(ATTEMPT_DELAY * 0.1)
        self.assertEqual(self.tried(), ["::5", "10.0.0.7"])
        self.refuse(0)
        self.assertEqual(self.tried(), ["::5", "10.0.0.7", "10.0.0.8"])
        self.accept(1)
        self.successResultOf(connected)
        self.assertTrue(self.reactor.connectors[2].stoppedConnecting)

    def test_the_address_that_worked_comes_first(self) -> None:
        for expected in (["::5", "10.0.0.7"], ["10.0.0.7"], ["10.0.0.7"]):
            self.reactor.tcpClients.clear()
            self.reactor.connectors.clear()
            connected = self.connect("::5", "10.0.0.7")
            if len(expected) > 1:
                self.refuse()
            self.assertEqual(self.tried(), expected)
            self.accept()
            self.successResultOf(connected)
        self.connect("10.0.0.9").addErrback(lambda _: None).cancel()
        self.assertEqual(self.tried()[-1], "10.0.0.9")

    def test_localhost_takes_no_look_up(self) -> None:
        self.endpoint = NameEndpoint(self.reactor, "localhost", 8080, 5.0)
        connected = self.connect()
        self.assertEqual(self.tried(), ["127.0.0.1"])
        self.refuse()
        self.assertEqual(self.tried(), ["127.0.0.1", "::1"])
        self.accept()
        self.successResultOf(connected)
        self.connect()
        self.assertEqual(self.tried(), ["127.0.0.1", "::1", "::1"])
        self.accept()
        self.assertEqual(self.resolver.asked, [])

    def test_one_that_refuses_late(self) -> None:
        """As a closed port does on Windows."""
        self.endpoint = NameEndpoint(self.reactor, "localhost", 8080, 5.0)
        connected = self.connect()
        self.reactor.advance(ATTEMPT_DELAY)
        self.accept()
        self.successResultOf(connected)
        self.connect()
        self.assertEqual(self.tried(), ["127.0.0.1", "::1", "::1"])
        self.accept()

    def test_the_failure_of_the_first_address_is_told(self) -> None:
        connected = self.connect("127.0.0.1", "::1")
        self.reactor.advance(ATTEMPT_DELAY)
        # Where the system has no IPv6.
        self.refuse(1, ConnectBindError(97, "Address family not supported"))
        self.assertNoResult(connected)
        self.refuse(0)
        self.failureResultOf(connected, ConnectionRefusedError)

    def test_no_address(self) -> None:
        connected = self.connect()
        self.resolver.answer()
        self.failureResultOf(connected, DNSLookupError)

    def test_a_name_that_cannot_be_looked_up_any_more(self) -> None:
        """Its host is where it was, for an hour."""
        self.connect("10.0.0.7")
        self.accept()
        for seconds in (0, STALE_SECONDS - 1):
            self.reactor.advance(seconds)
            connected = self.connect()
            self.resolver.answer()
            self.accept()
            self.successResultOf(connected)
        self.assertEqual(self.tried(), ["10.0.0.7"] * 3)
        self.reactor.advance(1)
        connected = self.connect()
        self.resolver.answer()
        self.failureResultOf(connected, DNSLookupError)

    def test_a_look_up_that_takes_long(self) -> None:
        self.connect("10.0.0.7")
        self.accept()
        first = self.connect()
        self.reactor.advance(SLOW_SECONDS * 0.9)
        second = self.connect()
        self.assertEqual(self.tried(), ["10.0.0.7"])
        self.reactor.advance(SLOW_SECONDS * 0.1)
        self.assertEqual(self.tried(), ["10.0.0.7"] * 3)
        for number, connected in ((1, first), (2, second)):
            self.accept(number)
            self.successResultOf(connected)
        # It may take for ever: who comes now waits no longer, and no more threads are taken.
        third = self.connect()
        self.reactor.advance(0)
        self.accept()
        self.successResultOf(third)
        self.assertEqual(len(self.resolver.asked), 2)
        # What it found after all is for those who come next.
        self.resolver.answer("10.0.0.8")
        self.connect("10.0.0.9")
        self.accept()
        self.assertEqual(self.tried()[-1], "10.0.0.9")

    def test_one_look_up_for_all_who_come_meanwhile(self) -> None:
        connections = [self.connect() for _ in range(3)]
        self.assertEqual(len(self.resolver.asked), 1)
        connections[1].cancel()
        self.failureResultOf(connections[1], CancelledError)
        self.resolver.answer("10.0.0.7")
        self.assertEqual(self.tried(), ["10.0.0.7"] * 2)
        self.connect("10.0.0.7")
        self.assertEqual(len(self.resolver.asked), 2)
        for number in range(3):
            self.accept(number)

    def test_a_look_up_that_never_ends_does_not_keep_others(self) -> None:
        self.connect().addErrback(lambda _: None).cancel()
        self.reactor.advance(5.0)
        connected = self.connect()
        self.assertEqual(len(self.resolver.asked), 2)
        self.resolver.answer("10.0.0.7")
        self.accept()
        self.successResultOf(connected)
        self.resolver.answer("10.0.0.7", number=0)
        self.assertEqual(len(self.tried()), 1)

    def test_cancelled(self) -> None:
        connected = self.connect("::5", "10.0.0.7")
        self.reactor.advance(ATTEMPT_DELAY)
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        self.assertTrue(all(each.stoppedConnecting for each in self.reactor.connectors))
