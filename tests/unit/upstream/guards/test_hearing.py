"""What guards tell those of other processes, and what these make of it."""

from __future__ import annotations

from pydantic import SecretStr
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import ApiKeyConfig, BreakerSettings
from skyproxy.upstream.guards.admission_control import Guards
from skyproxy.upstream.guards.breaker import GOOD_AFTER_SECONDS, Breaker, BreakerState
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.upstream.guards.deployments import Deployments
from skyproxy.upstream.guards.findings import (
    BreakerClosed,
    BreakerOpened,
    BreakerProbes,
    Finding,
    KeyRefused,
    KeyRests,
    ModelRests,
    ModelTaken,
    ProbeIgnored,
    Teller,
)
from skyproxy.upstream.guards.hearing import hear
from skyproxy.upstream.guards.keys import KeyRing
from skyproxy.upstream.guards.learned_limits import Rest
from skyproxy.upstream.guards.rate_guard import RateGuard
from skyproxy.upstream.guards.refusals import BreakerOpen


class Side:
    """The guards of one provider in one process, and what they have told."""

    def __init__(self, clock: Clock, *, keys: tuple[str, ...] = ("A", "B"), rate: bool = True) -> None:
        self.told: list[Finding] = []
        settings, tell = BreakerSettings(), Teller(self.told.append)
        secrets = [ApiKeyConfig(variable=name, secret=SecretStr(f"sk-{name}")) for name in keys]
        ring = KeyRing(clock, secrets, "some", tell)
        deployments = Deployments(clock, settings, "some", tell=tell)
        limiter = Limiter(clock, max_concurrent=5, max_pending=5)
        self.guards = Guards(limiter, deployments, Breaker(clock, settings, "some", tell=tell), ring, rate)
        self.ring, self.deployments = ring, deployments

    def guard(self, model: str = "m", key: str = "A") -> RateGuard:
        return self.deployments.of(model).guard(key)

    def breaker(self, model: str | None = None) -> Breaker:
        found = self.guards.breaker if model is None else self.deployments.of(model).breaker
        assert found is not None
        return found

    def take_all(self) -> list[Finding]:
        told, self.told[:] = list(self.told), []
        return told


class HearingTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.here, self.there = Side(self.clock), Side(self.clock)

    def pass_on(self) -> list[Finding]:
        """Have *there* hear what *here* has told. It tells nothing by that."""
        told = self.here.take_all()
        before = list(self.there.told)
        for each in told:
            hear(self.there.guards, each)
        self.assertEqual(self.there.told, before)
        return told


class RestTests(HearingTestCase):
    """Rests of a key and a model."""

    def test_for_the_key_and_the_model_alone(self) -> None:
        self.here.guard().sent().limited(20.0)
        self.assertEqual(self.pass_on(), [ModelRests("m", "A", Rest(20.0, 0.5, stated=True))])
        self.assertEqual(self.there.guard().wait(), 20.0)
        self.assertTrue(self.there.deployments.of("m").limited)
        for model, key in (("m", "B"), ("other", "A")):
            self.assertEqual(self.there.guard(model, key).wait(), 0.0)
        self.assertFalse(self.there.deployments.of("other").limited)
        self.clock.advance(20.0)
        self.assertEqual(self.there.guard().wait(), 0.0)

    def test_what_was_said_here_of_an_earlier_limit_is_not_said_of_a_later_one_there(self) -> None:
        deployment, ticket = self.there.deployments.of("m"), self.there.guard().sent()
        deployment.limit_said = "50 a day"
        ticket.limited(20.0)
        self.here.guard().sent().limited(20.0)
        self.pass_on()
        # It is the same limit.
        self.assertEqual(deployment.limit_said, "50 a day")
        self.clock.advance(20.0)
        while not self.there.guard().calm:
            self.there.guard().sent().proven()
        self.clock.advance(1.0)
        self.here.guard().sent().limited(30.0)
        self.pass_on()
        self.assertEqual((deployment.limited, deployment.limit_said), (True, ""))

    def test_many_429s_of_one_event_are_told_once(self) -> None:
        tickets = [self.here.guard().sent() for _ in range(50)]
        for each in tickets:
            each.limited(20.0)
            self.clock.advance(0.0005)
        self.assertEqual(len(self.pass_on()), 1)

    def test_what_is_under_way_there_is_of_the_same_event(self) -> None:
        ticket = self.there.guard().sent()
        self.here.guard().sent().limited(20.0)
        self.pass_on()
        self.clock.advance(0.01)
        ticket.limited(20.0)
        self.assertEqual(self.there.told, [])
        self.assertEqual(self.there.guard().statistics().limited, 0)

    def test_a_guess_is_none_where_others_are_under_way(self) -> None:
        # It was no request that was alone: a limit of requests at once, which the other worker has learned of.
        ticket = self.there.guard().sent()
        self.here.guard().sent().limited(None)
        self.assertEqual(self.pass_on(), [ModelRests("m", "A", Rest(0.5, 0.5, stated=False))])
        self.assertEqual(self.there.guard().wait(), 0.0)
        ticket.ended()
        self.clock.advance(0.5)
        self.here.guard().sent().limited(None)
        self.pass_on()
        self.assertEqual(self.there.guard().wait(), 1.0)

    def test_a_limit_of_requests_at_once_is_no_rest(self) -> None:
        self.here.guard().sent()
        self.here.guard().sent().limited(None)
        self.assertEqual(self.pass_on(), [])

    def test_rests_are_doubled_and_begin_anew_in_sum(self) -> None:
        self.here.guard().sent().limited(None)
        self.pass_on()
        self.clock.advance(0.5)
        self.there.guard().sent().limited(None)
        self.assertEqual(self.there.take_all(), [ModelRests("m", "A", Rest(1.0, 1.0, stated=False))])
        self.here.guard().hear_rest(Rest(1.0, 1.0, stated=False))
        self.clock.advance(1.0)
        self.here.guard().sent().proven()
        self.assertEqual(self.pass_on(), [ModelTaken("m", "A")])
        self.there.guard().sent().limited(None)
        self.assertEqual(self.there.guard().wait(), 0.5)

    def test_who_waits_there_looks_again(self) -> None:
        deployment = self.there.deployments.of("m")
        ticket = self.there.guard().sent()
        ticket.limited(1.0)
        self.there.take_all()
        turn = deployment.turn(background=False, first=False)
        self.clock.advance(1.0)
        self.there.guard().sent()
        self.assertIsNone(self.there.guard().wait())
        self.here.guard().sent().limited(20.0)
        self.pass_on()
        self.successResultOf(turn)
        self.assertEqual(self.there.guard().wait(), 20.0)

    def test_nothing_is_made_of_a_model_that_nobody_asks(self) -> None:
        for each in (ModelTaken("x", "A"), BreakerClosed("x"), BreakerProbes("x"), ProbeIgnored("x")):
            hear(self.there.guards, each)
        self.assertEqual(len(self.there.deployments), 0)


class KeyTests(HearingTestCase):
    """Keys that are refused, or rest."""

    def test_a_refused_key(self) -> None:
        leases = [self.here.ring.take(lambda key: key == "A") for _ in range(3)]
        for number, each in enumerate(leases):
            each.rejected(401, number)
        self.assertEqual(self.pass_on(), [KeyRefused("A", 300.0)])
        self.assertEqual(self.there.ring.in_use(), ["B"])
        self.assertEqual(self.there.ring.promising(), ["B"])

    def test_who_used_it_there_tells_nothing_new(self) -> None:
        lease = self.there.ring.take(lambda key: key == "A")
        self.here.ring.take(lambda key: key == "A").rejected(401, 1)
        self.pass_on()
        self.clock.advance(0.1)
        with capturedLogs() as logs:
            lease.rejected(401, 2)
        self.assertEqual(self.there.told, [])
        self.assertEqual(logs, [], "one has warned for all")

    def test_the_last_key_is_used_on(self) -> None:
        self.there.ring.take(lambda key: key == "B").rejected(401, 1)
        self.here.ring.take(lambda key: key == "A").rejected(401, 1)
        self.pass_on()
        self.assertEqual(self.there.ring.in_use(), ["A"])
        alone = Side(self.clock, keys=("A",))
        hear(alone.guards, KeyRefused("A", 300.0))
        hear(alone.guards, KeyRests("A", 300.0))
        self.assertEqual(alone.ring.take().variable, "A")

    def test_what_is_forbidden_is_not_told(self) -> None:
        self.here.ring.take().rejected(403, 1)
        self.assertEqual(self.here.told, [])

    def test_a_key_that_rests(self) -> None:
        lease, other = self.here.ring.take(), self.there.ring.take()
        lease.limited(20.0)
        lease.limited(20.0)
        self.assertEqual(self.pass_on(), [KeyRests("A", 20.0)])
        self.assertEqual(self.there.ring.take().variable, "B")
        other.limited(None)
        self.assertEqual(self.there.told, [])

    def test_keys_and_guards_that_are_not_there(self) -> None:
        limiter = Limiter(self.clock, max_concurrent=1, max_pending=1)
        bare = Guards(limiter, Deployments(self.clock, None, "some"))
        rest = Rest(1.0, 0.5, stated=True)
        for each in (
            KeyRefused("A", 1.0), KeyRests("A", 1.0), ModelRests("m", "A", rest), ModelTaken("m", "A"),
            BreakerOpened(None, 1.0, 1.0, ""), BreakerOpened("m", 1.0, 1.0, ""), BreakerClosed("m"),
        ):  # fmt: skip
            hear(bare, each)


class BreakerTests(HearingTestCase):
    """Breakers, of a model and of all of a provider."""

    def fail(self, side: Side, model: str | None = None, times: int = 5) -> None:  # type: ignore[override]
        for _ in range(times):
            side.breaker(model).admit(last=True).failed("why")

    def test_it_opens_at_its_level(self) -> None:
        self.fail(self.here, "m")
        with capturedLogs() as logs:
            self.assertEqual(self.pass_on(), [BreakerOpened("m", 1.0, 1.0, "why")])
        self.assertEqual(logs, [], "it is logged once")
        self.assertRaises(BreakerOpen, self.there.breaker("m").admit)
        self.assertEqual(self.there.breaker("m").statistics().opened, 0)
        self.assertEqual(self.there.breaker("m").statistics().cause, "why")
        for model in (None, "other"):
            self.assertTrue(self.there.breaker(model).calm)
        self.fail(self.here)
        self.assertEqual(self.pass_on(), [BreakerOpened(None, 1.0, 1.0, "why")])
        self.assertRaises(BreakerOpen, self.there.breaker().admit)

    def test_the_last_candidate_is_sent_there_too(self) -> None:
        self.fail(self.here)
        self.pass_on()
        self.there.breaker().admit(last=True).succeeded()

    def test_one_probe_for_all(self) -> None:
        self.fail(self.here)
        self.pass_on()
        self.clock.advance(1.0)
        probe = self.here.breaker().admit()
        self.assertTrue(probe.is_probe)
        self.assertEqual(self.pass_on(), [BreakerProbes(None)])
        self.assertRaises(BreakerOpen, self.there.breaker().admit)
        probe.succeeded()
        with capturedLogs() as logs:
            self.assertEqual(self.pass_on(), [BreakerClosed(None)])
        self.assertEqual(logs, [], "it is logged once")
        self.assertTrue(self.there.breaker().calm)

    def test_a_probe_without_result_frees_its_place(self) -> None:
        self.fail(self.here)
        self.pass_on()
        self.clock.advance(1.0)
        self.here.breaker().admit().ignored()
        self.assertEqual(self.pass_on(), [BreakerProbes(None), ProbeIgnored(None)])
        self.assertTrue(self.there.breaker().admit().is_probe)

    def test_a_probe_that_waits_keeps_nobody_from_one_there(self) -> None:
        self.fail(self.here)
        self.pass_on()
        self.clock.advance(1.0)
        probe = self.here.breaker().admit()
        probe.waits()
        self.pass_on()
        self.assertTrue(self.there.breaker().admit().is_probe)
        hear(self.here.guards, BreakerProbes(None))
        self.clock.advance(GOOD_AFTER_SECONDS)
        self.assertIs(self.here.breaker().state, BreakerState.CLOSED)

    def test_a_probe_that_fails_doubles_the_time(self) -> None:
        self.fail(self.here)
        self.pass_on()
        self.clock.advance(1.0)
        self.here.breaker().admit().failed("again")
        self.pass_on()
        self.clock.advance(1.9)
        self.assertRaises(BreakerOpen, self.there.breaker().admit)
        self.clock.advance(0.1)
        self.there.breaker().admit().failed("again")
        self.assertIn(BreakerOpened(None, 4.0, 4.0, "again"), self.there.told)

    def test_a_probe_of_a_worker_that_is_lost(self) -> None:
        self.fail(self.here)
        self.pass_on()
        self.clock.advance(1.0)
        self.here.breaker().admit()
        self.pass_on()
        self.clock.advance(GOOD_AFTER_SECONDS)
        self.assertIs(self.there.breaker().state, BreakerState.CLOSED)
        self.fail(self.there, times=1)
        self.assertIs(self.there.breaker().state, BreakerState.OPEN)

    def test_what_was_sent_there_before_says_nothing(self) -> None:
        admission = self.there.breaker().admit()
        self.fail(self.here)
        self.pass_on()
        admission.succeeded()
        self.assertIs(self.there.breaker().state, BreakerState.OPEN)

    def test_closed_by_hand_it_is_not_told(self) -> None:
        self.fail(self.here)
        self.here.take_all()
        self.here.breaker().close()
        self.assertEqual(self.here.told, [])
