"""What the observer of a request's attempts is told."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError

from skyproxy.errors import ErrorKind, SkyproxyError
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.attempt import Attempt, AttemptObserver
from skyproxy.upstream.exchange.first_content import AnswerKind
from tests.unit.fakes import TIMEOUTS, Prepared
from tests.unit.upstream.dispatch import test_dispatcher
from tests.unit.upstream.dispatch.test_dispatcher import GOOD, REQUEST


class Notes(AttemptObserver):
    """Keeps the name of each call, with the candidate's index."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.attempts: list[Attempt] = []

    def started(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        self.calls.append(("started", attempt.candidate))

    def sent(self, attempt: Attempt) -> None:
        self.calls.append(("sent", attempt.candidate))

    def failed(self, attempt: Attempt, status: int, kind: ErrorKind, said: str) -> None:
        self.calls.append(("failed", attempt.candidate, status, kind, said))

    def unanswered(self, attempt: Attempt, error: SkyproxyError) -> None:
        self.calls.append(("unanswered", attempt.candidate, error.code))

    @property
    def noted(self) -> list[tuple[float, int | None, float | None]]:
        """What the attempts themselves have noted: the wait for the permit, the status, and the end."""
        return [(each.waited, each.status, each.ended_at) for each in self.attempts]


class ObserverTests(test_dispatcher.Case):
    def observed(self, hedge: float | None = None) -> tuple[Notes, Deferred[Answer]]:
        notes = Notes()
        request = REQUEST._replace(streaming=True, timeouts=TIMEOUTS)
        candidates = [Prepared(provider, request, AnswerKind.JSON, hedge) for provider in (self.first, self.second)]
        return notes, Deferred.fromCoroutine(self.dispatcher.dispatch(candidates, notes))

    def test_an_answer(self) -> None:
        notes, asking = self.observed()
        self.answer().send(GOOD).end()
        self.successResultOf(asking).close(None)
        self.assertEqual(notes.calls, [("started", 0), ("sent", 0)])
        self.assertEqual(notes.noted, [(0.0, 200, 0.0)])

    def test_a_wait_for_a_permit(self) -> None:
        _, asking = self.observed()
        notes, _ = self.observed()
        self.clock.advance(2)
        self.assertEqual(notes.calls, [("started", 0)])
        self.answer().send(GOOD).end()
        self.successResultOf(asking).close(None)
        self.assertEqual((notes.calls, notes.noted), ([("started", 0), ("sent", 0)], [(2.0, None, None)]))

    def test_no_connection_and_then_a_fallback(self) -> None:
        notes, _ = self.observed()
        self.upstreams[0].pending[-1].errback(ConnectionRefusedError())
        self.assertEqual(
            notes.calls,
            [
                ("started", 0), ("sent", 0), ("unanswered", 0, "upstream_unreachable"), ("started", 1),
                ("sent", 1),
            ],
        )  # fmt: skip
        self.assertEqual(notes.noted, [(0.0, None, 0.0), (0.0, None, None)])

    def test_an_error_and_then_a_fallback(self) -> None:
        notes, _ = self.observed()
        self.answer(401, whole=json.dumps({"error": {"message": "no"}}).encode())
        self.assertEqual(
            notes.calls,
            [
                ("started", 0), ("sent", 0), ("failed", 0, 401, ErrorKind.KEY_INVALID, "no"), ("started", 1),
                ("sent", 1),
            ],
        )  # fmt: skip
        self.assertEqual(notes.noted, [(0.0, 401, 0.0), (0.0, None, None)])

    def test_a_retry(self) -> None:
        notes, _ = self.observed()
        self.answer(500, whole=b"")
        self.clock.advance(1)
        self.assertEqual([call[0] for call in notes.calls][2:], ["failed", "started", "sent"])
        self.assertEqual([ended is None for _, _, ended in notes.noted], [False, True])

    def test_a_hedge_that_overtakes(self) -> None:
        notes, asking = self.observed(hedge=1.0)
        self.clock.advance(1)
        self.answer(second=True).send(GOOD).end()
        self.successResultOf(asking).close(None)
        self.assertEqual(notes.noted, [(0.0, None, 1.0), (0.0, 200, 1.0)])
