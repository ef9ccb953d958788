"""What is learned from 429s, and how soon it is unlearned."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.upstream.guards.rate_guard import RateGuard, Ticket
from skyproxy.upstream.guards.statistics import RateGuardStatistics


class RateGuardTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.changes = 0
        self.guard = RateGuard(self.clock, self.changed)

    def changed(self) -> None:
        self.changes += 1

    def send(self, count: int) -> list[Ticket]:
        return [self.guard.sent() for _ in range(count)]

    def send_all_that_may(self, most: int = 100) -> list[Ticket]:
        """As many as may go at this moment."""
        tickets = []
        while len(tickets) < most and self.guard.wait() == 0.0:
            tickets.append(self.guard.sent())
        return tickets

    def meet_rate(self) -> float:
        """One 429 of a request that is alone; returns the rest."""
        self.guard.sent().limited(None)
        return self.guard.rest

    def meet_limit(self, mark: int) -> list[Ticket]:
        """*mark* requests are taken and one more is not; returns the former."""
        taken = self.send(mark)
        for each in taken:
            each.proven()
        self.guard.sent().limited(None)
        return taken

    def rest_through(self) -> None:
        self.clock.advance(self.guard.rest)

    def take_one(self) -> None:
        ticket = self.guard.sent()
        ticket.proven()
        ticket.ended()


class CalmTests(RateGuardTestCase):
    """Without a 429 there is no guard."""

    def test_all_may_go(self) -> None:
        self.assertTrue(self.guard.idle)
        tickets = self.send_all_that_may(100)
        self.assertEqual((len(tickets), self.guard.in_flight, self.guard.mark), (100, 100, None))
        self.assertFalse(self.guard.idle)
        for each in tickets:
            each.proven()
            each.ended()
        self.assertTrue(self.guard.idle)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.changes, 0)

    def test_the_clock_is_left_alone(self) -> None:
        guard = RateGuard(None)  # type: ignore[arg-type]
        self.assertEqual(guard.wait(), 0.0)
        ticket = guard.sent()
        ticket.proven()
        ticket.ended()
        self.assertTrue(guard.idle)
        self.assertEqual(guard.statistics(), RateGuardStatistics(0.0, None, 0, 0, 0))

    def test_only_the_first_end_counts(self) -> None:
        first, second = self.send(2)
        for end in (first.ended, first.ended, lambda: first.limited(None), first.proven):
            end()
        self.assertEqual((self.guard.in_flight, self.guard.wait()), (1, 0.0))
        second.limited(None)
        second.ended()
        second.limited(9.0)
        self.assertEqual((self.guard.in_flight, self.guard.rest), (0, 0.5))


class RateTests(RateGuardTestCase):
    """A 429 of a request that was alone, or below the mark."""

    def test_a_rest_of_half_a_second(self) -> None:
        self.assertEqual(self.meet_rate(), 0.5)
        self.assertEqual(self.guard.wait(), 0.5)
        self.assertIsNone(self.guard.mark)
        self.clock.advance(0.3)
        self.assertAlmostEqual(self.guard.wait() or 0, 0.2)
        self.clock.advance(0.2)
        self.assertEqual((self.guard.wait(), self.guard.rest), (0.0, 0.0))

    def test_doubled_up_to_thirty(self) -> None:
        rests = []
        for _ in range(9):
            rests.append(self.meet_rate())
            self.rest_through()
        self.assertEqual(rests, [0.5, 1, 2, 4, 8, 16, 30, 30, 30])

    def test_an_hour_at_most_whatever_the_provider_says(self) -> None:
        self.guard.sent().limited(1e12)
        self.assertEqual(self.guard.rest, 3600.0)
        self.clock.advance(3600)
        self.guard.sent().limited(86_400.0)
        self.assertEqual(self.guard.rest, 3600.0)

    def test_one_taken_ends_the_doubling(self) -> None:
        self.meet_rate()
        self.rest_through()
        self.meet_rate()
        self.rest_through()
        self.take_one()
        self.assertEqual(self.meet_rate(), 0.5)

    def test_one_given_up_does_not_end_the_doubling(self) -> None:
        self.meet_rate()
        self.rest_through()
        self.guard.sent().ended()
        self.assertEqual(self.meet_rate(), 1.0)

    def test_one_sent_before_the_429_does_not_end_the_doubling(self) -> None:
        early, limited = self.send(2)
        limited.limited(None)  # a mark of 1 ...
        early.ended()
        self.meet_rate()  # ... which was false
        self.rest_through()
        old = self.guard.sent()
        self.guard.sent().limited(None)
        old.proven()
        old.ended()
        self.assertEqual(self.meet_rate(), 1.0)

    def test_one_at_a_time_after_a_rest_then_more_then_all(self) -> None:
        self.meet_rate()
        self.rest_through()
        steps = []
        for _ in range(5):
            tickets = self.send_all_that_may()
            steps.append(len(tickets))
            for each in tickets:
                each.proven()
        self.assertEqual(steps, [1, 2, 4, 8, 16])
        self.assertEqual(len(self.send_all_that_may(100)), 100)

    def test_a_second_without_a_429_proves_too(self) -> None:
        self.meet_rate()
        self.rest_through()
        self.guard.sent()
        self.assertIsNone(self.guard.wait())
        self.clock.advance(0.99)
        self.assertIsNone(self.guard.wait())
        self.assertEqual(self.guard.statistics().unproven, 1)
        self.clock.advance(0.01)
        self.assertEqual(self.changes, 1)
        self.assertEqual(len(self.send_all_that_may()), 2)

    def test_a_429_below_the_mark_drops_it(self) -> None:
        taken = self.meet_limit(5)
        self.assertEqual((self.guard.mark, self.guard.rest), (5, 0.0))
        taken[0].ended()
        self.assertEqual(self.guard.wait(), 0.0)
        self.guard.sent().limited(None)
        self.assertEqual((self.guard.mark, self.guard.rest), (None, 0.5))

    def test_idle_again(self) -> None:
        self.meet_rate()
        self.assertFalse(self.guard.idle)
        self.rest_through()
        self.assertFalse(self.guard.idle)
        for _ in range(31):
            self.take_one()
        self.assertTrue(self.guard.idle)


class MarkTests(RateGuardTestCase):
    """A 429 while others are under way."""

    def test_the_mark_is_those_others(self) -> None:
        taken = self.meet_limit(8)
        self.assertEqual(self.guard.mark, 8)
        self.assertIsNone(self.guard.wait())
        taken[0].ended()
        self.assertEqual(self.changes, 1)
        self.assertEqual(len(self.send_all_that_may()), 1)

    def test_one_event_lowers_the_mark_and_counts_once(self) -> None:
        tickets = self.send(10)
        for each in tickets[7:]:
            each.limited(None)
        self.assertEqual((self.guard.mark, self.guard.statistics().limited), (7, 1))
        self.clock.advance(2)
        self.assertEqual(self.guard.wait(), 0.0)  # still the first hold

    def test_a_late_429_of_an_event_does_not_raise_the_mark(self) -> None:
        tickets = self.send(3)
        tickets[2].limited(None)
        self.clock.advance(2)
        self.send_all_that_may()[0].proven()
        self.assertEqual((self.guard.mark, self.guard.in_flight), (3, 3))
        self.clock.advance(2)
        self.send_all_that_may()[0].proven()
        self.assertEqual(self.guard.mark, 4)
        tickets[1].limited(None)
        self.assertEqual((self.guard.mark, self.guard.in_flight), (3, 3))

    def test_never_below_one(self) -> None:
        for each in self.send(3):
            each.limited(None)
        self.assertEqual((self.guard.mark, self.guard.rest), (1, 0.0))
        self.assertEqual(len(self.send_all_that_may()), 1)

    def test_nobody_above_for_two_seconds_then_one_at_a_time(self) -> None:
        self.meet_limit(4)
        self.assertIsNone(self.guard.wait())
        self.clock.advance(1.9)
        self.assertEqual((self.changes, self.guard.wait()), (0, None))
        self.clock.advance(0.1)
        self.assertEqual(self.changes, 1)
        for mark in (5, 6, 7):
            (one,) = self.send_all_that_may()
            self.assertIsNone(self.guard.wait())
            one.proven()
            self.assertEqual(self.guard.mark, mark)

    def test_one_above_that_is_given_up_makes_room_for_another(self) -> None:
        self.meet_limit(4)
        self.clock.advance(2)
        (one,) = self.send_all_that_may()
        one.ended()
        self.assertEqual((self.guard.mark, len(self.send_all_that_may())), (4, 1))

    def test_a_second_proves_one_above(self) -> None:
        self.meet_limit(4)
        self.clock.advance(2)
        self.send_all_that_may()
        self.assertIsNone(self.guard.wait())
        self.clock.advance(1)
        self.assertEqual((self.changes, self.guard.mark), (1, 5))

    def holds(self, times: int) -> list[float]:
        """Meet the mark again and again, and see for how long nobody goes above it."""
        holds = []
        for _ in range(times):
            before = self.clock.seconds()
            while self.guard.wait() is None:
                self.clock.advance(0.5)
            holds.append(self.clock.seconds() - before)
            self.guard.sent().limited(None)
        return holds

    def test_doubled_up_to_thirty(self) -> None:
        self.meet_limit(4)
        self.assertEqual(self.holds(6), [2, 4, 8, 16, 30, 30])
        self.assertEqual(self.guard.mark, 4)

    def test_a_mark_one_off_is_the_same(self) -> None:
        taken = self.meet_limit(4)
        self.clock.advance(2)
        probe = self.guard.sent()
        taken[0].ended()
        probe.limited(None)
        self.assertEqual(self.guard.mark, 3)
        self.assertEqual(self.holds(1), [4])

    def test_a_mark_further_off_is_another(self) -> None:
        taken = self.meet_limit(4)
        self.clock.advance(2)
        probe = self.guard.sent()
        taken[0].ended()
        taken[1].ended()
        probe.limited(None)
        self.assertEqual(self.guard.mark, 2)
        self.assertEqual(self.holds(1), [2])

    def test_one_proven_above_ends_the_doubling(self) -> None:
        self.meet_limit(4)
        self.holds(2)
        while self.guard.wait() is None:
            self.clock.advance(0.5)
        self.guard.sent().proven()
        self.assertEqual(self.guard.mark, 5)
        self.guard.sent().limited(None)
        self.assertEqual(self.holds(1), [2])

    def test_of_an_event_nothing_counts_twice(self) -> None:
        self.meet_limit(4)
        self.clock.advance(2)
        late = self.send(2)
        late[1].limited(None)
        late[0].limited(None)
        self.assertEqual((self.guard.mark, self.guard.statistics().limited), (4, 2))
        self.assertEqual(self.holds(1), [4])


class LateTests(RateGuardTestCase):
    """A 429 that comes when time has proven its request already: that proof is taken back."""

    def test_the_rest_is_doubled_all_the_same(self) -> None:
        self.meet_rate()
        self.rest_through()
        self.meet_rate()
        self.rest_through()
        late = self.guard.sent()
        self.clock.advance(1.5)
        self.assertEqual(self.guard.wait(), 0.0)
        late.limited(None)
        self.assertEqual(self.guard.rest, 2.0)

    def test_a_first_byte_is_proof_for_good(self) -> None:
        self.meet_rate()
        self.rest_through()
        ticket = self.guard.sent()
        self.clock.advance(1.5)
        self.assertEqual(self.guard.wait(), 0.0)
        ticket.proven()
        ticket.limited(None)
        self.assertEqual(self.guard.rest, 0.5)

    def test_the_mark_falls_back_and_its_hold_is_doubled(self) -> None:
        self.meet_limit(4)
        self.clock.advance(2)
        (late,) = self.send_all_that_may()
        self.clock.advance(1)
        self.assertEqual(self.guard.mark, 5)
        late.limited(None)
        self.assertEqual((self.guard.mark, self.guard.rest), (4, 0.0))
        self.clock.advance(3.5)
        self.assertIsNone(self.guard.wait())
        self.clock.advance(0.5)
        self.assertEqual(self.guard.wait(), 0.0)


class RetryAfterTests(RateGuardTestCase):
    """What the provider says itself."""

    def test_a_rest_besides_the_mark(self) -> None:
        taken = self.send(4)
        self.guard.sent().limited(7.0)
        self.assertEqual((self.guard.mark, self.guard.rest, self.guard.wait()), (4, 7.0, 7.0))
        for each in taken:
            each.ended()
        self.clock.advance(7)
        self.assertEqual(len(self.send_all_that_may()), 1)  # one at a time, as after any rest

    def test_the_longer_one_counts(self) -> None:
        self.guard.sent().limited(0.2)
        self.assertEqual(self.guard.rest, 0.5)
        self.rest_through()
        self.guard.sent().limited(58.0)
        self.assertEqual(self.guard.rest, 58.0)

    def test_of_one_event_too(self) -> None:
        first, second = self.send(2)
        first.limited(None)
        second.limited(12.0)
        self.assertEqual((self.guard.rest, self.guard.statistics().limited), (12.0, 1))

    def test_it_does_not_enter_the_doubling(self) -> None:
        self.guard.sent().limited(20.0)
        self.clock.advance(20)
        self.assertEqual(self.meet_rate(), 1.0)

    def test_nothing_said(self) -> None:
        self.send(2)[0].limited(0.0)
        self.assertEqual((self.guard.mark, self.guard.rest), (1, 0.0))


class WaitingTests(RateGuardTestCase):
    """How those who wait hear of it."""

    def test_no_timer_unless_somebody_waits(self) -> None:
        self.meet_limit(4)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.guard.wait()
        self.guard.wait()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_no_timer_for_a_rest(self) -> None:
        self.meet_rate()
        self.guard.wait()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_told_once_for_each_time_that_one_asked(self) -> None:
        taken = self.meet_limit(4)
        taken[0].ended()
        self.assertEqual(self.changes, 0)
        self.send_all_that_may()
        taken[1].ended()
        taken[2].ended()
        self.assertEqual(self.changes, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_told_of_a_rest(self) -> None:
        self.meet_rate()
        self.rest_through()
        (one,) = self.send_all_that_may()
        one.limited(None)
        self.assertEqual((self.changes, self.guard.wait()), (1, 1.0))

    def test_sent_though_it_must_not(self) -> None:
        self.meet_rate()
        self.guard.sent().proven()
        self.assertEqual((self.guard.wait(), self.guard.in_flight), (0.5, 1))

    def test_without_a_listener(self) -> None:
        self.guard = RateGuard(self.clock)
        taken = self.meet_limit(1)
        self.assertIsNone(self.guard.wait())
        taken[0].ended()
        self.assertEqual(self.guard.wait(), 0.0)

    def test_statistics(self) -> None:
        self.meet_limit(4)
        self.clock.advance(2)
        self.guard.sent()
        self.assertEqual(self.guard.statistics(), RateGuardStatistics(0.0, 4, 5, 1, 1))


class BackgroundTests(RateGuardTestCase):
    """Those for which nobody waits leave a part of the mark to those for whom somebody does."""

    def send_background(self, most: int = 100) -> list[Ticket]:
        """As many of background as may go at this moment."""
        tickets = []
        while len(tickets) < most and self.guard.wait(background=True) == 0.0:
            tickets.append(self.guard.sent(background=True))
        return tickets

    def meet_limit_with(self, background: int) -> list[Ticket]:
        """So many are taken, all of background, and one more is not; returns the former."""
        taken = self.send_background(background)
        for each in taken:
            each.proven()
        self.guard.sent(background=True).limited(None)
        return taken

    def test_without_a_mark_all_may_go(self) -> None:
        tickets = self.send_background(100)
        self.assertEqual((len(tickets), self.guard.wait(background=True)), (100, 0.0))
        for each in tickets:
            each.ended()
        self.assertTrue(self.guard.idle)

    def test_no_more_than_their_part(self) -> None:
        for mark, most in ((25, 15), (8, 4), (5, 3), (4, 2), (3, 1), (2, 1), (1, 1)):
            self.setUp()
            taken = self.meet_limit_with(mark)
            for each in taken[most:]:
                self.assertEqual(self.send_background(), [], mark)
                each.ended()
            # They have their part, and what is left is for others.
            self.assertEqual((self.send_background(), self.guard.mark), ([], mark))
            others = self.send_all_that_may()
            self.assertEqual(len(others), mark - most)
            for ticket in others:
                ticket.ended()
            taken[0].ended()
            self.assertEqual((len(self.send_background()), self.guard.in_flight), (1, most), mark)

    def test_others_leave_them_what_is_there(self) -> None:
        self.meet_limit(5)
        self.assertEqual(self.send_background(), [])
        self.clock.advance(2)
        self.assertEqual(len(self.send_background()), 1)

    def test_those_that_wait_are_told_when_one_ends(self) -> None:
        taken = self.meet_limit_with(5)
        taken[0].ended()
        self.assertIsNone(self.guard.wait(background=True))
        taken[1].ended()
        self.assertEqual(self.changes, 1)
        self.assertIsNone(self.guard.wait(background=True))
        taken[2].ended()
        self.assertEqual((self.changes, len(self.send_background())), (2, 1))

    def test_those_that_wait_are_told_when_time_has_proven_one_above_the_mark(self) -> None:
        taken = self.meet_limit_with(3)
        for each in taken[1:]:
            each.ended()
        self.clock.advance(2)
        others = self.send_all_that_may(3)
        self.assertEqual((len(others), self.guard.wait(background=True)), (3, None))
        self.clock.advance(1)
        # One who asks finds it out.
        self.assertEqual(self.guard.mark, 4)
        self.clock.advance(0)
        self.assertEqual((self.changes, len(self.send_background(1))), (1, 1))

    def test_where_nobody_else_comes_they_find_out_what_is_taken_by_now(self) -> None:
        self.meet_limit_with(1)
        self.assertIsNone(self.guard.wait(background=True))
        self.clock.advance(39.9)
        self.assertEqual((self.changes, self.send_background()), (0, []))
        self.clock.advance(0.1)
        self.assertEqual(self.changes, 1)
        for mark in range(2, 20):
            (one,) = self.send_background()
            one.proven()
            self.assertEqual(self.guard.mark, mark)
            self.clock.advance(0.5)
        self.clock.advance(1)
        # They keep to their part again, which is larger now.
        self.assertEqual(self.send_background(), [])
        self.clock.advance(41)
        self.assertEqual(len(self.send_background()), 1)

    def test_less_often_where_it_is_no_more(self) -> None:
        self.meet_limit_with(4)
        waited = []
        for _ in range(6):
            before = self.clock.seconds()
            while self.guard.wait(background=True) is None:
                self.clock.advance(1)
            waited.append(self.clock.seconds() - before)
            self.guard.sent(background=True).limited(None)
        self.assertEqual(waited, [40, 80, 160, 320, 600, 600])


class PropertyTests(SynchronousTestCase):
    @given(st.lists(st.tuples(st.sampled_from(["send", "prove", "end", "limit"]), st.floats(0, 3), st.integers(0, 9))))
    def test_nobody_waits_forever(self, steps: list[tuple[str, float, int]]) -> None:
        """Whatever has happened: once all have ended, one may go when the rest is over."""
        clock = Clock()
        guard = RateGuard(clock)
        flying: list[Ticket] = []
        for step, seconds, which in steps:
            if step == "send":
                wait = guard.wait(background=which > 4)
                self.assertTrue(wait is None or 0 <= wait <= 30)
                if wait == 0.0:
                    flying.append(guard.sent(background=which > 4))
            elif flying:
                ticket = flying[which % len(flying)]
                if step == "prove":
                    ticket.proven()
                else:
                    flying.remove(ticket)
                    ticket.ended() if step == "end" else ticket.limited(None)
            clock.advance(seconds)
            self.assertEqual(guard.in_flight, len(flying))
            mark = guard.mark
            self.assertTrue(mark is None or mark >= 1)
        for each in flying:
            each.ended()
        clock.advance(guard.rest)
        self.assertEqual((guard.wait(), guard.wait(background=True)), (0.0, 0.0))
        self.assertEqual(guard.statistics().unproven, 0)
