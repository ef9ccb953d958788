"""The fixtures that show what the libraries alone cost: each carries a request and its answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.benchmarks.bare import BareFactory
from tests.benchmarks.card import card_site
from tests.benchmarks.traffic import ANSWER, PERMITS, REQUEST, http_request

_ADDRESS = IPv4Address("TCP", "127.0.0.1", 1)
_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Transport(StringTransport):
    """A connection in memory."""

    aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As TCP has it."""

    def abortConnection(self) -> None:
        self.aborted = True

    def taken(self) -> bytes:
        """What was written since this was last asked."""
        data: bytes = self.value()
        self.clear()
        return data


class Bench:
    """A fixture between clients and an upstream that are made by hand."""

    def __init__(self, make: Callable[[Any, int], Any]) -> None:
        self._reactor = MemoryReactorClock()
        self._factory = make(self._reactor, 9)
        self.upstreams: list[tuple[Any, Transport]] = []

    def client(self) -> tuple[Any, Transport]:
        """One that has connected."""
        return self._connect(self._factory)

    def ask(self, client: tuple[Any, Transport]) -> None:
        """Send a request. The upstream takes the connections that are made for it."""
        client[0].dataReceived(http_request(REQUEST))
        for _, port, factory, *_ in self._reactor.tcpClients[len(self.upstreams) :]:
            assert port == 9
            self.upstreams.append(self._connect(factory))

    def answer(self, number: int) -> None:
        """Answer on a connection of the upstream's."""
        self.upstreams[number][0].dataReceived((_HEAD % len(ANSWER) + ANSWER).encode())

    def _connect(self, factory: Any) -> tuple[Any, Transport]:
        protocol, transport = factory.buildProtocol(_ADDRESS), Transport()
        protocol.makeConnection(transport)
        return protocol, transport


def body_of(data: bytes) -> dict[str, Any]:
    """What a message says."""
    said: dict[str, Any] = json.loads(data.partition(b"\r\n\r\n")[2])
    return said


class FixtureTests(SynchronousTestCase):
    def benches(self) -> list[Bench]:
        """One with each fixture."""
        return [Bench(BareFactory), Bench(card_site)]

    def test_a_request_and_its_answer_are_written_anew(self) -> None:
        for bench in self.benches():
            client = bench.client()
            for _ in range(2):
                bench.ask(client)
                asked = bench.upstreams[0][1].taken()
                self.assertTrue(asked.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n"), asked)
                self.assertEqual(body_of(asked), {**json.loads(REQUEST), "model": "guard"})
                bench.answer(0)
                answered = client[1].taken()
                self.assertTrue(answered.startswith(b"HTTP/1.1 200 "), answered)
                self.assertEqual(body_of(answered), {**json.loads(ANSWER), "model": "default"})
            self.assertEqual(len(bench.upstreams), 1)

    def test_no_more_than_permitted(self) -> None:
        for bench in self.benches():
            for _ in range(PERMITS + 1):
                bench.ask(bench.client())
            self.assertEqual(len(bench.upstreams), PERMITS)
            bench.upstreams[3][1].taken()
            bench.answer(3)
            self.assertIn(b"POST ", bench.upstreams[3][1].taken())

    def test_a_connection_that_closes_is_not_used_again(self) -> None:
        bench = Bench(BareFactory)
        client = bench.client()
        bench.ask(client)
        bench.answer(0)
        bench.upstreams[0][0].connectionLost(Failure(ConnectionDone()))
        bench.ask(client)
        self.assertEqual(len(bench.upstreams), 2)
        bench.upstreams[1][0].connectionLost(Failure(ConnectionDone()))
        self.assertTrue(client[1].aborted)
