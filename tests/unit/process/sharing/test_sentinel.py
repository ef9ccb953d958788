"""Sentinels are asked for the Redis, one after the other, whatever is wrong with some."""

from __future__ import annotations

from typing import Any
from unittest import SkipTest

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

try:
    from skyproxy.process.sharing.link import Commands, NoMaster
    from skyproxy.process.sharing.sentinel import SentinelEndpoint
except ImportError:
    raise SkipTest('needs the extra: pip install "skyproxy[redis]"') from None
from tests.unit.process.sharing.test_redis_store import Endpoint

KNOWN = b"*2\r\n$9\r\n127.0.0.2\r\n$4\r\n7000\r\n"


class SentinelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.patch(Commands, "callLater", staticmethod(self.clock.callLater))
        self.first, self.second, self.master = Endpoint(), Endpoint(), Endpoint()
        self.places: list[tuple[str, int]] = []
        self.endpoint = SentinelEndpoint(self.clock, "main", [self.first, self.second], self.way)

    def way(self, host: str, port: int) -> Endpoint:
        self.places.append((host, port))
        return self.master

    def connect(self) -> Deferred[Any]:
        return self.endpoint.connect(object())

    def answer(self, sentinel: Endpoint, data: bytes) -> None:
        transport = sentinel.accept()
        self.assertIn(b"get-master-addr-by-name\r\n$4\r\nmain\r\n", transport.value())
        transport.protocol.dataReceived(data)
        for _ in range(5):
            self.clock.advance(0)
        self.assertTrue(transport.disconnecting)

    def test_one_that_knows_is_asked_first_the_next_time(self) -> None:
        connected = self.connect()
        self.first.refuse()
        self.answer(self.second, KNOWN)
        self.assertEqual(self.places, [("127.0.0.2", 7000)])
        self.master.tries.pop()[1].callback("connected")
        self.assertEqual(self.successResultOf(connected), "connected")
        self.connect()
        self.assertEqual((len(self.first.tries), len(self.second.tries)), (0, 1))

    def test_one_that_does_not_know_or_is_silent(self) -> None:
        connected = self.connect()
        self.answer(self.first, b"*-1\r\n")
        self.second.accept()
        self.clock.advance(1.0)
        self.failureResultOf(connected, NoMaster)
        self.assertEqual(self.places, [])

    def test_one_that_refuses(self) -> None:
        connected = self.connect()
        self.answer(self.first, b"-NOAUTH Authentication required.\r\n")
        self.answer(self.second, KNOWN)
        self.master.refuse()
        self.failureResultOf(connected)

    def test_the_end_of_a_try_asks_nobody_else(self) -> None:
        connected = self.connect()
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        self.assertEqual(self.second.tries, [])
