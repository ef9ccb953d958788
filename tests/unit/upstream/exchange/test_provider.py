from __future__ import annotations

import json
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web._newclient import ResponseNeverReceived

from skyproxy.errors import ErrorKind, ProviderNotConfigured, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from skyproxy.upstream.exchange.body import End
from skyproxy.upstream.exchange.provider import Answer, Provider
from skyproxy.upstream.exchange.upstream_request import UpstreamRequest
from skyproxy.upstream.guards.admission_control import Guards
from skyproxy.upstream.guards.deployments import Deployments
from skyproxy.upstream.guards.keys import KeyRing
from skyproxy.upstream.guards.refusals import BacklogFull, QueueTimeout
from skyproxy.util.timers import Timers
from tests.unit.configs import config_of
from tests.unit.fakes import JSON, TIMEOUTS, Response, Upstream, attempt_of, given_up, pending_calls, provider_of

REQUEST = UpstreamRequest("/chat/completions", ((b"Content-Type", b"application/json"),), b"{}", TIMEOUTS)
TEXT = "providers: {guard: {base_url: 'http://127.0.0.1:9/v1', connect_timeout: 3s%s}}"


class ProviderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.upstream = Upstream()
        self.config = config_of(TEXT % "").providers["guard"]
        self.provider = provider_of(self.config, self.clock, self.upstream, max_concurrent=1, max_pending=1)

    def send(self, **changes: float) -> Deferred[Answer]:
        request = REQUEST._replace(timeouts=TIMEOUTS._replace(**changes))
        return given_up(self, Deferred.fromCoroutine(self.provider.send(request, attempt_of(self.clock))))

    def assertFree(self) -> None:
        """No permit is out, nobody waits, and no timer runs."""
        limits = self.provider.limits()
        self.assertEqual((limits.in_use, limits.available, limits.queued), (0, 1, 0))
        self.assertEqual(pending_calls(self.clock), [])

    def test_an_answer(self) -> None:
        sent = self.send()
        self.assertNoResult(sent)
        self.assertEqual(self.upstream.posted, [(REQUEST.path, REQUEST.headers, b"{}")])
        response = self.upstream.answer(201, JSON, (b"X", b"1"))
        with self.successResultOf(sent) as answer:
            self.assertEqual((answer.status, list(answer.headers), answer.queued), (201, [JSON, (b"X", b"1")], 0.0))
            got: list[bytes] = []
            done = answer.body.flow(got.append)
            response.send(b"a", b"b").end()
            self.assertEqual((self.successResultOf(done), got), (End.FRAMED, [b"a", b"b"]))
            self.assertEqual(self.provider.limits().in_use, 1)
        self.assertFree()
        self.assertFalse(response.transport.aborted)

    def test_an_answer_that_is_not_read(self) -> None:
        sent = self.send()
        response = self.upstream.answer()
        with self.successResultOf(sent):
            response.send(b"a")
        self.assertTrue(response.transport.aborted)
        self.assertFree()

    def test_an_answer_whose_reader_fails(self) -> None:
        sent = self.send()
        response = self.upstream.answer()
        with self.assertRaises(ZeroDivisionError), self.successResultOf(sent):
            raise ZeroDivisionError
        self.assertTrue(response.transport.aborted)
        self.assertFree()

    def test_an_answer_closed_twice_gives_back_one_permit(self) -> None:
        sent = self.send()
        self.upstream.answer()
        answer = self.successResultOf(sent)
        answer.close(None)
        waiting = self.send()
        answer.close(None)
        self.assertEqual(self.provider.limits().in_use, 1)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertFree()

    def test_waiting_for_a_permit(self) -> None:
        first, second = self.send(), self.send()
        self.assertEqual(len(self.upstream.posted), 1)
        self.upstream.answer()
        self.clock.advance(4)
        with self.successResultOf(first):
            self.assertNoResult(second)
        self.assertEqual(len(self.upstream.posted), 2)
        self.upstream.answer()
        with self.successResultOf(second) as answer:
            self.assertEqual(answer.queued, 4.0)
        self.assertFree()

    def test_too_many_wait(self) -> None:
        first, second = self.send(), self.send()
        self.failureResultOf(self.send(), BacklogFull)
        for each in (second, first):
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertFree()

    def test_waiting_too_long(self) -> None:
        first, second = self.send(), self.send(queue=5.0)
        self.clock.advance(5)
        self.failureResultOf(second, QueueTimeout)
        self.assertEqual(len(self.upstream.posted), 1)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertFree()

    def test_cancelled_in_the_queue(self) -> None:
        first, second = self.send(), self.send()
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual((len(self.upstream.posted), self.upstream.cancelled), (1, 0))
        self.upstream.answer()
        with self.successResultOf(first):
            self.assertEqual(self.provider.limits().queued, 0)
        self.assertFree()

    def test_cancelled_before_the_headers(self) -> None:
        sent = self.send()
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        self.assertEqual(self.upstream.cancelled, 1)
        self.assertFree()

    def test_cancelled_while_the_body_is_read(self) -> None:
        async def read() -> None:
            with await self.provider.send(REQUEST, attempt_of(self.clock)) as answer:
                await answer.body.flow(lambda data: None)

        reading = Deferred.fromCoroutine(read())
        response = self.upstream.answer().send(b"a")
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        self.assertTrue(response.transport.aborted)
        self.assertFree()

    def test_failures_before_the_headers(self) -> None:
        for error, expected in (
            (ConnectionRefusedError(), UpstreamUnreachable),
            (ResponseNeverReceived([Failure(ConnectionLost())]), UpstreamBroken),
        ):
            sent = self.send()
            self.upstream.pending[-1].errback(error)
            self.failureResultOf(sent, expected)
            self.assertFree()

    def test_an_error_whose_body_breaks_off_or_does_not_come(self) -> None:
        for step, seconds in ((Response.cut, 0.0), (lambda _: None, 5.0)):
            for said in (b"", b'{"error":{"message": "wait', b"wait"):
                sent = self.send()
                response = Response(429, [JSON, (b"Retry-After", b"7")])
                self.upstream.pending[-1].callback(response)
                response.send(*([said] if said else []))
                step(response)
                self.clock.advance(seconds)
                with self.successResultOf(sent) as answer:
                    self.assertEqual((answer.status, answer.kind), (429, ErrorKind.RATE))
                    self.assertEqual(self.provider.retry_delay(answer), 7.0)
                    read: list[bytes] = []
                    self.successResultOf(answer.body.flow(read.append))
                    self.assertEqual(b"".join(read), said)
                self.assertFree()

    def test_limits_that_the_body_tells(self) -> None:
        reset = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1744588860000"}
        for headers, told, expected in (
            ([], reset, 60.0),
            ([], {**reset, "X-RateLimit-Remaining": "1"}, None),
            ([(b"X-RateLimit-Reset", b"1744588830000")], reset, 30.0),
            ([(b"Retry-After", b"7")], reset, 7.0),
            ([], {"Retry-After": 9}, 9.0),
            ([], ["X-RateLimit-Reset"], None),
            ([], {"X-RateLimit-Reset": None, "\u2014" * 300: "\ud800"}, None),
        ):
            sent = self.send()
            fields = [(b"Date", b"Mon, 14 Apr 2025 00:00:00 GMT"), *headers]
            error = {"message": "Rate limit exceeded: free-models-per-min.", "metadata": {"headers": told}}
            response = Response(429, [JSON, *fields], json.dumps({"error": error}).encode())
            self.upstream.pending[-1].callback(response)
            with self.successResultOf(sent) as answer:
                self.assertEqual(self.provider.retry_delay(answer), expected, (headers, told))
            self.assertFree()

    def test_an_error_whose_reader_leaves(self) -> None:
        sent = self.send()
        response = Response(429, [JSON])
        self.upstream.pending[-1].callback(response)
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        self.assertTrue(response.transport.aborted)
        self.assertFree()

    def test_a_fault_before_the_headers(self) -> None:
        def fail(*arguments: object) -> Deferred[object]:
            raise ZeroDivisionError

        self.upstream.post = fail  # type: ignore[method-assign, assignment]
        self.failureResultOf(self.send(), ZeroDivisionError)
        self.assertFree()

    def test_default_timeout_before_the_headers(self) -> None:
        sent = self.send(whole=7.0)
        self.clock.advance(6.9)
        self.assertNoResult(sent)
        self.clock.advance(0.1)
        error = self.failureResultOf(sent, UpstreamTimeout).value
        self.assertEqual(error.timer, "default_timeout")
        self.assertIn("7 s", error.message)
        self.assertIn("'guard'", error.message)
        self.assertEqual(self.upstream.cancelled, 1)
        self.assertFree()

    def test_default_timeout_counts_on_in_the_body(self) -> None:
        sent = self.send(whole=7.0)
        self.clock.advance(5)
        response = self.upstream.answer()
        with self.successResultOf(sent) as answer:
            done = answer.body.flow(lambda data: None)
            response.send(b"a")
            self.clock.advance(2)
            self.assertEqual(self.failureResultOf(done, UpstreamTimeout).value.timer, "default_timeout")
        self.assertTrue(response.transport.aborted)
        self.assertFree()

    def test_default_timeout_does_not_count_in_the_queue(self) -> None:
        first, second = self.send(), self.send(whole=7.0, queue=100.0)
        self.clock.advance(50)
        self.upstream.answer()
        with self.successResultOf(first):
            self.assertNoResult(second)
        self.clock.advance(6.9)
        self.assertNoResult(second)
        self.clock.advance(0.2)
        self.failureResultOf(second, UpstreamTimeout)
        self.assertFree()

    def test_connect_timeout_is_the_configurations(self) -> None:
        sent = self.send()
        self.upstream.pending[-1].errback(ConnectTimeout())
        error = self.failureResultOf(sent, UpstreamTimeout).value
        self.assertEqual(error.timer, "connect_timeout")
        self.assertIn("3 s", error.message)
        self.assertFree()

    def test_a_provider_without_its_key(self) -> None:
        config = config_of(TEXT % ", api_key_env: GUARD_API_KEY").providers["guard"]
        self.provider = provider_of(config, self.clock, self.upstream, max_concurrent=1)
        error = self.failureResultOf(self.send(), ProviderNotConfigured).value
        self.assertIn("GUARD_API_KEY", error.message)
        self.assertFalse(error.retryable)
        self.assertEqual(self.upstream.posted, [])
        self.assertFree()

    def test_what_is_counted(self) -> None:
        for status in (200, 200, 429):
            sent = self.send()
            self.upstream.answer(status)
            self.successResultOf(sent).close(None)
        sent = self.send()
        self.upstream.pending[-1].errback(ConnectionRefusedError())
        self.failureResultOf(sent)
        self.assertEqual(self.provider.counts.responses, {"200": 2, "429": 1, "upstream_unreachable": 1})

    def test_idle(self) -> None:
        def busy() -> None:
            self.upstream.busy = 1

        self.assertTrue(self.provider.idle)
        steps: list[Callable[[], object]] = [self.send, busy]
        for step in steps:
            self.setUp()
            step()
            self.assertFalse(self.provider.idle)

    def test_retire_and_close(self) -> None:
        self.provider.retire()
        self.assertIsNone(self.successResultOf(self.provider.close()))
        self.assertEqual((self.upstream.retired, self.upstream.closed), (1, 1))

    def replaced_by(self, key: str) -> Upstream:
        """The upstream of a provider with *key*, which has taken the place of the one before within its limit."""
        config = config_of(TEXT % ", api_key_env: K", **({"K": key} if key else {})).providers["guard"]
        upstream, limiter, keys = Upstream(), self.provider.guards.limiter, config.api_keys
        ring = KeyRing(self.clock, keys, "guard") if keys else None
        guards = Guards(limiter, Deployments(self.clock, None, "guard"), keys=ring)
        later = Provider(config, Timers(self.clock), guards, upstream, self.clock.seconds)  # type: ignore[arg-type]
        self.provider.replaced_by(later)
        return upstream

    def test_who_waits_goes_out_with_what_is_configured_then(self) -> None:
        first, second = self.send(), self.send()
        later = self.replaced_by("sk-new")
        self.assertEqual((len(self.upstream.posted), later.posted), (1, []))
        self.upstream.answer()
        self.successResultOf(first).close(None)
        ((_, headers, _),) = later.posted
        self.assertIn((b"Authorization", b"Bearer sk-new"), headers)
        later.answer()
        self.successResultOf(second).close(None)
        self.assertEqual(len(self.upstream.posted), 1)
        self.assertFree()

    def test_a_later_configuration_without_the_key_takes_nobodys(self) -> None:
        later = self.replaced_by("")
        sent = self.send()
        self.assertEqual((len(self.upstream.posted), later.posted), (1, []))
        self.upstream.answer()
        self.successResultOf(sent).close(None)
        self.assertFree()
