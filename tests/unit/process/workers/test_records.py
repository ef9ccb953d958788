"""Requests that are over reach the parent as they were."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.workers.records import BATCH, WAIT_SECONDS, SentRing, SharedRing, Uncounted
from skyproxy.telemetry.records import GivenUp, RequestRecord
from skyproxy.telemetry.requests.facts import Step
from skyproxy.telemetry.requests.ring import RequestRing
from skyproxy.telemetry.usage import Tokens


def sending(**fields: Any) -> Any:
    plain = {
        "candidate": 0, "key": None, "sent_at": 1.0, "waited": 0.0, "headers_at": 1.2, "status": 200,
        "sentence_at": None, "ended_at": 1.5, "generated": 0,
    }  # fmt: skip
    return SimpleNamespace(**{**plain, **fields})


class Trace:
    def __init__(self, *sendings: Any, steps: Any = (), answered: int | None = 0) -> None:
        self.sendings = sendings
        self.answered = None if answered is None else sendings[answered]
        self.steps = list(steps)
        self.follows = "other-1"
        self.age = 2.5

    def deployments(self) -> list[tuple[str, str]]:
        return [("one", "m"), ("two", "n")]

    def masked(self, text: str) -> str:
        return text

    def shorten(self, most: int) -> None:
        pass


def record(**fields: Any) -> RequestRecord:
    plain: dict[str, Any] = {
        "request_id": "r-1", "endpoint": "/chat/completions", "slot": "talk", "provider": "one", "model": "talk",
        "upstream_model": "m", "status": 200, "outcome": "ok", "stream": True, "latency": 0.5,
        "time_to_first_byte": 0.2, "queue": 0.0, "bytes_out": 100, "error_code": None, "attempts": 1, "key": "A_KEY",
        "tokens": Tokens(10, 20, 5, 3), "cache": None, "cost": 0.1, "currency": "USD", "price_source": "provider",
        "own_latency": 0.5, "own_time_to_first_byte": 0.2, "given_up": (), "time_to_first_sentence": 0.3,
    }  # fmt: skip
    return RequestRecord(**{**plain, **fields})


def ended(trace: Any) -> Any:
    address = IPv4Address("TCP", "10.0.0.7", 5)
    return SimpleNamespace(started=0.9, error=None, attempts=trace, client=SimpleNamespace(who=(address, b"agent/1")))


class SentTests(SynchronousTestCase):
    """:class:`SentRing` and :class:`SharedRing`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: list[bytes] = []
        self.ring = SentRing(self.clock, self.sent.append)

    def test_all_is_as_in_one_process(self) -> None:
        given_up = (
            GivenUp("two", "n", 0.3, "B_KEY", Tokens(1, 2), 0.01, "EUR", "local", True),
            GivenUp("two", "n", 0.1),
        )
        cases = [
            (record(), Trace(sending())),
            (
                record(request_id="r-2", given_up=given_up, tokens=None),
                Trace(
                    sending(candidate=1, status=None),
                    sending(key="A_KEY"),
                    steps=[Step(1.1, "failed", 1, 0, "x", 500, "bad", None)],
                    answered=1,
                ),
            ),
            (record(request_id="r-3", outcome="refused", status=None), Trace(answered=None)),
        ]
        plain, shared = RequestRing(), SharedRing()
        for each, trace in cases:
            self.ring.add(each, 100.0, ended(trace))
            plain.add(each, 100.0, ended(trace))
        self.ring.flush()
        records = shared.take(self.sent[0])
        self.assertEqual(records, [each for each, _ in cases])
        self.assertEqual([type(each.tokens) for each in records[:1]], [Tokens])
        self.assertEqual(list(shared.newest_first()), list(plain.newest_first()))
        self.assertEqual((shared.total, len(shared)), (3, 3))
        found = shared.find("r-2")
        assert found is not None
        self.assertEqual([each.won for each in found.attempts], [False, True])

    def test_a_batch_goes_when_it_is_full_or_old(self) -> None:
        for _ in range(BATCH):
            self.ring.add(record(), 1.0, ended(Trace(sending())))
        self.assertEqual(len(self.sent), 1)
        self.ring.add(record(), 1.0, ended(Trace(sending())))
        self.assertEqual(len(self.sent), 1)
        self.clock.advance(WAIT_SECONDS)
        self.assertEqual(len(self.sent), 2)
        self.clock.advance(10)
        self.ring.flush()
        self.assertEqual((len(self.sent), len(self.ring), self.ring.total), (2, 0, BATCH + 1))

    def test_a_worker_counts_nothing(self) -> None:
        statistics = Uncounted(self.clock)
        statistics.completed(record())
        self.assertEqual(statistics.tallies, {})
