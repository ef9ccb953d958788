"""What the observer of a request's attempts is told."""

from __future__ import annotations

import json

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError

from skyproxy.errors import ErrorKind
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

    def started(self, attempt: Attempt) -> None:
        self.calls.append(("started", attempt.candidate))

    def permit_waited(self, attempt: Attempt, seconds: float) -> None:
        self.calls.append(("permit_waited", attempt.candidate, seconds))

    def sent(self, attempt: Attempt) -> None:
        self.calls.append(("sent", attempt.candidate))

    def headers_received(self, attempt: Attempt, status: int) -> None:
        self.calls.append(("headers_received", attempt.candidate, status))

    def first_content(self, attempt: Attempt) -> None:
        self.calls.append(("first_content", attempt.candidate))

    def failed(self, attempt: Attempt, status: int | None, kind: ErrorKind | None, said: str) -> None:
        self.calls.append(("failed", attempt.candidate, status, kind, said))

    def given_up(self, attempt: Attempt) -> None:
        self.calls.append(("given_up", attempt.candidate))

    def ended(self, attempt: Attempt, error: BaseException | None) -> None:
        self.calls.append(("ended", attempt.candidate, None if error is None else type(error).__name__))


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
        self.assertEqual(
            notes.calls,
            [("started", 0), ("sent", 0), ("headers_received", 0, 200), ("first_content", 0), ("ended", 0, None)],
        )

    def test_a_wait_for_a_permit(self) -> None:
        _, asking = self.observed()
        notes, _ = self.observed()
        self.clock.advance(2)
        self.assertEqual(notes.calls, [("started", 0)])
        self.answer().send(GOOD).end()
        self.successResultOf(asking).close(None)
        self.assertEqual(notes.calls, [("started", 0), ("permit_waited", 0, 2.0), ("sent", 0)])

    def test_no_connection_and_then_a_fallback(self) -> None:
        notes, _ = self.observed()
        self.upstreams[0].pending[-1].errback(ConnectionRefusedError())
        self.assertEqual(
            notes.calls,
            [
                ("started", 0), ("sent", 0), ("ended", 0, "UpstreamUnreachable"),
                ("failed", 0, None, None, "upstream_unreachable"), ("started", 1), ("sent", 1),
            ],
        )  # fmt: skip

    def test_an_error_and_then_a_fallback(self) -> None:
        notes, _ = self.observed()
        self.answer(401, whole=json.dumps({"error": {"message": "no"}}).encode())
        self.assertEqual(
            notes.calls,
            [
                ("started", 0), ("sent", 0), ("headers_received", 0, 401),
                ("failed", 0, 401, ErrorKind.KEY_INVALID, "no"), ("given_up", 0), ("ended", 0, None),
                ("started", 1), ("sent", 1),
            ],
        )  # fmt: skip

    def test_a_retry(self) -> None:
        notes, _ = self.observed()
        self.answer(500, whole=b"")
        self.clock.advance(1)
        self.assertEqual([call[0] for call in notes.calls][3:], ["failed", "given_up", "ended", "started", "sent"])

    def test_a_hedge_that_overtakes(self) -> None:
        notes, asking = self.observed(hedge=1.0)
        self.clock.advance(1)
        self.answer(second=True).send(GOOD).end()
        self.successResultOf(asking).close(None)
        self.assertIn(("ended", 0, CancelledError.__name__), notes.calls)
        self.assertEqual(notes.calls[-1], ("ended", 1, None))
