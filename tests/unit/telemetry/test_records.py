from __future__ import annotations

from typing import Any, get_args

from twisted.logger import LogEvent, Logger, LogLevel, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.log.events import PLAIN
from skyproxy.telemetry.records import GivenUp, Outcome, RequestLog, RequestRecord
from skyproxy.telemetry.usage import Tokens

RECORD = RequestRecord(
    request_id="r-1",
    endpoint="/chat/completions",
    slot="talk",
    provider="demo",
    model="talk",
    upstream_model="guard",
    status=200,
    outcome="ok",
    stream=True,
    latency=1.23456,
    time_to_first_byte=0.04321,
    queue=0.00012,
    bytes_out=321,
    error_code=None,
    attempts=1,
)


def record_of(**fields: Any) -> RequestRecord:
    """A request whose time is all its one attempt's, unless *fields* say otherwise."""
    record = RECORD._replace(**fields)
    own = {"own_latency": record.latency, "own_time_to_first_byte": record.time_to_first_byte}
    return record._replace(**{**own, **fields})


class RequestLogTests(SynchronousTestCase):
    def test_attempts_that_were_given_up(self) -> None:
        lost = GivenUp("other", "large", 8.0, tokens=Tokens(100, 1, estimated=True))
        fields = self.told(record_of(attempts=3, own_latency=0.5, given_up=(lost, GivenUp("other", "small", 1.0))))[2]
        told = {name: value for name, value in fields.items() if name.startswith(("own", "given_up"))}
        expected = {"own_latency_ms": 500.0, "given_up": 2, "given_up_ms": 9000.0, "given_up_tokens": 101}
        self.assertEqual(told, expected)

    def test_what_they_cost_by_currency(self) -> None:
        lost = [
            GivenUp("other", "large", 8.0, tokens=Tokens(9, 1), cost=cost, currency=currency)
            for cost, currency in ((0.1, "USD"), (0.2, "USD"), (3.0, "EUR"), (0.0, "GBP"), (None, "USD"))
        ]
        fields = self.told(record_of(given_up=tuple(lost), cost=7.0))[2]
        self.assertEqual((fields["given_up_cost"], fields["cost"]), ({"USD": 0.3, "EUR": 3.0}, 7.0))

    def told(self, record: RequestRecord) -> tuple[str, LogLevel, dict[str, Any]]:
        events: list[LogEvent] = []
        RequestLog(Logger("skyproxy.telemetry.records", observer=events.append)).completed(record)
        (event,) = events
        fields = {key: value for key, value in event.items() if not key.startswith("log_")}
        return event["log_format"], event["log_level"], fields

    def test_completed(self) -> None:
        message, level, fields = self.told(RECORD)
        self.assertEqual((message, level), ("Upstream request completed", LogLevel.info))
        self.assertEqual(
            fields,
            {
                "request_id": "r-1",
                "endpoint": "/chat/completions",
                "provider": "demo",
                "model": "talk",
                "status": 200,
                "latency_ms": 1234.6,
                "slot": "talk",
                "upstream_model": "guard",
                "outcome": "ok",
                "stream": True,
                "ttfb_ms": 43.2,
                "queue_ms": 0.1,
                "bytes_out": 321,
                "attempts": 1,
            },
        )

    def test_an_error_that_the_provider_answered_is_completed(self) -> None:
        for outcome, status in (("client_error", 400), ("upstream_error", 500)):
            with self.subTest(outcome):
                message, level, fields = self.told(RECORD._replace(outcome=outcome, status=status))
                self.assertEqual((message, level), ("Upstream request completed", LogLevel.info))
                self.assertEqual((fields["outcome"], fields["status"]), (outcome, status))

    def test_failed(self) -> None:
        record = RECORD._replace(outcome="failed", status=502, error_code="upstream_unreachable", attempts=0)
        message, level, fields = self.told(record)
        self.assertEqual((message, level), ("Upstream request failed", LogLevel.warn))
        self.assertEqual(fields["error_code"], "upstream_unreachable")

    def test_refused(self) -> None:
        record = RECORD._replace(outcome="refused", status=503, error_code="backlog_full", attempts=0)
        message, level, fields = self.told(record)
        self.assertEqual((message, level), ("Request refused", LogLevel.warn))
        self.assertEqual(fields["error_code"], "backlog_full")

    def test_rejected_before_there_was_a_provider(self) -> None:
        record = RECORD._replace(
            outcome="client_error",
            status=400,
            error_code="model_not_found",
            attempts=0,
            slot=None,
            provider=None,
            upstream_model=None,
            time_to_first_byte=None,
            model="",
        )
        message, level, fields = self.told(record)
        self.assertEqual((message, level), ("Request rejected", LogLevel.info))
        self.assertTrue({"slot", "provider", "upstream_model", "ttfb_ms", "model"}.isdisjoint(fields))

    def test_cancelled(self) -> None:
        message, level, fields = self.told(RECORD._replace(outcome="cancelled", status=None))
        self.assertEqual((message, level), ("Request cancelled", LogLevel.info))
        self.assertNotIn("status", fields)

    def test_tokens_and_cost(self) -> None:
        tokens = Tokens(100, 50, cached=30, reasoning=20)
        fields = self.told(RECORD._replace(tokens=tokens, cost=0.1 + 0.2, currency="EUR", key="DEMO_API_KEY"))[2]
        self.assertEqual(
            {name: fields[name] for name in fields if name.startswith("tokens_")},
            {
                "tokens_prompt": 100,
                "tokens_completion": 50,
                "tokens_cached": 30,
                "tokens_reasoning": 20,
                "tokens_estimated": False,
            },
        )
        self.assertEqual((fields["cost"], fields["currency"], fields["key"]), (0.3, "EUR", "DEMO_API_KEY"))
        unpriced = self.told(RECORD._replace(tokens=Tokens(1, 2, estimated=True)))[2]
        self.assertTrue(unpriced["tokens_estimated"])
        self.assertTrue({"cost", "currency", "key"}.isdisjoint(unpriced))

    def test_times_are_told_to_a_tenth_of_a_millisecond(self) -> None:
        for seconds, told in ((0.0, 0.0), (0.00004, 0.0), (0.00006, 0.1), (0.1, 100.0), (3600.00019, 3600000.2)):
            fields = self.told(RECORD._replace(latency=seconds, time_to_first_byte=seconds, queue=seconds))[2]
            self.assertEqual([fields[name] for name in ("latency_ms", "ttfb_ms", "queue_ms")], [told] * 3)

    def test_answers_that_the_provider_was_not_asked_for(self) -> None:
        for cache, attempts, told in (
            ("hit", 0, "Request answered from the cache"),
            ("coalesced", 0, "Request answered together with another"),
            ("coalesced", 1, "Upstream request completed"),
            ("miss", 1, "Upstream request completed"),
        ):
            message, _, fields = self.told(RECORD._replace(cache=cache, attempts=attempts))
            self.assertEqual((message, fields["cache"]), (told, cache))

    def test_one_log_for_all_kinds(self) -> None:
        """What it keeps of one kind of request is told of no other."""
        records = [
            RECORD._replace(outcome=outcome, attempts=attempts, cache=cache)
            for outcome in get_args(Outcome)
            for attempts in (0, 1, 2)
            for cache in (None, "hit", "miss", "coalesced")
        ]
        events: list[LogEvent] = []
        log = RequestLog(Logger("skyproxy.telemetry.records", observer=events.append))
        for record in (*records, *reversed(records)):
            log.completed(record)
            event = events.pop()
            level, message = event["log_level"], event["log_format"]
            self.assertEqual((message, level, event["request_id"]), (*self.told(record)[:2], "r-1"))

    def test_an_event_is_as_a_logger_makes_it(self) -> None:
        """For each observer of the logger, whichever they are."""
        first: list[LogEvent] = []
        second: list[LogEvent] = []
        log = Logger("skyproxy.telemetry.records", observer=LogPublisher(first.append, second.append))
        RequestLog(log).completed(RECORD)
        log.info("Upstream request completed", **{key: value for key, value in first[0].items() if key[:4] != "log_"})
        self.assertEqual(first, second)
        mine, usual = first
        self.assertEqual(mine.pop(PLAIN), {key: value for key, value in mine.items() if key[:4] != "log_"})
        self.assertTrue(0 <= usual.pop("log_time") - mine.pop("log_time") < 3600)
        self.assertEqual(mine, usual)

    def test_a_record_stays_as_it_is(self) -> None:
        with self.assertRaises(AttributeError):
            RECORD.status = 500  # type: ignore[misc]

    def test_the_namespace(self) -> None:
        self.assertEqual(RequestLog()._log.namespace, "skyproxy.telemetry.records")
