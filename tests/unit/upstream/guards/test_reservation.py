"""To whom a failure is held: the provider, one of its models, or neither."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import BreakerSettings
from skyproxy.errors import (
    ClientStalled,
    UpstreamBroken,
    UpstreamReported,
    UpstreamTimeout,
    UpstreamUnreachable,
    UpstreamUnusable,
)
from skyproxy.formats.error_kinds import ACTIONS
from skyproxy.formats.reported import reported
from skyproxy.upstream.exchange.attempt import Attempt, AttemptObserver
from skyproxy.upstream.guards.admissions import Admissions, settle
from skyproxy.upstream.guards.breaker import Breaker
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.upstream.guards.rate_guard import RateGuard
from skyproxy.upstream.guards.reservation import Reservation

TAKEN = UpstreamTimeout("late", timer="default_timeout")
SILENT = UpstreamTimeout("late", timer="idle_timeout")
CONNECT = UpstreamTimeout("late", timer="connect_timeout")
REPORTED = reported({"message": "broken", "code": 502})
LIMITED = reported({"message": "slow down", "code": 429})

#  status, error, its body is JSON: counts as a failure of the provider, of the model
TABLE: list[tuple[int | None, BaseException | None, bool, bool, bool]] = [
    (None, UpstreamUnreachable("refused"), False, True, False),
    (None, UpstreamBroken("reset"), False, True, False),
    (None, CONNECT, False, True, False),
    (None, TAKEN, False, False, True),
    (200, TAKEN, False, False, True),
    (200, SILENT, False, False, True),
    (200, UpstreamBroken("cut"), False, False, True),
    (200, UpstreamUnusable("compressed"), False, False, True),
    (200, REPORTED, False, False, True),
    (200, LIMITED, False, False, False),
    (200, reported({"message": "slow down", "code": "rate_limit_exceeded"}), False, False, False),
    (200, reported({"message": "too long", "code": "context_length_exceeded"}), False, False, False),
    (500, None, False, False, True),
    (500, None, True, False, True),
    *((status, None, False, True, False) for status in (502, 503, 504, 520, 522, 524, 530)),
    *((status, None, True, False, True) for status in (502, 503, 504, 520, 529)),
    (501, None, False, False, True),
    *((status, None, True, False, False) for status in (200, 302, 400, 401, 402, 403, 404, 413, 422, 429)),
    (200, CancelledError(), False, False, False),
    (None, CancelledError(), False, False, False),
    (200, ClientStalled("slow"), False, False, False),
]


class SettleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.provider = Breaker(self.clock, BreakerSettings(), "p")
        self.model = Breaker(self.clock, BreakerSettings(), "m")

    def test_table(self) -> None:
        for status, error, in_json, provider, model in TABLE:
            self.setUp()
            admissions = Admissions(self.provider.admit(), self.model.admit())
            settle(admissions, status, error, "so", in_json=in_json)
            self.assertEqual(
                (self.provider.statistics().consecutive, self.model.statistics().consecutive),
                (int(provider), int(model)),
                (status, error, in_json),
            )

    def test_what_it_means_goes_before_its_status(self) -> None:
        for kind, action in ACTIONS.items():
            for status in (403, 408, 429, 498, 500, 503, 529):
                self.setUp()
                admissions = Admissions(self.provider.admit(), self.model.admit())
                settle(admissions, status, None, "so", in_json=True, kind=kind)
                failures = (self.provider.statistics().consecutive, self.model.statistics().consecutive)
                self.assertEqual(failures, (0, int(action.rests == "deployment")), (kind, status))

    def test_what_is_reported_with_any_status(self) -> None:
        for code, message, failures in (
            (500, "maximum context length is 32768 tokens", 0),
            (503, "invalid api key", 1),
            (429, "slow down", 0),
        ):
            self.setUp()
            error = reported({"message": message, "code": code})
            settle(Admissions(self.provider.admit(), self.model.admit()), 200, error)
            self.assertEqual(self.model.statistics().consecutive, failures, message)

    def test_the_cause_is_in_the_providers_words(self) -> None:
        settle(Admissions(self.provider.admit(), self.model.admit()), 500, None, "CUDA out of memory", in_json=True)
        self.assertIn("CUDA out of memory", self.model.statistics().cause)
        settle(Admissions(self.provider.admit(), None), None, UpstreamUnreachable("Connection refused."))
        self.assertIn("Connection refused.", self.provider.statistics().cause)

    def test_a_model_that_fails_shows_that_the_provider_is_there(self) -> None:
        self.provider.admit().failed("gone")
        settle(Admissions(self.provider.admit(), self.model.admit()), 500, None, "so", in_json=True)
        self.assertEqual(self.provider.statistics().consecutive, 0)

    def test_without_breakers(self) -> None:
        for status, error, in_json, _, _ in TABLE:
            settle(Admissions(), status, error, in_json=in_json)


class ReportedLimitTests(SynchronousTestCase):
    """A 429 that comes under 200."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.guard = RateGuard(self.clock)

    def limited(self, error: UpstreamReported) -> None:
        permit = Limiter(self.clock, max_concurrent=1, max_pending=0).take("talk")
        assert permit is not None
        reservation = Reservation(permit, None, ticket=self.guard.sent())
        reservation.begun(200)
        reservation.release(200, error)

    def test_reaches_the_guard(self) -> None:
        self.limited(LIMITED)
        self.assertEqual((self.guard.rest, self.guard.in_flight), (0.5, 0))

    def test_its_head_proves_nothing(self) -> None:
        for rest in (0.5, 1.0, 2.0, 4.0):
            self.limited(LIMITED)
            self.assertEqual(self.guard.rest, rest)
            self.clock.advance(rest)

    def test_its_observer_hears_of_it_before_the_end(self) -> None:
        told: list[str] = []

        class Observer(AttemptObserver):
            def limited(self, attempt: Attempt, seconds: float | None) -> None:
                told.append(f"rests {seconds}, ended at {attempt.ended_at}")

        permit = Limiter(self.clock, max_concurrent=1, max_pending=0).take("interactive")
        assert permit is not None
        reservation = Reservation(permit, None, ticket=self.guard.sent())
        reservation.attempt = attempt = Attempt(Observer(), 0, self.clock.seconds)
        reservation.release(200, LIMITED)
        self.assertEqual((told, attempt.ended_at), (["rests 0.5, ended at None"], 0.0))

    def test_says_for_how_long(self) -> None:
        self.limited(reported({"message": "Quota", "code": 429, "details": [{"retryDelay": "20s"}]}))
        self.assertEqual(self.guard.rest, 20.0)
