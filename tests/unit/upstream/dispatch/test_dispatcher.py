"""Asking one provider, and then the next."""

from __future__ import annotations

import gzip
import json
from typing import Any

from pydantic import SecretStr
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import ApiKeyConfig, BreakerSettings, Priority, ProviderConfig
from skyproxy.config.dialect import Dialect
from skyproxy.errors import UpstreamBroken, UpstreamReported, UpstreamTimeout, UpstreamUnreachable, UpstreamUnusable
from skyproxy.http.client.tunnel import ProxyTrouble
from skyproxy.upstream.dispatch.backoff import Backoff
from skyproxy.upstream.dispatch.dispatcher import Dispatcher
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.attempt import AttemptObserver
from skyproxy.upstream.exchange.first_content import AnswerKind
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.exchange.upstream_request import UpstreamRequest
from skyproxy.upstream.guards.admission_control import Guards
from skyproxy.upstream.guards.breaker import Breaker
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.upstream.guards.deployments import Deployments
from skyproxy.upstream.guards.keys import KeyRing
from skyproxy.upstream.guards.refusals import BacklogFull, KeysResting, QueueTimeout
from skyproxy.util.timers import Timers
from tests.unit.fakes import EVENTS, TIMEOUTS, Prepared, Response, Upstream, event, given_up, pending_calls, word

REQUEST = UpstreamRequest("/chat/completions", (), b"{}", TIMEOUTS)
ROLE = event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])
GOOD = json.dumps({"choices": [{"message": {"content": "Halt!"}}]}).encode()


def candidate_of(answer: Answer) -> int:
    """The index of the one that gave it."""
    assert answer.attempt is not None
    return answer.attempt.candidate


class Case(SynchronousTestCase):
    """Two providers, the second one a fallback of the first."""

    keys: tuple[str, ...] = ()
    rate = False
    dialect: Dialect = "openai"
    retries = 2

    def setUp(self) -> None:
        self.clock = Clock()
        self.upstreams = [Upstream(), Upstream()]
        self.first, self.second = (self.provider(*each) for each in zip("ab", self.upstreams, strict=True))
        self.budget = RetryBudget(self.clock)
        self.dispatcher = Dispatcher(self.clock, self.budget, Backoff(lambda: 0.5))

    def provider(self, name: str, upstream: Upstream) -> Provider:
        keys = tuple(ApiKeyConfig(variable=key, secret=SecretStr(f"sk-{key}")) for key in self.keys)
        config = ProviderConfig(
            name=name,
            base_url="http://127.0.0.1:9/v1",
            api_keys=keys,
            max_pending=5,
            dialect=self.dialect,
            max_retries=self.retries,
        )
        guards = Guards(
            Limiter(self.clock, max_concurrent=1, max_pending=5),
            Deployments(self.clock, BreakerSettings(consecutive=3), name),
            Breaker(self.clock, BreakerSettings(consecutive=3), name),
            KeyRing(self.clock, keys, name) if keys else None,
            rate=self.rate,
        )
        client: Any = upstream
        return Provider(config, Timers(self.clock), guards, client, self.clock.seconds)

    def ask(
        self,
        *,
        fallback: bool = True,
        kind: AnswerKind = AnswerKind.JSON,
        late: float | None = None,
        hedge: float | None = None,
    ) -> Deferred[Answer]:
        request = REQUEST._replace(streaming=True, timeouts=TIMEOUTS._replace(first_token=late))
        candidates = [Prepared(provider, request, kind, hedge) for provider in (self.first, self.second)]
        return self.dispatch(candidates if fallback else candidates[:1])

    def dispatch(self, candidates: list[Prepared]) -> Deferred[Answer]:
        return given_up(self, Deferred.fromCoroutine(self.dispatcher.dispatch(candidates, AttemptObserver())))

    def answer(
        self, status: int = 200, *headers: tuple[bytes, bytes], second: bool = False, whole: bytes | None = None
    ) -> Response:
        """Have the headers of an answer come, or the *whole* of it."""
        return self.upstreams[second].answer(status, *headers, whole=whole)

    def asked(self) -> tuple[int, int]:
        """How many requests each of the two got."""
        first, second = (len(upstream.posted) for upstream in self.upstreams)
        return first, second

    def assertSecond(self, asking: Deferred[Answer]) -> None:
        """The second answers, and all is given back."""
        self.answer(second=True).send(GOOD).end()
        answer = self.successResultOf(asking)
        self.assertEqual((candidate_of(answer), answer.status), (1, 200))
        answer.close(None)
        self.assertEqual([each.limits().in_use for each in (self.first, self.second)], [0, 0])
        self.assertEqual(pending_calls(self.clock), [])

    def failures(self) -> int:
        breaker = self.first.deployments.of("").breaker
        assert breaker is not None
        return breaker.statistics().consecutive


class GatewayTests(Case):
    """What answers in place of the provider."""

    def test_it_is_down_as_a_whole_though_its_gateway_says_so_in_json(self) -> None:
        problem = {"title": "Error 502: Bad gateway", "status": 502, "detail": "The origin did not answer."}
        for told, blamed in (({**problem, "cloudflare_error": True}, [1, 0]), (problem, [0, 1])):
            self.setUp()
            asking = self.ask(fallback=False, late=None)
            self.answer(502, (b"Content-Type", b"application/json"), (b"x-should-retry", b"false"),
                        whole=json.dumps(told).encode())  # fmt: skip
            self.successResultOf(asking).close(None)
            breaker = self.first.guards.breaker
            assert breaker is not None
            self.assertEqual([breaker.statistics().consecutive, self.failures()], blamed, told)

    def test_what_it_says_of_the_time_is_no_knowledge(self) -> None:
        for told, asked in (({"status": 502, "cloudflare_error": True, "retry_after": 60}, 2), ({"message": "No."}, 1)):
            self.setUp()
            asking = self.ask(fallback=False)
            self.answer(502, (b"Retry-After", b"60"), whole=json.dumps(told).encode())
            self.clock.advance(1)
            self.assertEqual(self.asked(), (asked, 0), told)
            if asked == 2:
                self.answer(whole=GOOD)
            self.successResultOf(asking).close(None)


class LoadingTests(Case):
    """A server that loads its model, and answers by 503 meanwhile, as llama.cpp's does."""

    dialect = "local"

    def load(self, message: str = "Loading model") -> None:
        error = {"error": {"message": message, "type": "unavailable_error", "code": 503}}
        self.answer(503, whole=json.dumps(error).encode())

    def test_who_has_nobody_else_waits_and_that_is_no_retry(self) -> None:
        asking = self.ask(fallback=False)
        for number in range(8):
            self.load()
            self.clock.advance(0.99)
            self.assertEqual(self.asked()[0], number + 1)
            self.clock.advance(0.01)
        self.answer(whole=GOOD)
        self.assertEqual(self.successResultOf(asking).status, 200)
        self.assertEqual(self.budget.statistics().retries, 0)

    def test_no_longer_than_for_a_permit(self) -> None:
        asking = self.ask(fallback=False)
        seconds = 0
        while not asking.called:
            self.load()
            self.clock.advance(1)
            seconds += 1
            self.assertLess(seconds, 100)
        self.assertEqual(self.successResultOf(asking).status, 503)
        self.assertTrue(TIMEOUTS.queue - 1 <= seconds <= TIMEOUTS.queue + 2, seconds)

    def test_who_has_somebody_else_does_not(self) -> None:
        asking = self.ask()
        for _ in range(3):
            self.load()
            self.clock.advance(0.9)
        self.assertSecond(asking)

    def test_others_are_retried_as_ever(self) -> None:
        cases: tuple[tuple[str, Dialect, int, int], ...] = (
            ("Server busy", "local", 2, 3), ("Loading model", "openai", 2, 3), ("Loading model", "local", 0, 1),
        )  # fmt: skip
        for message, self.dialect, self.retries, asked in cases:
            self.setUp()
            asking = self.ask(fallback=False)
            while not asking.called:
                self.load(message)
                self.clock.advance(2)
            self.assertEqual((self.successResultOf(asking).status, self.asked()[0]), (503, asked), message)


class WaitingProbeTests(Case):
    """One that finds out whether a model is well again, while other models have all permits."""

    def setUp(self) -> None:
        super().setUp()
        breaker = self.first.deployments.of("").breaker
        assert breaker is not None
        for _ in range(3):
            breaker.admit(last=True).failed("why")
        self.clock.advance(1)
        self.breaker = breaker
        self.other = self.dispatch([Prepared(self.first, REQUEST._replace(model="other"), AnswerKind.JSON)])

    def test_others_go_on_to_the_next(self) -> None:
        probe = self.ask()
        self.clock.advance(5)
        self.assertEqual(self.asked(), (1, 0))
        self.assertSecondToo(self.ask())
        self.answer(whole=GOOD)
        self.successResultOf(self.other).close(None)
        self.clock.advance(0.5)
        self.assertEqual(self.asked(), (2, 1))
        self.assertSecondToo(self.ask())
        self.answer(whole=GOOD)
        self.successResultOf(probe).close(None)
        self.assertTrue(self.breaker.calm)

    def test_a_background_request_keeps_no_place_from_an_interactive_one(self) -> None:
        background = REQUEST._replace(priority="background")
        waiting = self.dispatch([Prepared(each, background, AnswerKind.JSON) for each in (self.first, self.second)])
        interactive = self.ask()
        self.clock.advance(0.5)
        self.assertEqual(self.asked(), (1, 0))
        self.answer(whole=GOOD)
        self.successResultOf(self.other).close(None)
        self.assertEqual(self.asked(), (2, 0))
        self.answer(whole=GOOD)
        self.successResultOf(interactive).close(None)
        self.assertEqual(self.asked(), (3, 0))
        self.answer(whole=GOOD)
        self.successResultOf(waiting).close(None)

    def assertSecondToo(self, asking: Deferred[Answer]) -> None:
        self.answer(second=True).send(GOOD).end()
        answer = self.successResultOf(asking)
        self.assertEqual(candidate_of(answer), 1)
        answer.close(None)


class UnreachableTests(Case):
    """Who cannot be reached is not tried again while somebody else is left."""

    def test_the_next_is_asked_at_once(self) -> None:
        for error in (ConnectionRefusedError(), ConnectTimeout()):
            before = self.asked()
            asking = self.ask()
            self.upstreams[0].pending[-1].errback(error)
            self.assertEqual(self.asked(), (before[0] + 1, before[1] + 1))
            self.assertSecond(asking)

    def test_a_proxy_that_refuses_is_held_against_nobody(self) -> None:
        for _ in range(5):
            asking = self.ask()
            self.upstreams[0].pending[-1].errback(ProxyTrouble("proxy:3128", "it answered 403", 403))
            self.assertSecond(asking)
        self.assertEqual(self.asked(), (5, 5))
        self.assertEqual(self.first.counts.responses, {"proxy_refused": 5})
        assert self.first.guards.breaker is not None
        self.assertEqual((self.first.guards.breaker.statistics().consecutive, self.failures()), (0, 0))

    def test_the_last_is_tried_again(self) -> None:
        asking = self.ask(fallback=False)
        for number in range(3):
            self.assertEqual(self.asked(), (number + 1, 0))
            self.upstreams[0].pending[-1].errback(ConnectTimeout())
            self.clock.advance(1)
        self.failureResultOf(asking, UpstreamTimeout)


class FirstTokenTests(Case):
    """first_token_timeout."""

    def test_no_headers_in_time(self) -> None:
        asking = self.ask(late=4.0)
        self.clock.advance(3.9)
        self.assertEqual(self.asked(), (1, 0))
        self.clock.advance(0.1)
        self.assertEqual((self.asked(), self.upstreams[0].cancelled), ((1, 1), 1))
        self.assertEqual((self.failures(), self.first.counts.responses), (1, {"upstream_timeout": 1}))
        self.assertSecond(asking)

    def test_no_content_in_time(self) -> None:
        asking = self.ask(late=4.0)
        response = self.answer(200, EVENTS)
        for _ in range(3):
            self.clock.advance(1)
            response.send(b": wait\n\n", ROLE)
        self.clock.advance(1)
        self.assertTrue(response.transport.aborted)
        self.assertEqual((self.failures(), self.first.counts.responses), (1, {"200": 1, "upstream_timeout": 1}))
        self.assertSecond(asking)

    def test_no_byte_of_anything_in_time(self) -> None:
        asking = self.ask(late=4.0, kind=AnswerKind.ANYTHING)
        self.answer(200, (b"Content-Type", b"audio/wav"))
        self.clock.advance(4)
        self.assertEqual((self.asked(), self.failures()), ((1, 1), 1))
        asking.cancel()
        self.failureResultOf(asking, CancelledError)

    def test_a_provider_that_hangs_opens_its_breaker(self) -> None:
        for number in range(5):
            asking = self.ask(late=4.0)
            self.clock.advance(4)
            self.assertSecond(asking)
            self.assertEqual(self.asked()[0], min(number + 1, 3) + (number == 4))

    def test_late_in_the_queue_is_no_failure(self) -> None:
        holding = self.ask(fallback=False)
        asking = self.ask(late=4.0)
        self.clock.advance(4)
        self.assertEqual((self.asked(), self.failures(), self.first.counts.responses), ((1, 1), 0, {}))
        holding.cancel()
        self.failureResultOf(holding, CancelledError)
        self.assertSecond(asking)

    def test_the_wait_for_a_permit_counts(self) -> None:
        holding = self.ask(fallback=False)
        asking = self.ask(late=4.0)
        self.clock.advance(3)
        holding.cancel()
        self.failureResultOf(holding, CancelledError)
        self.clock.advance(1)
        self.assertEqual(self.asked(), (2, 1))
        self.assertSecond(asking)

    def test_an_error_in_the_place_of_anything(self) -> None:
        error = b'{"error": {"message": "quota", "code": 402}}'
        for late in (4.0, None):
            for whole in (error, None):
                self.setUp()
                asking = self.ask(late=late, kind=AnswerKind.ANYTHING)
                response = self.answer(200, (b"Content-Type", b"application/json; charset=utf-8"), whole=whole)
                if whole is None:
                    response.send(error[:9], error[9:]).end()
                self.assertEqual(self.asked(), (1, 1))
                self.assertSecond(asking)

    def test_json_in_the_place_of_anything_is_none(self) -> None:
        for body in (b'{"text": "Halt!"}', b'"Halt!"', b"Halt!", b""):
            for whole in (body, None):
                self.setUp()
                asking = self.ask(kind=AnswerKind.ANYTHING)
                response = self.answer(200, whole=whole)
                if whole is None:
                    response.send(*filter(None, [body])).end()
                answer = self.successResultOf(asking)
                said: list[bytes] = []
                self.successResultOf(answer.body.flow(said.append))
                self.assertEqual((b"".join(said), self.asked()), (body, (1, 0)))
                answer.close(None)

    def test_in_time(self) -> None:
        asking = self.ask(late=4.0)
        response = self.answer(200, EVENTS).send(word("Halt"))
        answer = self.successResultOf(asking)
        self.assertEqual(candidate_of(answer), 0)
        answer.body.stream()
        self.clock.advance(20)
        self.assertFalse(response.transport.aborted)
        answer.close(None)

    def test_the_last_one_has_the_time_it_needs(self) -> None:
        asking = self.ask(fallback=False, late=4.0)
        self.clock.advance(50)
        self.assertNoResult(asking)
        asking.cancel()
        self.failureResultOf(asking, CancelledError)

    def test_a_client_that_leaves_is_no_failure(self) -> None:
        asking = self.ask(late=4.0)
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertEqual((self.failures(), self.first.counts.responses), (0, {}))


class OpeningTests(Case):
    """A stream before its first content."""

    def test_comments_are_life(self) -> None:
        asking = self.ask(fallback=False)
        response = self.answer(200, EVENTS).send(b": wait\n\n")
        self.clock.advance(45)  # which is over idle_timeout
        response.send(word("Halt"))
        self.successResultOf(asking).close(None)

    def test_but_not_for_ever(self) -> None:
        asking = self.ask(fallback=False)
        response = self.answer(200, EVENTS)
        for _ in range(12):
            self.assertNoResult(asking)
            response.send(b": wait\n\n")
            self.clock.advance(5)
        self.assertEqual(self.failureResultOf(asking, UpstreamTimeout).value.timer, "default_timeout")
        self.assertEqual(self.first.counts.responses, {"200": 1, "upstream_timeout": 1})

    def test_a_compressed_stream_is_asked_for_once(self) -> None:
        asking = self.ask(fallback=False)
        self.answer(200, EVENTS, (b"Content-Encoding", b"gzip")).send(gzip.compress(word("Halt")))
        self.assertIn("compressed", str(self.failureResultOf(asking, UpstreamBroken).value))
        self.assertEqual(self.asked(), (1, 0))

    def test_all_of_it_has_come(self) -> None:
        asking = self.ask()
        self.answer(200, EVENTS, whole=word("Halt", "stop"))
        answer = self.successResultOf(asking)
        self.assertEqual((answer.data, answer.whole), (word("Halt", "stop"), None))
        answer.close(None)
        self.assertEqual((self.first.limits().in_use, pending_calls(self.clock)), (0, []))

    def test_all_of_it_has_come_and_it_says_nothing(self) -> None:
        for headers, whole, code in (
            ((EVENTS,), b"", "upstream_broken"),
            ((EVENTS,), ROLE, "upstream_broken"),
            ((EVENTS,), ROLE + b"data: [DONE]\n\n", "upstream_broken"),
            ((EVENTS,), event(error={"message": "busy", "code": 503}), "upstream_error"),
            ((EVENTS, (b"Content-Encoding", b"gzip")), gzip.compress(word("Halt")), "upstream_broken"),
        ):
            self.setUp()
            asking = self.ask(fallback=False)
            self.answer(200, *headers, whole=whole)
            self.assertEqual(self.first.counts.responses, {"200": 1, code: 1})
            self.assertEqual(self.first.limits().in_use, 0)
            asking.cancel()
            self.failureResultOf(asking)

    def test_and_then_of_the_next(self) -> None:
        asking = self.ask()
        self.answer(200, EVENTS, (b"Content-Encoding", b"gzip"))
        self.assertEqual(self.asked(), (1, 1))
        self.assertSecond(asking)


class FallbackTests(Case):
    """The next candidate."""

    def test_refused(self) -> None:
        for status in (401, 402, 403, 404, 413, 501, 525):
            self.setUp()
            asking = self.ask()
            self.answer(status)
            self.assertEqual((self.asked(), self.first.counts.fallbacks), ((1, 1), 1))
            self.assertSecond(asking)

    def test_redirects(self) -> None:
        for status in (300, 301, 302, 304, 307, 308, 399):
            for kind in AnswerKind:
                self.setUp()
                asking = self.ask(kind=kind)
                response = self.answer(status, (b"Location", b"http://127.0.0.1:9/"))
                self.assertTrue(response.transport.aborted)
                self.assertEqual((self.asked(), self.failures()), ((1, 1), 1))
                self.assertEqual(self.first.counts.responses, {str(status): 1, "upstream_broken": 1})
                self.assertSecond(asking)

    def test_redirected_by_the_last(self) -> None:
        asking = self.ask(fallback=False)
        self.answer(302, (b"Location", b"http://127.0.0.1:9/"))
        self.assertIn("base_url", self.failureResultOf(asking, UpstreamUnusable).value.message)
        self.assertEqual((self.asked(), self.first.limits().in_use), ((1, 0), 0))

    def test_success_with_nothing_to_read(self) -> None:
        for status in (201, 202, 204):
            self.setUp()
            asking = self.ask()
            for _ in range(3):
                self.answer(status).end()
                self.clock.advance(1)
            self.assertEqual(self.asked(), (3, 1))
            self.assertSecond(asking)

    def test_out_of_order_for_now(self) -> None:
        for status in (408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529):
            self.setUp()
            asking = self.ask()
            for _ in range(3):
                self.answer(status)
                self.clock.advance(1)
            self.assertEqual((self.asked(), self.first.counts.fallbacks), ((3, 1), 1))
            self.assertSecond(asking)

    def test_refused_within_a_stream(self) -> None:
        asking = self.ask()
        self.answer(200, EVENTS).send(event(error={"message": "no credits", "code": 402}))
        self.assertEqual(self.asked(), (1, 1))
        self.assertSecond(asking)

    def test_refused_by_the_last(self) -> None:
        asking = self.ask(fallback=False)
        self.answer(403)
        answer = self.successResultOf(asking)
        self.assertEqual((answer.status, self.asked()), (403, (1, 0)))
        answer.close(None)

    def test_what_the_request_got_wrong_is_wrong_everywhere(self) -> None:
        for status in (400, 409, 422):
            self.setUp()
            asking = self.ask()
            self.answer(status)
            self.assertEqual(self.successResultOf(asking).status, status)
            self.assertEqual((self.asked(), self.first.counts.fallbacks), ((1, 0), 0))
        self.setUp()
        asking = self.ask()
        self.answer(200, EVENTS).send(event(error={"message": "x", "code": 400}))
        self.failureResultOf(asking, UpstreamReported)

    def test_what_another_may_take_goes_to_the_next_whatever_its_status(self) -> None:
        asking = self.ask()
        self.answer(200, EVENTS).send(event(error={"message": "x", "code": "context_length_exceeded"}))
        self.assertNoResult(asking)
        self.assertEqual((self.asked(), self.first.counts.fallbacks), ((1, 1), 1))

    def test_a_client_that_leaves_before_it_is_sent_again(self) -> None:
        for waited, again in ((0.0, 0), (60.0, 1)):
            self.setUp()
            asking = self.ask(fallback=False)
            self.answer(503)
            self.clock.advance(waited)
            self.assertEqual((self.asked()[0], self.first.counts.retries), (1 + again, again))
            asking.cancel()
            self.failureResultOf(asking, CancelledError)

    def test_connections_that_are_refused(self) -> None:
        asking = self.ask()
        self.upstreams[0].pending[-1].errback(ConnectionRefusedError())
        self.assertEqual((self.asked(), self.first.counts.retries, self.first.counts.fallbacks), ((1, 1), 0, 1))
        self.assertSecond(asking)


class HedgingTests(Case):
    """hedge_after."""

    def hedge(self) -> Deferred[Answer]:
        """Both are asked, and neither has answered yet."""
        asking = self.ask(hedge=2.0)
        self.clock.advance(2)
        return asking

    def assertFirst(self, asking: Deferred[Answer]) -> None:
        """The first answers, and all is given back."""
        self.answer().send(GOOD).end()
        answer = self.successResultOf(asking)
        self.assertEqual((candidate_of(answer), answer.status), (0, 200))
        answer.close(None)
        self.assertNothingHeld()

    def assertNothingHeld(self) -> None:
        self.assertEqual([each.limits().in_use for each in (self.first, self.second)], [0, 0])
        self.assertEqual(pending_calls(self.clock), [])

    def test_hedges_are_counted(self) -> None:
        asking = self.hedge()
        self.assertEqual((self.first.counts.hedges, self.first.counts.fallbacks), (1, 0))
        self.assertSecond(asking)
        self.assertEqual((self.second.counts.hedges, self.second.counts.fallbacks), (0, 0))

    def test_a_race_that_the_first_gave_up_is_no_hedge(self) -> None:
        asking = self.ask(hedge=2.0)
        self.answer(402)
        self.assertEqual((self.first.counts.hedges, self.first.counts.fallbacks), (0, 1))
        self.assertSecond(asking)

    def test_a_bad_answer_of_the_second_does_not_win(self) -> None:
        for status in (400, 401, 402, 403, 404, 422, 501):
            with self.subTest(status):
                self.setUp()
                asking = self.hedge()
                self.answer(status, second=True)
                self.assertNoResult(asking)
                self.assertEqual(self.upstreams[0].cancelled, 0)
                self.assertFirst(asking)

    def test_nor_does_a_redirect(self) -> None:
        asking = self.hedge()
        self.answer(302, second=True)
        self.assertNoResult(asking)
        self.assertFirst(asking)

    def test_nor_does_one_that_is_no_better_when_asked_again(self) -> None:
        asking = self.hedge()
        for _ in range(3):
            self.answer(503, second=True)
            self.clock.advance(1)
        self.assertEqual(self.asked(), (1, 3))
        self.assertNoResult(asking)
        self.assertFirst(asking)
        breaker = self.second.guards.breaker
        assert breaker is not None
        self.assertEqual(breaker.statistics().opened, 1)  # it takes three failures

    def test_nor_a_failure(self) -> None:
        asking = self.hedge()
        for _ in range(3):
            self.upstreams[1].pending[-1].errback(ConnectionRefusedError())
            self.clock.advance(1)
        self.assertNoResult(asking)
        self.assertFirst(asking)

    def test_what_the_second_came_to_is_what_is_left_when_the_first_gives_way(self) -> None:
        asking = self.hedge()
        self.answer(404, second=True)
        self.answer(401)
        answer = self.successResultOf(asking)
        self.assertEqual((candidate_of(answer), answer.status), (1, 404))
        answer.close(None)
        self.assertNothingHeld()

    def test_what_the_second_failed_with_is_what_is_left_when_the_first_gives_way(self) -> None:
        asking = self.hedge()
        for _ in range(3):
            self.upstreams[1].pending[-1].errback(ConnectionRefusedError())
            self.clock.advance(1)
        self.answer(401)
        self.failureResultOf(asking, UpstreamUnreachable)
        self.assertNothingHeld()

    def test_a_bad_answer_is_let_go_of_when_the_client_leaves(self) -> None:
        asking = self.hedge()
        self.answer(404, second=True)
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertNothingHeld()

    def test_a_bad_answer_is_let_go_of_when_the_first_says_what_is_wrong(self) -> None:
        asking = self.hedge()
        self.answer(404, second=True)
        self.answer(200, EVENTS).send(event(error={"message": "x", "code": 400}))
        self.failureResultOf(asking, UpstreamReported)
        self.assertNothingHeld()

    def test_what_the_first_got_wrong_is_wrong_everywhere(self) -> None:
        asking = self.hedge()
        self.answer(422)
        answer = self.successResultOf(asking)
        self.assertEqual((candidate_of(answer), answer.status, self.upstreams[1].cancelled), (0, 422, 1))
        answer.close(None)
        self.assertNothingHeld()

    def lose(self, times: int) -> None:
        """Have the first hang, *times* over."""
        for _ in range(times):
            self.assertSecond(self.hedge())

    def test_a_provider_that_hangs_has_no_hedge_delay_after_five_races(self) -> None:
        self.lose(4)
        asking = self.ask(hedge=2.0)
        self.clock.advance(1.9)
        self.assertEqual(self.asked(), (5, 4))
        self.clock.advance(0.1)
        self.assertSecond(asking)
        for _ in range(3):
            asking = self.ask(hedge=2.0)
            self.clock.advance(0)
            self.assertSecond(asking)
        self.assertEqual((self.asked(), self.first.counts.hedges, self.failures()), ((8, 8), 8, 0))

    def test_a_provider_that_wins_without_the_hedge_delay_has_it_back(self) -> None:
        self.lose(5)
        asking = self.ask(hedge=2.0)
        self.clock.advance(0)
        self.assertEqual(self.asked(), (6, 6))
        self.assertFirst(asking)
        self.assertFirst(self.ask(hedge=2.0))
        self.assertEqual(self.asked(), (7, 6))

    def test_one_that_wins_between_begins_anew(self) -> None:
        self.lose(4)
        self.assertFirst(self.ask(hedge=2.0))
        self.lose(4)
        self.assertFirst(self.ask(hedge=2.0))
        self.assertEqual(self.asked(), (10, 8))

    def test_one_request_finds_out_every_thirty_seconds(self) -> None:
        self.lose(5)
        for _ in range(2):
            self.clock.advance(30)
            finding_out, other = self.ask(hedge=2.0), self.ask(hedge=2.0)
            before = self.asked()[1]
            self.clock.advance(0)
            self.assertEqual(self.asked()[1], before + 1)  # only the other's
            self.answer(second=True).send(GOOD).end()
            self.successResultOf(other).close(None)
            self.clock.advance(2)
            self.assertSecond(finding_out)
        self.clock.advance(30)
        self.assertFirst(self.ask(hedge=2.0))
        self.assertFirst(self.ask(hedge=2.0))

    def test_one_finds_out_while_others_come_all_the_time(self) -> None:
        self.lose(5)
        for _ in range(5):
            self.clock.advance(5)
            asking = self.ask(hedge=2.0)
            self.clock.advance(0)
            self.assertSecond(asking)
        self.clock.advance(5)
        asking = self.ask(hedge=2.0)
        self.clock.advance(1.9)
        self.assertEqual(self.asked(), (11, 10))
        self.assertFirst(asking)

    def test_each_hedge_delay_counts_its_own_races(self) -> None:
        self.lose(5)
        asking = self.ask(hedge=3.0)
        self.clock.advance(2.9)
        self.assertEqual(self.asked(), (6, 5))
        self.assertFirst(asking)

    def test_who_fails_has_lost_no_race(self) -> None:
        for _ in range(6):
            asking = self.hedge()
            self.answer(401)
            self.assertSecond(asking)
        self.assertFirst(self.ask(hedge=2.0))
        self.assertEqual(self.asked(), (7, 6))


class KeyTests(Case):
    """Several keys that rest."""

    keys = ("A", "B")

    def assertWell(self, asking: Deferred[Answer]) -> None:
        self.answer().send(GOOD).end()
        answer = self.successResultOf(asking)
        self.assertEqual(answer.status, 200)
        answer.close(None)

    def used(self) -> str:
        return "".join(dict(headers)[b"Authorization"][-1:].decode() for _, headers, _ in self.upstreams[0].posted)

    def test_both_meet_a_limit_of_which_nobody_knows(self) -> None:
        asking = self.ask(fallback=False)
        self.answer(429)
        self.clock.advance(0)
        self.answer(429)
        self.clock.advance(0.9)
        self.assertEqual(self.used(), "AB")
        self.clock.advance(0.1)
        self.assertEqual(self.used(), "ABA")
        self.assertWell(asking)

    def test_both_meet_a_limit_that_is_told(self) -> None:
        asking = self.ask(fallback=False)
        for seconds in (b"3", b"30"):
            self.answer(429, (b"Retry-After", seconds))
            self.clock.advance(0)
        self.clock.advance(3)
        self.assertEqual(self.used(), "ABA")
        self.assertWell(asking)

    def limit_both(self, seconds: bytes) -> None:
        ring = self.first.guards.keys
        assert ring is not None
        for lease in [ring.take(), ring.take()]:
            lease.limited(float(seconds))
            lease.release()

    def test_both_rest(self) -> None:
        self.limit_both(b"3")
        asking = self.ask(fallback=False)
        self.assertNoResult(asking)
        self.clock.advance(3)
        self.assertWell(asking)
        self.assertEqual((self.first.counts.retries, self.budget.statistics().retries), (0, 1))

    def test_both_rest_for_long(self) -> None:
        self.limit_both(b"30")
        self.assertEqual(self.failureResultOf(self.ask(fallback=False), KeysResting).value.retry_after, 30)

    def test_both_rest_and_there_is_a_fallback(self) -> None:
        self.limit_both(b"3")
        asking = self.ask()
        self.assertEqual(self.asked(), (0, 1))
        self.assertSecond(asking)

    def test_both_meet_a_limit_and_there_is_a_fallback(self) -> None:
        asking = self.ask()
        self.answer(429)
        self.clock.advance(0)
        self.answer(429)
        self.assertEqual(self.asked(), (2, 1))
        self.assertSecond(asking)

    def test_forbidden_content_leaves_the_keys_alone(self) -> None:
        for _ in range(3):
            asking = self.ask(fallback=False)
            self.answer(403)
            self.clock.advance(0)
            self.answer(403)
            self.successResultOf(asking).close(None)
            self.clock.advance(5)
        self.assertEqual(self.used(), "ABABAB")
        ring = self.first.guards.keys
        assert ring is not None
        self.assertEqual([key.rejected for key in ring.statistics()], [False, False])


class KindTests(Case):
    """What an error means decides who is asked next."""

    keys = ("A", "B")

    def error(self, code_: int, *headers: tuple[bytes, bytes], **fields: Any) -> None:
        self.answer(code_, *headers, whole=json.dumps({"error": fields}).encode())

    def test_too_long_or_not_allowed_goes_to_the_next(self) -> None:
        for fields in (
            {"message": "too long", "code": "context_length_exceeded"},
            {"message": "no", "code": "content_filter"},
            {"message": "Your credit balance is too low to access the Anthropic API."},
        ):
            self.keys = ()
            self.setUp()
            asking = self.ask()
            self.error(400, **fields)
            self.assertEqual(self.asked(), (1, 1))
            self.assertSecond(asking)

    def test_what_is_wrong_with_the_request_is_no_failure_of_the_model_whatever_its_status(self) -> None:
        for status, fields, failures in (
            (500, {"message": "This model's maximum context length is 32768 tokens."}, 0),
            (500, {"message": "no", "code": "content_filter"}, 0),
            (503, {"message": "You exceeded", "code": "insufficient_quota"}, 0),
            (503, {"message": "slow down", "code": "rate_limit_exceeded"}, 0),
            (429, {"message": "full", "details": [{"reason": "MODEL_CAPACITY_EXHAUSTED"}]}, 1),
        ):
            self.keys = ()
            self.setUp()
            asking = self.ask()
            self.error(status, **fields)
            for _ in range(3):
                if not self.asked()[1]:
                    self.clock.advance(1)
                    self.error(404, message="gone")
            self.assertSecond(asking)
            self.assertEqual(self.failures(), failures, fields)

    def test_an_error_that_breaks_off_is_what_its_status_says(self) -> None:
        for status, keys, asked, failures in (
            (401, "AB", (2, 0), 0),
            (400, "A", (1, 0), 0),
            (413, "A", (1, 1), 0),
            (501, "A", (1, 1), 1),
        ):
            self.setUp()
            asking = self.ask()
            response = Response(status)
            self.upstreams[0].pending[-1].callback(response)
            response.send(b'{"error": {').cut()
            self.clock.advance(0)
            used = [dict(headers)[b"Authorization"][-1:].decode() for _, headers, _ in self.upstreams[0].posted]
            self.assertEqual(("".join(used), self.asked(), self.failures()), (keys, asked, failures), status)
            asking.addErrback(lambda failure: failure.trap(CancelledError)).cancel()

    def test_an_invalid_key_under_400(self) -> None:
        asking = self.ask()
        self.error(
            400, message="API key not valid.", status="INVALID_ARGUMENT", details=[{"reason": "API_KEY_INVALID"}]
        )
        self.clock.advance(0)
        self.assertEqual(self.asked(), (2, 0))
        self.error(400, message="API key not valid.", details=[{"reason": "API_KEY_INVALID"}])
        self.assertEqual(self.asked(), (2, 1))
        self.assertSecond(asking)

    def test_another_key_is_no_retry(self) -> None:
        # A model that fails, of background requests say, may have spent all that there is.
        for reported in (False, True):
            self.setUp()
            while self.budget.take():
                pass
            asking = self.ask(fallback=False)
            said: dict[str, Any] = {"message": "Incorrect API key", "code": "invalid_api_key"}
            if reported:
                self.answer(200, EVENTS).send(event(error=said))
            else:
                self.error(401, **said)
            self.clock.advance(0)
            self.answer(whole=GOOD)
            self.assertEqual(self.successResultOf(asking).status, 200)

    def test_each_key_is_asked_once(self) -> None:
        self.keys = ("A", "B", "C", "D", "E")
        for status, keys in ((401, "ABCDE"), (403, "ABC")):
            self.setUp()
            asking = self.ask(fallback=False)
            for _ in keys:
                self.error(status, message="No.")
                self.clock.advance(0)
            self.assertEqual(self.successResultOf(asking).status, status)
            used = [dict(headers)[b"Authorization"][-1:].decode() for _, headers, _ in self.upstreams[0].posted]
            self.assertEqual("".join(used), keys)

    def test_a_model_that_an_account_has_not(self) -> None:
        """Another key may be of one that has it, and none is put aside: it is good for other models."""
        for fallback in (True, False):
            self.setUp()
            for _ in range(3):
                asking = self.ask(fallback=fallback)
                self.error(403, message="this model requires a subscription, upgrade for access")
                self.clock.advance(0)
                self.answer(whole=GOOD)
                answer = self.successResultOf(asking)
                self.assertEqual(answer.status, 200)
                answer.close(None)
                self.clock.advance(5)
            self.assertEqual(self.asked(), (6, 0))
            ring = self.first.guards.keys
            assert ring is not None
            self.assertEqual(ring.promising(), ["A", "B"])
        asking = self.ask(fallback=False)
        self.error(404, message="The model does not exist", code="model_not_found")
        self.successResultOf(asking).close(None)
        self.assertEqual(self.asked(), (7, 0))

    def test_no_credit_is_asked_for_once(self) -> None:
        self.keys = ()
        for rate in (False, True):
            self.rate = rate
            self.setUp()
            asking = self.ask(fallback=False)
            self.error(429, (b"x-should-retry", b"false"), message="You exceeded", code="insufficient_quota")
            self.successResultOf(asking).close(None)
            self.assertEqual(self.asked(), (1, 0))

    def test_should_retry(self) -> None:
        self.keys = ()
        for advice, asked in ((b"false", 1), (b"true", 2)):
            self.setUp()
            asking = self.ask(fallback=False)
            self.answer(503 if advice == b"false" else 409, (b"X-Should-Retry", advice))
            self.clock.advance(1)
            self.assertEqual(self.asked(), (asked, 0))
            asking.cancel()
            self.failureResultOf(asking, CancelledError) if asked == 2 else self.successResultOf(asking)

    def test_an_error_under_200_that_cannot_be_helped(self) -> None:
        error = {"message": "too long", "type": "invalid_request_error", "param": "messages",
                 "code": "context_length_exceeded", "metadata": {"raw": "so"}}  # fmt: skip
        asking = self.ask(fallback=False)
        self.answer(200, whole=json.dumps({"error": error}).encode())
        failed = self.failureResultOf(asking, UpstreamReported).value
        self.assertEqual((failed.status, failed.as_object(), self.asked()), (400, {"error": error}, (1, 0)))
        self.assertEqual(self.failures(), 0)

    def test_a_key_that_is_refused_under_200(self) -> None:
        for rate in (False, True):
            for code, message, aside in (
                (401, "Invalid API key", [True, False]),
                (402, "Insufficient credits", [True, False]),
                ("insufficient_quota", "You exceeded your quota", [True, False]),
                (403, "Forbidden", [False, False]),
            ):
                for fallback in (False, True):
                    self.rate = rate
                    self.setUp()
                    asking = self.ask(fallback=fallback)
                    self.answer(200, EVENTS).send(event(error={"code": code, "message": message}))
                    self.clock.advance(0)
                    self.assertEqual(self.asked(), (2, 0), (code, fallback))
                    used = [dict(headers)[b"Authorization"][-1:] for _, headers, _ in self.upstreams[0].posted]
                    self.assertEqual(used, [b"A", b"B"])
                    self.answer(whole=GOOD)
                    self.successResultOf(asking).close(None)
                    ring = self.first.guards.keys
                    assert ring is not None
                    self.assertEqual([key.rejected for key in ring.statistics()], aside)
                    self.assertEqual(self.failures(), 0)

    def test_all_keys_that_are_refused_under_200(self) -> None:
        asking = self.ask()
        for _ in range(2):
            self.answer(200, whole=json.dumps({"error": {"code": 402, "message": "no credit"}}).encode())
            self.clock.advance(0)
        self.assertEqual(self.asked(), (2, 1))
        self.assertSecond(asking)


class RefusedFallbackTests(Case):
    """A fallback that refuses the key it is given, as one without credit does."""

    keys = ("A",)
    rate = True

    def setUp(self) -> None:
        super().setUp()
        asking = self.ask()
        self.answer(404)
        self.answer(402, second=True)
        self.successResultOf(asking).close(None)
        self.assertEqual(self.asked(), (1, 1))

    def test_who_meets_a_limit_waits_for_its_end(self) -> None:
        asking = self.ask()
        self.answer(429)
        self.clock.advance(0.5)
        self.assertEqual(self.asked(), (3, 1))
        self.answer(whole=GOOD)
        self.assertEqual(candidate_of(self.successResultOf(asking)), 0)

    def test_who_is_late_has_the_time_it_needs(self) -> None:
        asking = self.ask(late=4.0)
        self.clock.advance(5)
        self.assertEqual(self.asked(), (2, 1))
        self.answer(whole=GOOD)
        self.assertEqual(candidate_of(self.successResultOf(asking)), 0)

    def test_the_log_tells_that_it_has_no_credit(self) -> None:
        with capturedLogs() as events:
            asking = self.ask()
            self.answer(402)
            self.assertSecond(asking)
        told = [(each["log_format"], each["status"]) for each in events if "variable" in each]
        self.assertEqual(told, [("Provider has no credit for the key of this variable", 402)])

    def test_it_is_asked_all_the_same_when_the_first_fails(self) -> None:
        asking = self.ask()
        self.answer(404)
        self.assertEqual(self.asked(), (2, 2))
        self.assertSecond(asking)

    def test_after_five_minutes_it_is_one_again(self) -> None:
        self.clock.advance(300)
        asking = self.ask()
        self.answer(429)
        self.assertEqual(self.asked(), (2, 2))
        self.assertSecond(asking)


class WayBackTests(Case):
    """A fallback that fails, after a candidate that was only to be waited for."""

    rate = True

    def end(self, asking: Deferred[Answer]) -> None:
        self.clock.advance(0.5)
        self.answer(whole=GOOD)
        answer = self.successResultOf(asking)
        self.assertEqual(candidate_of(answer), 0)
        answer.close(None)
        self.assertEqual([each.limits().in_use for each in (self.first, self.second)], [0, 0])
        self.assertEqual(pending_calls(self.clock), [])

    def test_after_a_limit(self) -> None:
        for hedge in (None, 0.2):
            self.setUp()
            asking = self.ask(hedge=hedge)
            self.answer(429)
            self.answer(404, second=True)
            self.assertEqual(self.asked(), (1, 1))
            self.end(asking)
            self.assertEqual(self.asked(), (2, 1))

    def test_after_a_limit_and_a_failure(self) -> None:
        asking = self.ask()
        self.answer(200, EVENTS).send(event(error={"code": 429, "message": "slow down"}))
        for _ in range(3):
            self.upstreams[1].pending[-1].errback(ConnectionRefusedError())
            self.clock.advance(1)
        self.assertEqual(self.asked(), (2, 3))
        self.end(asking)

    def test_after_a_breaker_that_is_open(self) -> None:
        breaker = self.first.deployments.of("").breaker
        assert breaker is not None
        for _ in range(3):
            breaker.admit(last=True).failed("why")
        asking = self.ask()
        self.assertEqual(self.asked(), (0, 1))
        self.answer(404, second=True)
        self.assertEqual(self.asked(), (1, 1))
        self.end(asking)

    def test_a_breaker_that_is_open_within_the_budget_of_retries_alone(self) -> None:
        """When all fail, an open breaker goes on keeping most requests away."""
        breaker = self.first.deployments.of("").breaker
        assert breaker is not None
        for _ in range(3):
            breaker.admit(last=True).failed("why")
        while self.budget.take():
            continue
        asking = self.ask()
        self.answer(404, second=True)
        answer = self.successResultOf(asking)
        self.assertEqual((candidate_of(answer), answer.status, self.asked()), (1, 404, (0, 1)))

    def test_of_a_background_request_as_if_it_were_tried_again(self) -> None:
        """It leaves others what any of its retries does."""
        cases: tuple[tuple[Priority, int], ...] = (("background", 1), ("interactive", 0))
        for priority, index in cases:
            self.setUp()
            breaker = self.first.deployments.of("").breaker
            assert breaker is not None
            for _ in range(3):
                breaker.admit(last=True).failed("why")
            while self.budget.take(("some", "model"), background=True):
                continue
            request = REQUEST._replace(priority=priority)
            asking = self.dispatch([Prepared(each, request, AnswerKind.JSON) for each in (self.first, self.second)])
            self.answer(404, second=True)
            if index == 0:
                self.answer(404)
            answer = self.successResultOf(asking)
            self.assertEqual((candidate_of(answer), answer.status, self.asked()), (index, 404, (1 - index, 1)))

    def test_not_where_it_rests_for_too_long_or_says_not_to_ask_again(self) -> None:
        for header in ((b"Retry-After", b"60"), (b"X-Should-Retry", b"false")):
            self.setUp()
            asking = self.ask()
            self.answer(429, header)
            self.answer(404, second=True)
            answer = self.successResultOf(asking)
            self.assertEqual((candidate_of(answer), answer.status, self.asked()), (1, 404, (1, 1)))

    def test_not_after_what_the_client_got_wrong_or_what_the_first_failed_with(self) -> None:
        for first, second in ((429, 400), (404, 404)):
            self.setUp()
            asking = self.ask()
            self.answer(first)
            self.answer(second, second=True)
            self.assertEqual((self.successResultOf(asking).status, self.asked()), (second, (1, 1)))

    def test_no_further_than_its_time(self) -> None:
        asking = self.ask()
        self.answer(429)
        self.clock.advance(6)
        self.answer(404, second=True)
        for asked in (2, 3):
            self.assertEqual(self.asked(), (asked, 1))
            self.answer(429)
            self.clock.advance(2)
        self.assertEqual((self.successResultOf(asking).status, self.clock.seconds() <= 12), (429, True))

    def test_a_client_that_leaves_meanwhile(self) -> None:
        asking = self.ask()
        self.answer(429)
        self.answer(404, second=True)
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.clock.advance(0.5)
        self.assertEqual([each.limits().in_use for each in (self.first, self.second)], [0, 0])
        self.assertEqual((self.asked(), pending_calls(self.clock)), ((1, 1), []))


class RateTests(Case):
    """Who meets a 429."""

    rate = True

    def test_with_a_fallback_nobody_waits(self) -> None:
        for _ in range(2):
            asking = self.ask()
            if self.asked()[0] == 1 and self.asked()[1] == 0:
                self.answer(429)
            self.assertSecond(asking)
        self.assertEqual(self.asked(), (1, 2))

    def test_without_one_it_waits_and_that_is_no_retry(self) -> None:
        asking = self.ask(fallback=False)
        for seconds in (0.5, 1.0, 2.0, 4.0):
            self.answer(429)
            before = self.asked()[0]
            self.clock.advance(seconds - 0.01)
            self.assertEqual(self.asked()[0], before)
            self.clock.advance(0.01)
            self.assertEqual(self.asked()[0], before + 1)
        self.answer(whole=GOOD)
        self.successResultOf(asking).close(None)
        self.assertEqual(self.budget.statistics().retries, 0)

    def test_a_rest_that_is_too_long_goes_down_at_once(self) -> None:
        asking = self.ask(fallback=False)
        body = {"error": {"code": 429, "message": "Quota", "details": [{"retryDelay": "58s"}]}}
        self.answer(429, whole=json.dumps(body).encode())
        self.assertEqual(self.successResultOf(asking).status, 429)
        refused = self.failureResultOf(self.ask(fallback=False), KeysResting).value
        self.assertEqual(refused.retry_after, 58.0)
        self.assertTrue(refused.message.endswith("asked again in 58.0 s. What it said: Quota"), refused.message)
        self.assertEqual(self.asked(), (1, 0))

    def test_a_rest_that_a_stream_tells_of_is_explained(self) -> None:
        asking = self.ask(fallback=False)
        said = {"message": "Free models:\n50 per day", "code": 429, "details": [{"retryDelay": "58s"}]}
        self.answer(200, EVENTS).send(event(error=said))
        self.failureResultOf(asking, UpstreamReported)
        refused = self.failureResultOf(self.ask(fallback=False), KeysResting).value
        self.assertIn("What it said: Free models: 50 per day", refused.message)

    def test_those_that_wait_for_a_permit_meanwhile_keep_their_order(self) -> None:
        askings = []
        for number in range(4):
            request = REQUEST._replace(body=b"%d" % number)
            askings.append(self.dispatch([Prepared(self.first, request, AnswerKind.JSON)]))
            self.clock.advance(0.01)
        self.answer(429)
        for asking in askings:
            self.clock.advance(1)
            self.answer(whole=GOOD)
            self.successResultOf(asking).close(None)
        self.assertEqual([body for _, _, body in self.upstreams[0].posted], [b"0", b"0", b"1", b"2", b"3"])

    def test_nobody_is_refused_that_had_a_place(self) -> None:
        askings = []
        for _ in range(6):
            askings.append(self.ask(fallback=False))
            self.clock.advance(0.01)
        self.failureResultOf(self.ask(fallback=False), BacklogFull)
        self.answer(429)
        self.failureResultOf(self.ask(fallback=False), BacklogFull)
        for asking in askings:
            self.clock.advance(1)
            self.answer(whole=GOOD)
            self.successResultOf(asking).close(None)
        self.assertEqual(pending_calls(self.clock), [])

    def test_nobody_waits_behind_background_requests_that_get_no_permit(self) -> None:
        def background(model: str) -> Deferred[Answer]:
            request = REQUEST._replace(model=model, priority="background")
            return self.dispatch([Prepared(self.first, request, AnswerKind.JSON)])

        self.first.guards.limiter.resize(2)
        waiting = [background("other")]
        limited = self.ask(fallback=False)
        self.answer(429)
        limited.cancel()
        self.failureResultOf(limited, CancelledError)
        waiting += [background(""), background("")]
        self.clock.advance(0.5)
        self.assertEqual((self.asked(), self.first.deployments.of("").waiting), ((2, 0), 1))
        for fallback in (False, True):
            asking = self.ask(fallback=fallback)
            self.answer(whole=GOOD)
            answer = self.successResultOf(asking)
            self.assertEqual(candidate_of(answer), 0)
            answer.close(None)
        for each in waiting:
            each.addErrback(lambda failure: failure.trap(CancelledError)).cancel()

    def test_another_model_is_not_touched(self) -> None:
        asking = self.ask(fallback=False)
        self.answer(429)
        other = self.dispatch([Prepared(self.first, REQUEST._replace(model="other"), AnswerKind.JSON)])
        self.assertEqual(self.asked(), (2, 0))
        self.answer(whole=GOOD)
        self.successResultOf(other).close(None)
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertEqual(self.first.deployments.of("").waiting, 0)

    def test_a_limit_under_200_is_one(self) -> None:
        body = json.dumps({"error": {"code": 429, "message": "slow down"}}).encode()
        asking = self.ask(fallback=False)
        for seconds in (0.5, 1.0, 2.0):
            self.answer(200, whole=body)
            before = self.asked()[0]
            self.clock.advance(seconds - 0.01)
            self.assertEqual(self.asked()[0], before)
            self.clock.advance(0.01)
            self.assertEqual(self.asked()[0], before + 1)
        self.answer(whole=GOOD)
        self.successResultOf(asking).close(None)
        self.assertEqual((self.budget.statistics().retries, self.failures()), (0, 0))

    def test_a_limit_under_200_goes_to_the_next(self) -> None:
        asking = self.ask()
        self.answer(200, EVENTS).send(event(error={"code": 429, "message": "slow down"}))
        self.assertEqual(self.asked(), (1, 1))
        self.assertSecond(asking)
        self.assertSecond(self.ask())
        self.assertEqual(self.asked(), (1, 2))


class KeyUsedAgainTests(Case):
    """A key that rests for an hour, and that somebody has used again: its account has credit now, say."""

    keys = ("A",)
    rate = True

    def test_it_is_asked_with_it_at_once(self) -> None:
        asking = self.ask(fallback=False)
        self.answer(429, (b"Retry-After", b"3600"))
        self.successResultOf(asking).close(None)
        self.failureResultOf(self.ask(fallback=False), KeysResting)
        self.first.guards.put_back("A")
        asking = self.ask(fallback=False)
        self.answer(whole=GOOD)
        self.successResultOf(asking).close(None)
        self.assertEqual(self.asked()[0], 2)

    def test_who_waits_goes(self) -> None:
        asking = self.ask(fallback=False)
        self.answer(429, (b"Retry-After", b"8"))
        waiting = self.ask(fallback=False)
        self.first.guards.put_back("A")
        for each in (asking, waiting):
            self.answer(whole=GOOD)
            self.successResultOf(each).close(None)
        self.assertEqual(self.asked()[0], 3)


class OtherKeyUsedAgainTests(Case):
    """A key that somebody has put aside, while the other rests."""

    keys = ("A", "B")
    rate = True

    def test_who_waits_goes_with_it(self) -> None:
        for use_again in (lambda: self.first.guards.put_back("A"), lambda: self.first.guards.put_aside(())):
            self.first.guards.put_aside(["A"])
            asked, _ = self.asked()
            requests = [self.ask(fallback=False)]
            self.answer(429, (b"Retry-After", b"8"))
            requests.append(self.ask(fallback=False))
            self.assertEqual(self.asked()[0], asked + 1)
            use_again()
            for each in requests:
                self.answer(whole=GOOD)
                self.successResultOf(each).close(None)
            self.assertEqual(self.asked()[0], asked + 3)
            self.clock.advance(10)


class RatesOfKeysTests(Case):
    """Several keys, each with its own limit for each model."""

    keys = ("A", "B")
    rate = True

    def used(self) -> str:
        return "".join(dict(headers)[b"Authorization"][-1:].decode() for _, headers, _ in self.upstreams[0].posted)

    def well(self, asking: Deferred[Answer]) -> None:
        self.answer(whole=GOOD)
        self.successResultOf(asking).close(None)

    def test_the_other_key_is_asked_at_once_also_where_there_is_a_fallback(self) -> None:
        asking = self.ask()
        self.answer(429, (b"Retry-After", b"20"))
        self.assertEqual((self.used(), self.asked()), ("AB", (2, 0)))
        self.well(asking)
        for _ in range(2):
            self.well(self.ask())
        self.assertEqual(self.used(), "ABBB")
        self.assertEqual(self.budget.statistics().retries, 0)

    def test_who_waits_gets_the_first_key_that_is_free_again(self) -> None:
        asking = self.ask(fallback=False)
        self.answer(429, (b"Retry-After", b"5"))
        self.answer(429, (b"Retry-After", b"2"))
        self.assertEqual(self.used(), "AB")
        self.clock.advance(1.99)
        self.assertEqual(self.used(), "AB")
        self.clock.advance(0.01)
        self.assertEqual(self.used(), "ABB")
        self.answer(429, (b"Retry-After", b"20"))
        self.clock.advance(2.99)
        self.assertEqual(self.used(), "ABB")
        self.clock.advance(0.01)
        self.assertEqual(self.used(), "ABBA")
        self.well(asking)
        self.assertEqual((self.budget.statistics().retries, pending_calls(self.clock)), (0, []))

    def test_both_rest_for_longer_than_it_may_wait(self) -> None:
        asking = self.ask(fallback=False)
        self.answer(429, (b"Retry-After", b"40"))
        self.answer(429, (b"Retry-After", b"30"))
        self.assertEqual(self.successResultOf(asking).status, 429)
        self.assertEqual(self.failureResultOf(self.ask(fallback=False), KeysResting).value.retry_after, 30.0)
        self.assertEqual(self.used(), "AB")

    def test_background_requests_leave_others_a_part_of_what_each_takes(self) -> None:
        self.first.guards.limiter.resize(25)
        for key in self.keys:
            # Five are taken, and one more is not.
            guard = self.first.deployments.of("").guard(key)
            taken = [guard.sent() for _ in range(5)]
            guard.sent().limited(None)
            for ticket in taken:
                ticket.ended()
        background = REQUEST._replace(priority="background")
        waiting = [self.dispatch([Prepared(self.first, background, AnswerKind.JSON)]) for _ in range(8)]
        self.assertEqual(sorted(self.used()), list("AAABBB"))
        # One that has a fallback does not wait.
        asking = self.dispatch([Prepared(each, background, AnswerKind.JSON) for each in (self.first, self.second)])
        self.assertEqual(self.asked(), (6, 1))
        self.answer(whole=GOOD, second=True)
        self.successResultOf(asking).close(None)
        interactive = [self.ask(fallback=False) for _ in range(4)]
        self.assertEqual(sorted(self.used()), list("AAAAABBBBB"))
        for number, asking in enumerate([*waiting[:6], *interactive, *waiting[6:]]):
            self.upstreams[0].answer(number=number, whole=GOOD)
            self.successResultOf(asking).close(None)
        self.assertEqual((len(self.used()), pending_calls(self.clock)), (12, []))

    def test_another_model_has_both(self) -> None:
        asking = self.ask(fallback=False)
        self.answer(429)
        self.answer(429)
        other = self.dispatch([Prepared(self.first, REQUEST._replace(model="other"), AnswerKind.JSON)])
        self.assertEqual(self.used(), "ABA")
        self.well(other)
        asking.cancel()
        self.failureResultOf(asking, CancelledError)

    def test_one_that_may_not_use_a_key_again_keeps_nobody_from_it(self) -> None:
        self.first.guards.limiter.resize(25)
        forbidden = self.ask(fallback=False)
        self.answer(403, whole=b'{"error": {"message": "No."}}')
        self.clock.advance(0)
        self.answer(429, (b"Retry-After", b"8"))
        self.assertEqual((self.used(), forbidden.called), ("AB", False))
        others = [self.ask(fallback=False) for _ in range(3)]
        self.assertEqual(self.used(), "ABAAA")
        self.clock.advance(8)
        self.assertEqual(self.used(), "ABAAAB")
        for number, each in enumerate((*others, forbidden), 2):
            self.upstreams[0].answer(number=number, whole=GOOD)
            self.successResultOf(each).close(None)
        self.assertEqual(pending_calls(self.clock), [])

    def test_who_waits_too_long_is_told(self) -> None:
        for key in self.keys:
            # One is under way and one more is not taken: that is all, for two seconds.
            guard = self.first.deployments.of("").guard(key)
            guard.sent()
            guard.sent().limited(None)
        request = REQUEST._replace(timeouts=TIMEOUTS._replace(queue=1.5))
        asking = self.dispatch([Prepared(self.first, request, AnswerKind.JSON)])
        self.clock.advance(1.5)
        late = self.failureResultOf(asking, QueueTimeout).value
        self.assertIn("queue_timeout", late.message)
        self.assertEqual((self.asked(), self.first.deployments.of("").waiting), ((0, 0), 0))


class BudgetTests(Case):
    """Retries, of which there are not enough for all who fail."""

    def test_a_model_that_fails_leaves_some_to_others(self) -> None:
        def ask(model: str) -> Deferred[Answer]:
            return self.dispatch([Prepared(self.first, REQUEST._replace(model=model), AnswerKind.JSON)])

        self.first.guards.limiter.resize(100)
        well = ask("well")
        failing = [ask("sick") for _ in range(20)]
        for number in (*range(1, 21), 0):
            self.upstreams[0].answer(500, number=number)
        # A fifth of its requests, and seven of the ten a second; and the one of the other model.
        self.assertEqual(sum(not each.called for each in failing), 11)
        self.assertFalse(well.called)
        self.clock.advance(1)
        self.assertEqual(self.asked()[0], 33)
        for each in (well, *failing):
            each.addErrback(lambda failure: failure.trap(CancelledError)).cancel()


class LastCandidateTests(Case):
    """Who has nobody else to ask."""

    def test_is_asked_however_often_it_fails(self) -> None:
        for _ in range(5):
            asking = self.ask(fallback=False)
            for _ in range(3):
                self.answer(500)
                self.clock.advance(1)
            self.successResultOf(asking).close(None)
        self.assertEqual(self.asked(), (15, 0))

    def test_and_with_a_fallback_is_left_alone(self) -> None:
        for _ in range(2):
            asking = self.ask()
            for _ in range(3 - 3 * (self.asked()[1] > 0)):
                self.answer(500)
                self.clock.advance(0.25)
            self.assertSecond(asking)
        self.assertEqual(self.asked(), (3, 2))
