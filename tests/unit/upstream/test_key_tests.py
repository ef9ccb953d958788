"""Tests of keys while the process serves."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import ProviderConfig
from skyproxy.config.known import Known
from skyproxy.errors import UpstreamUnreachable
from skyproxy.upstream import key_tests
from skyproxy.upstream.exchange.questions import ServerReply
from skyproxy.upstream.key_tests import KeyTests
from skyproxy.util.timers import Timers

MODELS = {"data": [{"id": "m"}]}


class FakeClient:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


class KeyTestsTests(SynchronousTestCase):
    """:class:`KeyTests`, with questions that the test answers."""

    def setUp(self) -> None:
        self.clients: list[FakeClient] = []
        self.asked: list[tuple[str, Deferred[Any]]] = []
        case = self

        class FakeQuestions:
            def __init__(self, client: Any, timers: Any, provider: str, seconds: float, most: int) -> None:
                self.seconds = seconds

            async def get(self, url: str, headers: Any) -> Any:
                case.asked.append((url, Deferred()))
                return await case.asked[-1][1]

        self.patch(key_tests, "Questions", FakeQuestions)
        places = (Known("ollama", "Ollama", "http://127.0.0.1:1/v1"), Known("other", "Other", "http://127.0.0.1:2/v1"))
        self.tests = KeyTests(self.make, Timers(Clock()), places)

    def make(self, config: ProviderConfig) -> Any:
        self.clients.append(FakeClient())
        return self.clients[-1]

    def config(self, name: str) -> ProviderConfig:
        return ProviderConfig(name=name, base_url=f"http://{name}.example/v1")

    def test_one_provider_after_the_other(self) -> None:
        first, second = self.tests.test(self.config("a")), self.tests.test(self.config("b"))
        self.assertEqual([url for url, _ in self.asked], ["http://a.example/v1/models"])
        self.asked[0][1].callback(ServerReply(200, MODELS, ""))
        self.assertEqual(self.successResultOf(first)[0].result, "answers")
        self.assertNoResult(second)
        self.asked[1][1].errback(UpstreamUnreachable("no"))
        self.assertEqual(self.successResultOf(second)[0].result, "no answer")
        self.assertTrue(all(each.closed for each in self.clients))

    def test_who_asks_meanwhile_shares_the_result_even_if_the_first_leaves(self) -> None:
        first, second = self.tests.test(self.config("a")), self.tests.test(self.config("a"))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(len(self.asked), 1)
        self.asked[0][1].callback(ServerReply(200, MODELS, ""))
        self.assertEqual(self.successResultOf(second)[0].models, ("m",))
        self.tests.test(self.config("a"))
        self.assertEqual(len(self.asked), 2)

    def test_a_fault_reaches_all_and_ends_the_test(self) -> None:
        asking = [self.tests.test(self.config("a")) for _ in range(2)]
        self.asked[0][1].errback(ZeroDivisionError())
        for each in asking:
            self.failureResultOf(each, ZeroDivisionError)
        self.tests.test(self.config("b"))
        self.assertEqual(len(self.asked), 2)

    def test_servers_on_this_machine(self) -> None:
        looking = self.tests.local()
        self.asked[0][1].callback(ServerReply(200, MODELS, ""))
        self.asked[1][1].callback(ServerReply(404, None, ""))
        self.assertEqual(self.successResultOf(looking), {"ollama": ("http://127.0.0.1:1/v1", ("m",))})
        self.assertEqual(self.tests.titles, ("Ollama", "Other"))
