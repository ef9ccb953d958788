"""Redis as the place where answers are kept: what is asked on which connection."""

from __future__ import annotations

from typing import Any
from unittest import SkipTest

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

try:
    from skyproxy.process.sharing.link import Commands
    from skyproxy.process.sharing.redis_answers import NotThere, RedisAnswers, redis_store
except ImportError:
    raise SkipTest('needs the extra: pip install "skyproxy[redis]"') from None
from skyproxy.cache.remote import CHECK_SECONDS, PATIENCE_SECONDS, RemoteStore, Totals
from skyproxy.config import ProxySettings
from skyproxy.http.client.trust import Roots
from tests.unit.process.sharing.test_redis_store import Endpoint, Transport

KEY = b"k" * 32


class RedisAnswersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.endpoint = Clock(), Endpoint()
        # It reads what is left of the same data in another turn of the reactor, its own.
        self.patch(Commands, "callLater", staticmethod(self.clock.callLater))
        login = {"password": None, "username": None, "dbid": None}
        self.answers = RedisAnswers(self.clock, self.endpoint, login)

    def receive(self, transport: Transport, data: bytes) -> None:
        transport.clear()
        transport.protocol.dataReceived(data)
        for _ in range(10):
            self.clock.advance(0)

    def begin(self) -> tuple[Transport, Transport]:
        """That on which is read, and that on which is written."""
        self.answers.begin(lambda: None, lambda why: None)
        return self.endpoint.accept(), self.endpoint.accept()

    def test_each_connection_is_checked(self) -> None:
        both = self.begin()
        for silent, answers in (both, both[::-1]):
            checked = self.answers.check()
            self.receive(answers, b"*2\r\n:3\r\n:4000\r\n")
            self.assertNoResult(checked)
            self.receive(silent, b"*2\r\n:3\r\n:4000\r\n")
            self.assertEqual(self.successResultOf(checked), Totals(3, 4000))
        checked = self.answers.check()
        self.receive(both[1], b"-ERR in disorder\r\n")
        self.assertEqual(str(self.failureResultOf(checked, NotThere).value), "ERR in disorder")
        self.receive(both[0], b"-ERR in disorder\r\n")
        both[0].protocol.transport.abortConnection()
        self.failureResultOf(self.answers.check(), NotThere)

    def test_one_whose_reading_connection_hangs_is_not_used(self) -> None:
        store = RemoteStore(self.answers, "redis://h", str, 1000, self.clock)
        store.start()
        both = self.endpoint.accept(), self.endpoint.accept()
        for each in both:
            self.receive(each, b"*2\r\n:0\r\n:0\r\n")
        found = store.get(KEY)
        self.assertNoResult(found)
        self.clock.pump([PATIENCE_SECONDS, 0])
        self.assertIsNone(self.successResultOf(found))
        self.receive(both[1], b"*2\r\n:0\r\n:0\r\n")
        # No other request waits for it, and soon there are other connections.
        self.assertIsNone(self.successResultOf(store.get(KEY)))
        self.clock.pump([CHECK_SECONDS, 0])
        self.assertTrue(all(each.disconnected for each in both))

    def test_it_is_reached_as_that_of_shared_limits_is(self) -> None:
        for url, ports, said in (
            ("redis://u:pw@127.0.0.1:7000/3", [7000, 7000], b"AUTH\r\n$1\r\nu\r\n$2\r\npw\r\n"),
            ("rediss://127.0.0.1:7001", [7001, 7001], b"\x16\x03"),
            ("redis+sentinel://127.0.0.1:1,127.0.0.1:2/main", [1, 1], b"get-master-addr-by-name\r\n$4\r\nmain"),
        ):
            with self.subTest(url=url):
                reactor = MemoryReactorClock()
                settings = ProxySettings.model_validate({"cache": {"address": url}})
                redis_store(reactor, settings, Roots({})).start()
                self.assertEqual([client[1] for client in reactor.tcpClients], ports)
                factory = reactor.tcpClients[0][2]
                transport = Transport()
                transport.protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
                transport.protocol.makeConnection(transport)
                self.assertIn(said, transport.value())

    def test_what_is_refused_is_said(self) -> None:
        reading, _ = self.begin()
        found: Deferred[Any] = self.answers.find(KEY, 1000)
        self.receive(reading, b"-NOPERM no\r\n")
        self.assertEqual(
            str(self.failureResultOf(found, NotThere).value),
            "NOPERM no (give its user all that the operator's guide lists)",
        )
