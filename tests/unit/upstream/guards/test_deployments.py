"""What is kept of a provider's models, and how requests wait for one of them."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import BreakerSettings
from skyproxy.upstream.guards.deployments import MOST_MODELS, Deployment, Deployments


class BoundTests(SynchronousTestCase):
    """How many are kept."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.known = Deployments(self.clock, BreakerSettings(), "p")

    def test_ten_thousand_models(self) -> None:
        for number in range(10_000):
            self.known.of(f"m{number}")
        self.assertEqual((MOST_MODELS, len(self.known)), (256, 256))
        self.assertEqual([each.model for each in self.known][-1], "m9999")

    def test_ten_thousand_models_that_all_met_a_limit(self) -> None:
        for number in range(10_000):
            self.known.of(f"m{number}").guard("").sent().limited(None)
        self.assertEqual(len(self.known), 256)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_those_of_which_there_is_nothing_to_remember_go_first(self) -> None:
        limited = self.known.of("limited")
        limited.guard("").sent().limited(30.0)
        failing = self.known.of("failing")
        assert failing.breaker is not None
        failing.breaker.admit().failed("status 500")
        told = self.known.of("told")
        told.refused = frozenset({"reasoning"})
        for number in range(1000):
            self.known.of(f"m{number}")
        self.assertIs(self.known.of("limited"), limited)
        self.assertIs(self.known.of("failing"), failing)
        self.assertIs(self.known.of("told"), told)
        self.assertEqual(len(self.known), 256)

    def test_who_is_busy_is_kept(self) -> None:
        busy = [self.known.of(f"b{number}") for number in range(300)]
        for each in busy:
            each.busy += 1
        again = [self.known.of(each.model) for each in busy[-256:]]
        self.assertEqual([each for each, other in zip(busy[-256:], again, strict=True) if each is not other], [])

    def test_one_is_the_same_while_it_is_asked_for(self) -> None:
        first = self.known.of("a")
        for number in range(1000):
            self.known.of(f"m{number}")
            self.assertIs(self.known.of("a"), first)


class LineTests(SynchronousTestCase):
    """Who comes next."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.deployment = Deployment(self.clock, "m", None)
        self.came: list[str] = []
        self.go_on = False

    def wait(self, name: str, *, background: bool = False, first: bool = False) -> Deferred[None]:
        def come(result: None) -> None:
            self.came.append(name)
            if self.go_on:
                self.deployment.wake()

        return self.deployment.turn(background=background, first=first).addCallback(come)

    def test_interactive_before_background_and_who_met_a_limit_before_both(self) -> None:
        self.wait("background", background=True)
        self.wait("talk")
        self.wait("talk 2")
        self.wait("again", first=True)
        self.wait("background again", background=True, first=True)
        self.assertEqual(self.deployment.waiting, 5)
        for _ in range(5):
            self.deployment.wake()
        self.assertEqual(self.came, ["again", "talk", "talk 2", "background again", "background"])
        self.deployment.wake()
        self.assertEqual((self.deployment.waiting, len(self.came)), (0, 5))

    def test_at_the_head_first_come_first_served(self) -> None:
        def come(name: str, came: float) -> Deferred[None]:
            place = self.deployment.turn(background=False, first=True, came=came)
            return place.addCallback(lambda _: self.came.append(name))

        self.wait("last")
        for name, came in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("d", 3.0)):
            come(name, came)
        gone = come("gone", 2.5)
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.wait("very last")
        self.deployment.wake()
        come("again", 1.0)
        for _ in range(6):
            self.deployment.wake()
        self.assertEqual(self.came, ["a", "again", "b", "c", "d", "last", "very last"])

    def test_one_at_a_time(self) -> None:
        for name in "abc":
            self.wait(name)
        self.deployment.wake()
        self.assertEqual(self.came, ["a"])

    def test_who_was_sent_has_the_next_called_however_long_the_line(self) -> None:
        self.go_on = True
        for number in range(5000):
            self.wait(str(number))
        self.deployment.wake()
        self.assertEqual(self.came, [str(number) for number in range(5000)])

    def test_who_leaves_is_not_called(self) -> None:
        first = self.wait("a")
        self.wait("b")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.deployment.wake()
        self.assertEqual(self.came, ["b"])

    def test_who_is_late_is_told_so(self) -> None:
        for background in (False, True):
            place = self.deployment.turn(background=background, first=False)
            self.deployment.expire(place, ZeroDivisionError())
            self.failureResultOf(place, ZeroDivisionError)
            self.assertEqual(self.deployment.waiting, 0)

    def test_is_called_when_a_rest_is_over(self) -> None:
        self.wait("a")
        self.deployment.look_in(5.0)
        self.deployment.look_in(2.0)
        self.deployment.look_in(3.0)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(1.9)
        self.assertEqual(self.came, [])
        self.clock.advance(0.1)
        self.assertEqual(self.came, ["a"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_runs_on_when_nobody_waits(self) -> None:
        self.wait("a")
        self.deployment.look_in(5.0)
        self.deployment.wake()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_guard_that_changes_its_mind_calls(self) -> None:
        guard = self.deployment.guard("K")
        self.assertIs(self.deployment.guard("K"), guard)
        first, second = guard.sent(), guard.sent()
        second.limited(None)
        self.assertIsNone(guard.wait())
        self.wait("a")
        first.ended()
        self.assertEqual(self.came, ["a"])
