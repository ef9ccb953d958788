"""What is kept of the way of a request, as the ring tells it."""

from __future__ import annotations

from twisted.internet.error import ConnectionRefusedError

from skyproxy.pipeline.under_way import facts_under_way
from skyproxy.telemetry.batches import Ended
from skyproxy.telemetry.requests.facts import Facts
from skyproxy.telemetry.requests.ring import RequestRing
from tests.unit.fakes import DONE, EVENTS, JSON, word
from tests.unit.pipeline import test_proxy_attempts


class TraceTests(test_proxy_attempts.Case):
    def setUp(self) -> None:
        super().setUp()
        self.ring = RequestRing()

    def completed(self, ended: Ended) -> None:
        self.ring.add(ended.record(), 1000.0 + self.clock.seconds(), ended)

    @property
    def facts(self) -> Facts:
        self.successResultOf(self.done)
        return next(self.ring.newest_first())

    def test_a_stream(self) -> None:
        self.serve("alone")
        self.clock.advance(1)
        response = self.guard.answer(200, EVENTS)
        self.clock.advance(1)
        response.send(word("Halt there"))
        self.clock.advance(1)
        response.send(word(". Who"))
        self.clock.advance(1)
        response.send(word(" goes?", "stop"), DONE).end()
        facts = self.facts
        self.assertEqual((facts.first_token, facts.first_sentence, facts.seconds), (2.0, 3.0, 4.0))
        (attempt,) = facts.attempts
        self.assertEqual((attempt.sent, attempt.first_byte, attempt.ended, attempt.won), (0.0, 1.0, 4.0, True))
        self.assertEqual(facts.steps, ())

    def test_a_stream_of_one_sentence_ends_with_it(self) -> None:
        self.serve("alone")
        response = self.guard.answer(200, EVENTS)
        response.send(word("Halt"))
        self.clock.advance(3)
        response.send(word("!", "stop"), DONE).end()
        self.assertEqual(self.facts.first_sentence, 3.0)

    def test_the_watch_ends_with_the_sentence(self) -> None:
        self.serve("alone")
        response = self.guard.answer(200, EVENTS)
        response.send(word("Halt"), word(" there."), word(" Who"))
        sink = response.body._sink
        self.assertNotIn("SentenceWatch", repr(sink))
        response.send(word(" goes?", "stop"), DONE).end()
        self.assertEqual(self.facts.outcome, "ok")

    def test_a_sentence_in_blocks_of_chunks_behind_a_thought(self) -> None:
        def thought(text: str) -> bytes:
            return word(text).replace(b'"content"', b'"reasoning_content"')

        self.serve("alone")
        response = self.guard.answer(200, EVENTS)
        for block in (
            [thought("No.")], [thought(" Never."), thought(" Or is")], [thought(" it?")] * 3, [word("Halt")],
            [word(" there"), word(",")], [word(" my"), word(" friend")], [word("."), word(" Who")],
        ):  # fmt: skip
            self.clock.advance(1)
            response.send(b"".join(block))
        self.clock.advance(1)
        response.send(word(" goes?", "stop"), DONE).end()
        self.assertEqual((self.facts.first_sentence, self.facts.seconds), (7.0, 8.0))

    def test_a_limit_and_a_fallback(self) -> None:
        self.serve()
        self.clock.advance(1)
        headers = (b"Retry-After", b"20")
        self.guard.answer(429, JSON, headers, whole=b'{"error": {"message": "Rate limit exceeded"}}')
        self.well(self.spare)
        facts = self.facts
        self.assertEqual([(each.kind, each.at) for each in facts.steps], [
            ("failed", 1.0), ("key_rests", 1.0), ("fallback", 1.0),
        ])  # fmt: skip
        failed = facts.steps[0]
        self.assertEqual((failed.code, failed.status, failed.text), ("rate", 429, "Rate limit exceeded"))
        self.assertIsNone(facts.steps[1].seconds, "no key, and no guard of rates: nothing rests")
        self.assertEqual([each.status for each in facts.attempts], [429, 200])
        self.assertEqual([each.won for each in facts.attempts], [False, True])

    def test_no_connection_and_a_retry(self) -> None:
        self.serve("alone")
        self.guard.pending[-1].errback(ConnectionRefusedError())
        self.clock.advance(1)
        self.well(self.guard)
        kinds = [(each.kind, each.code) for each in self.facts.steps]
        self.assertEqual(kinds, [("failed", "upstream_unreachable"), ("retry", "upstream_unreachable")])

    def test_a_hedge(self) -> None:
        self.serve("hedged")
        self.clock.advance(2)
        self.well(self.spare)
        facts = self.facts
        self.assertEqual([(each.kind, each.seconds) for each in facts.steps], [("hedge", 2.0)])
        self.assertEqual([each.provider for each in facts.attempts if each.won], ["spare"])

    def test_under_way(self) -> None:
        self.serve("alone")
        self.clock.advance(1)
        (context,) = self.proxy.under_way
        facts = facts_under_way(context, self.clock.seconds(), 500.0)
        self.assertEqual((facts.arrived, facts.seconds, facts.outcome), (499.0, 1.0, None))
        self.assertEqual((facts.slot, facts.provider, facts.first_token), ("alone", "guard", None))
        self.assertEqual([each.sent for each in facts.attempts], [0.0])
        self.guard.answer(200, EVENTS).send(word("Halt"))
        facts = facts_under_way(context, self.clock.seconds(), 500.0)
        self.assertEqual(facts.first_token, 1.0)
        self.done.cancel()
        self.assertEqual(self.facts.outcome, "cancelled")
        self.assertEqual(list(self.proxy.under_way), [])
