"""What sends spans, and counts what is lost."""

from __future__ import annotations

import threading
import time
from typing import Any
from unittest import SkipTest

from skyproxy.config.telemetry import has_extra
from skyproxy.pipeline.attempt_history import AttemptHistory
from skyproxy.telemetry.records import GivenUp, RequestRecord
from skyproxy.telemetry.requests.facts import Step
from skyproxy.telemetry.tracing import exporter as module
from skyproxy.telemetry.tracing.context import TraceContext
from skyproxy.telemetry.tracing.conventions import Peer
from skyproxy.telemetry.tracing.exporter import MAX_WAITING, SpanExporter
from skyproxy.telemetry.tracing.posting import Posted, Receiver
from skyproxy.telemetry.tracing.spans import spans_of
from skyproxy.telemetry.tracing.traced import LOSSES, TraceCounts, Traced
from skyproxy.upstream.exchange.attempt import Attempt
from tests.unit.telemetry.requests.test_ring import RingCase
from tests.unit.telemetry.test_records import record_of

PEERS = {"guard": Peer("openai", "api.openai.com", 443)}


def traced_of(history: AttemptHistory, record: RequestRecord) -> Traced:
    """A request that came at 10 on the clock, and was over at 100."""
    context = TraceContext("a" * 32, "b" * 16, "", True, b"", True, lambda: "c" * 16)
    return Traced(context, record, 100.0, 10.0, history)


class SpansTests(RingCase):
    def test_times_and_parents(self) -> None:
        history = self.history()
        first, second = self.sent(history, 10.5, None), self.sent(history, 11.0, 11.5)
        first.status, first.ended_at, first.span_id = None, 12.0, "1" * 16
        second.candidate, second.span_id, second.waited = 1, "2" * 16, 0.25
        history.answered, history.steps = second, [Step(10.9, "hedge", 0, seconds=0.4)]
        request, hedge, slow, queue, quick = spans_of(traced_of(history, record_of(latency=4.0)), PEERS)
        self.assertEqual((request.start, request.end), (96_000_000_000, 100_000_000_000))
        self.assertEqual([each.name for each in (hedge, slow, queue, quick)], [
            "hedge", "chat large", "queue guard", "chat small",
        ])  # fmt: skip
        self.assertEqual([each.parent_id for each in (hedge, slow, queue, quick)], ["b" * 16] * 2 + ["c" * 16] * 2)
        self.assertEqual([each.span_id for each in (slow, quick)], ["1" * 16, "2" * 16])
        self.assertEqual((slow.start, slow.end), (96_500_000_000, 98_000_000_000))
        self.assertEqual((queue.start, queue.end), (96_750_000_000, 97_000_000_000))
        self.assertEqual((quick.end, hedge.end, hedge.start), (request.end, request.end, 96_900_000_000))
        self.assertEqual([each.failed for each in (request, hedge, slow, queue, quick)], [False] * 5)
        self.assertEqual(quick.attributes["gen_ai.provider.name"], "openai")

    def test_what_hedging_cost_is_of_one_currency(self) -> None:
        history = self.history()
        self.sent(history, 10.5, None)
        history.steps = [Step(10.9, "hedge", 0, seconds=0.4)]
        lost = [
            GivenUp("guard", "large", 1.0, cost=cost, currency=currency, hedged=hedged)
            for cost, currency, hedged in (
                (9.0, "USD", False),
                (0.5, "EUR", True),
                (7.0, "USD", True),
                (0.25, "EUR", True),
            )
        ]
        for given_up, cost, currency in ((lost, 0.75, "EUR"), (lost[:1], None, None)):
            hedge = spans_of(traced_of(history, record_of(given_up=tuple(given_up))), PEERS)[1]
            told = hedge.attributes.get("skyproxy.hedge.cost"), hedge.attributes.get("skyproxy.hedge.cost.currency")
            self.assertEqual(told, (cost, currency))

    def test_failures(self) -> None:
        for outcome, status, code, failed in (
            ("ok", 200, None, False), ("client_error", 404, None, False), ("cancelled", None, None, False),
            ("upstream_error", 500, None, True), ("failed", 502, "upstream_broken", True),
            ("refused", 503, "backlog_full", True),
        ):  # fmt: skip
            record = record_of(outcome=outcome, status=status, error_code=code)
            (span,) = spans_of(traced_of(self.history(), record), PEERS)
            self.assertEqual(span.failed, failed, outcome)
            expected = None if outcome == "ok" else code or (str(status) if status else outcome)
            self.assertEqual(span.attributes.get("error.type"), expected)

    def test_failures_of_sendings(self) -> None:
        for status, expected in ((503, "503"), (None, "broken"), (200, "broken")):
            history = self.history()
            self.sent(history, 10.5, 11.0)
            history.steps = [Step(11.0, "failed", 0, 0, "broken", status)]
            sending = spans_of(traced_of(history, record_of()), PEERS)[1]
            self.assertEqual((sending.failed, sending.attributes["error.type"]), (True, expected))

    def test_a_provider_that_the_configuration_no_longer_has(self) -> None:
        history = self.history()
        history.answered = self.sent(history, 10.5, 11.0)
        sending = spans_of(traced_of(history, record_of()), {})[1]
        self.assertEqual(sending.attributes["gen_ai.provider.name"], "guard")
        self.assertNotIn("server.address", sending.attributes)


class FakeReceiver(Receiver):
    """Answers as it is told."""

    def __init__(self, *answers: Posted) -> None:
        super().__init__("http://127.0.0.1:1", {}, lambda: None)  # type: ignore[arg-type, return-value]
        self.answers = list(answers)
        self.bodies: list[bytes] = []

    def post(self, body: bytes, content_type: str) -> Posted:
        self.bodies.append(body)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class ExporterTests(RingCase):
    def setUp(self) -> None:
        super().setUp()
        if not has_extra():
            raise SkipTest('opentelemetry-proto is not installed: pip install "skyproxy[otel]"')
        self.troubles: list[str] = []
        self.counts = TraceCounts()

    def sends(self, count: int, *answers: Posted) -> FakeReceiver:
        receiver = FakeReceiver(*answers)
        exporter = SpanExporter(receiver, {}, self.counts, self.troubles.append, 0.001, 0.001)
        for _ in range(count):
            exporter.add(traced_of(self.history(), record_of()), PEERS)
        before, until = self.counts.exported, time.monotonic() + 10
        exporter.start()
        while self.counts.exported - before + sum(self.counts.lost.values()) < count and time.monotonic() < until:
            time.sleep(0.002)
        done = threading.Event()
        exporter.stop(done.set)
        self.assertTrue(done.wait(10))
        return receiver

    def lost(self) -> dict[str, int]:
        return {reason: count for reason, count in self.counts.lost.items() if count}

    def test_all_are_sent(self) -> None:
        receiver = self.sends(150, Posted(200))
        self.assertEqual((self.counts.exported, self.lost(), len(receiver.bodies)), (150, {}, 3))
        self.assertEqual(self.troubles, [])

    def test_again_after_what_passes(self) -> None:
        receiver = self.sends(1, Posted(503), Posted(None, problem="refused"), Posted(200))
        self.assertEqual((self.counts.exported, self.lost(), len(receiver.bodies)), (1, {}, 3))
        self.assertEqual(self.troubles, ["it answers 503"])
        self.assertEqual(len(set(receiver.bodies)), 1)

    def test_what_is_not_taken_is_lost(self) -> None:
        receiver = self.sends(2, Posted(400))
        self.assertEqual((self.counts.exported, self.lost(), len(receiver.bodies)), (0, {"rejected": 2}, 1))
        self.assertLessEqual(set(self.lost()), set(LOSSES))

    def test_spans_that_the_receiver_left_out(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = 3
        self.sends(1, Posted(200, answer.SerializeToString()))
        self.assertEqual((self.counts.exported, self.counts.rejected_spans), (1, 3))
        self.sends(1, Posted(200, b"\xff\xff no protobuf"))
        self.assertEqual((self.counts.exported, self.counts.rejected_spans), (2, 3))

    def test_no_more_wait_than_may(self) -> None:
        exporter = SpanExporter(FakeReceiver(Posted(200)), {}, self.counts, self.troubles.append)
        traced = traced_of(self.history(), record_of())
        for _ in range(MAX_WAITING + 7):
            exporter.add(traced, PEERS)
        self.assertEqual((len(exporter._waiting), self.lost()), (MAX_WAITING, {"queue_full": 7}))

    def test_the_end_does_not_wait_for_a_dead_receiver(self) -> None:
        exporter = SpanExporter(FakeReceiver(Posted(None, problem="refused")), {}, self.counts, self.troubles.append)
        for _ in range(200):
            exporter.add(traced_of(self.history(), record_of()), PEERS)
        done = threading.Event()
        exporter.stop(done.set)
        exporter.start()
        self.assertTrue(done.wait(5))
        self.assertEqual(self.lost(), {"stopped": 200})
        self.assertEqual(len(self.troubles), 1)

    def test_a_fault_of_our_own_is_counted(self) -> None:
        self.patch(module, "spans_of", lambda traced, peers: 1 / 0)
        self.sends(1, Posted(200))
        self.assertEqual(self.lost(), {"fault": 1})
        self.assertEqual(self.troubles, ["ZeroDivisionError: division by zero"])

    def test_odd_names_are_written(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        history = self.history("guard:\ud800 \u0000 \U0001f409")
        history.answered = self.sent(history, 10.5)
        receiver = FakeReceiver(Posted(200))
        exporter = SpanExporter(receiver, {"service.name": "x"}, self.counts, self.troubles.append, 0.001)
        exporter.add(traced_of(history, record_of()), PEERS)
        done = threading.Event()
        exporter.stop(done.set)
        exporter.start()
        self.assertTrue(done.wait(10))
        self.assertEqual((self.counts.exported, self.troubles), (1, []))
        sent: Any = ExportTraceServiceRequest.FromString(receiver.bodies[0])
        self.assertIn("\U0001f409", sent.resource_spans[0].scope_spans[0].spans[1].name)


class AttemptTests(RingCase):
    def test_one_that_is_not_traced_has_no_id(self) -> None:
        self.assertIsNone(Attempt(self.history(), 0, self.clock.seconds).span_id)
