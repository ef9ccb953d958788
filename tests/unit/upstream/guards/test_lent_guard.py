"""The rate guard of a worker, and what it tells those with whom it shares a mark."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.upstream.guards.deployments import Deployments
from skyproxy.upstream.guards.findings import Finding, ModelRests, Teller
from skyproxy.upstream.guards.learned_limits import FIRST_CAP_SECONDS, TRIED_AFTER_CAPS, Rest
from skyproxy.upstream.guards.lent_guard import LOOK_SECONDS, LentGuard, MarkDemand
from skyproxy.upstream.guards.rate_guard import RateGuard, Ticket


class Link:
    """In place of a way to others: notes what was told."""

    def __init__(self) -> None:
        self.leased = False
        self.told: list[Any] = []
        self.changes = 0

    def lends_to(self, guard: LentGuard) -> None:
        self.guard = guard

    def begin(self, share: int) -> None:
        self.told.append(("begin", share))

    def limited(self) -> None:
        self.told.append("limited")

    def lowered(self, share: int) -> None:
        self.told.append(("lowered", share))

    def false(self) -> None:
        self.told.append("false")

    def end(self) -> None:
        self.told.append("end")

    def changed(self) -> None:
        self.changes += 1


class LentGuardTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.link = Link()
        self.found: list[Finding] = []
        teller = Teller(self.found.append, lambda model, key: self.link)
        self.deployments = Deployments(self.clock, None, "some", largest=1, tell=teller)
        self.deployment = self.deployments.of("talk")
        guard = self.deployment.guard("")
        assert isinstance(guard, LentGuard)
        self.guard = guard

    def send(self, count: int) -> list[Ticket]:
        return [self.guard.sent() for _ in range(count)]

    def meet(self, mark: int) -> list[Ticket]:
        """*mark* requests are taken and one more is not; returns the former."""
        taken, refused = self.send(mark), self.guard.sent()
        for each in taken:
            each.proven()
        refused.limited(None)
        return taken

    def leased(self, share: int) -> None:
        self.link.leased = True
        self.guard.lend(share)
        self.link.told.clear()

    def test_without_a_link_there_is_the_guard_of_one_process(self) -> None:
        plain = Deployments(self.clock, None, "some").of("talk").guard("")
        told = Deployments(self.clock, None, "some", tell=Teller(self.found.append)).of("talk").guard("")
        self.assertEqual((type(plain), type(told)), (RateGuard, RateGuard))

    def test_a_limit_makes_a_mark(self) -> None:
        self.meet(3)
        self.assertEqual(self.link.told, [("begin", 3), "limited"])
        self.assertEqual((self.guard.mark, self.guard.learned, self.deployment.limited), (3, 3, True))
        self.assertEqual(self.guard.demand(), MarkDemand(3, 0, 0))

    def test_further_429s_of_the_event_lower_it(self) -> None:
        tickets = self.send(5)
        for each in tickets[3:]:
            each.limited(None)
        self.assertEqual((self.guard.mark, self.guard.learned), (3, 3))
        self.assertEqual(self.link.told, [("begin", 4), "limited", ("lowered", 3)])

    def test_nothing_goes_above_what_is_lent(self) -> None:
        taken = self.meet(2)
        self.leased(2)
        self.clock.advance(60.0)
        self.assertIsNone(self.guard.wait())
        self.assertEqual(self.link.changes, 1)
        self.guard.lend(3)
        self.assertEqual(self.guard.wait(), 0.0)
        self.guard.lend(1)
        taken[0].ended()
        self.assertIsNone(self.guard.wait())
        self.assertEqual(self.link.changes, 3)
        self.assertEqual(self.guard.learned, 2)

    def test_who_waits_is_called_when_something_is_lent(self) -> None:
        self.meet(1)
        self.leased(1)
        self.assertIsNone(self.guard.wait())
        called = self.deployment.turn(background=False, first=False)
        self.deployment.turn(background=True, first=False)
        self.assertEqual(self.guard.demand(), MarkDemand(1, 1, 1))
        self.guard.lend(2)
        self.assertTrue(called.called)

    def test_background_keeps_to_its_part_of_what_is_lent(self) -> None:
        for each in self.meet(5):
            each.ended()
        self.leased(5)
        background = [self.guard.sent(background=True) for _ in range(3)]
        self.assertIsNone(self.guard.wait(background=True))
        self.assertEqual(self.guard.wait(), 0.0)
        background[0].ended()
        self.assertEqual(self.guard.wait(background=True), 0.0)
        self.guard.lend(1)
        for each in background[1:]:
            each.ended()
        self.assertEqual(self.guard.wait(background=True), 0.0, "one is slowed, and not starved")

    def test_background_tries_as_often_however_often_the_mark_is_met_here(self) -> None:
        for each in self.meet(1):
            each.ended()
        self.leased(2)
        for _ in range(6):
            taken = self.send(2)
            taken[1].limited(None)
            taken[0].ended()
            self.guard.lend(2)
        self.assertEqual(self.guard.wait(background=True), 0.0)
        self.guard.sent(background=True)
        self.assertIsNone(self.guard.wait(background=True))
        self.clock.advance(TRIED_AFTER_CAPS * FIRST_CAP_SECONDS)
        self.assertEqual(self.guard.wait(background=True), 0.0)

    def test_who_waits_looks_whether_there_is_still_somebody_who_lends(self) -> None:
        taken = self.meet(1)
        self.leased(0)
        taken[0].ended()
        self.assertIsNone(self.guard.wait())
        called = self.deployment.turn(background=False, first=False)
        self.link.leased = False
        self.clock.advance(LOOK_SECONDS)
        self.assertTrue(called.called)
        self.clock.advance(2.0)
        self.assertEqual(self.guard.wait(), 0.0)
        self.guard.sent().proven()
        self.assertEqual((self.guard.mark, self.guard.learned), (1, 2))

    def test_the_last_one_is_refused(self) -> None:
        self.meet(2)
        self.leased(3)
        self.guard.sent().limited(None)
        self.assertEqual(self.link.told, [("lowered", 2), "limited"])
        self.assertEqual((self.guard.mark, self.guard.learned), (2, 1))
        self.assertEqual(self.guard.rest, 0.0)

    def test_one_that_had_room_has_met_a_rate(self) -> None:
        for each in self.meet(2):
            each.ended()
        self.leased(2)
        self.found.clear()
        self.guard.sent().limited(None)
        self.assertEqual(self.link.told, ["false", "end"])
        self.assertEqual((self.guard.mark, self.guard.rest), (None, 0.5))
        self.assertEqual(self.found, [ModelRests("talk", "", Rest(0.5, 0.5, True))])

    def test_one_that_was_alone_has_only_a_guess(self) -> None:
        self.guard.sent().limited(None)
        self.assertEqual(self.found, [ModelRests("talk", "", Rest(0.5, 0.5, False))])
        self.guard.hear_met()
        self.assertEqual((self.guard.rest, self.guard.mark), (0.0, 0))
        self.assertEqual(self.link.told, [("begin", 0)])

    def test_a_rest_that_is_stated_is_kept(self) -> None:
        self.guard.sent().limited(5.0)
        self.guard.hear_met()
        self.assertEqual(self.guard.rest, 5.0)

    def test_a_guess_takes_nothing_from_a_rest_that_is_stated(self) -> None:
        self.guard.hear_rest(Rest(20.0, 0.5, stated=True))
        self.guard.hear_rest(Rest(0.5, 0.5, stated=False))
        self.guard.hear_met()
        self.assertEqual(self.guard.rest, 20.0)

    def test_one_that_was_alone_elsewhere_had_these_beside_it(self) -> None:
        self.send(2)
        self.guard.hear_rest(Rest(0.5, 0.5, False))
        self.assertEqual(self.link.told, [("begin", 2), "limited"])
        self.assertEqual(self.guard.rest, 0.0)
        self.guard.hear_rest(Rest(5.0, 0.0, True))
        self.assertEqual(self.guard.rest, 5.0)

    def test_others_have_met_it(self) -> None:
        early = self.send(3)
        self.guard.hear_met()
        self.assertEqual((self.guard.mark, self.deployment.limited), (3, True))
        self.leased(3)
        early[0].limited(None)
        self.assertEqual(self.link.told, [("lowered", 2)])
        self.guard.hear_met()
        self.assertEqual(self.guard.mark, 2)

    def test_others_know_that_it_is_false(self) -> None:
        self.meet(2)
        self.leased(2)
        self.guard.hear_false(rest=False)
        self.assertEqual((self.guard.mark, self.guard.rest, self.link.told), (None, 0.0, ["end"]))
        self.assertFalse(self.deployment.limited)
        self.guard.hear_false(rest=True)
        self.assertEqual(self.guard.rest, 0.0)
        self.meet(2)
        self.found.clear()
        self.guard.hear_false(rest=True)
        self.assertEqual((self.guard.rest, self.found), (0.5, [ModelRests("talk", "", Rest(0.5, 0.5, True))]))

    def test_without_a_lease_it_has_its_own_rule(self) -> None:
        taken = self.meet(2)
        self.clock.advance(2.0)
        self.assertEqual(self.guard.wait(), 0.0)
        probe = self.guard.sent()
        self.assertIsNone(self.guard.wait())
        self.clock.advance(1.0)
        self.assertEqual((self.guard.mark, self.guard.learned), (3, 3))
        probe.limited(None)
        self.assertEqual((self.guard.mark, self.guard.learned), (2, 2))
        taken[0].ended()
        self.guard.sent().limited(None)
        self.assertEqual((self.guard.mark, self.link.told[-1]), (None, "end"))

    def test_a_model_that_is_forgotten_gives_its_share_back(self) -> None:
        for each in self.meet(2):
            each.ended()
        self.deployments.of("other")
        self.assertEqual(self.link.told[-1], "end")
