"""How much is spent of a budget in one turn."""

from __future__ import annotations

import contextlib
import random
from heapq import heapify, heappop, heappush

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.budgets.rows import Row, RowKey
from skyproxy.access.budgets.turns import PATIENCE_SECONDS, NextTurn, Turns


def row() -> Row:
    """One of which nothing is spent."""
    return Row(RowKey("process", "all", 0, "USD"), set())


class TurnTests(SynchronousTestCase):
    def test_a_third_of_the_even_part_of_what_is_left(self) -> None:
        turns, mine = Turns(Clock()), row()
        turns.begin(2)
        turns.take(mine, 30, 300)
        turns.take(mine, 20, 270)
        self.assertRaises(NextTurn, turns.take, mine, 1, 250)
        turns.begin(2)
        turns.take(mine, 20, 150)
        self.assertRaises(NextTurn, turns.take, mine, 6, 130)

    def test_one_request_in_any_case(self) -> None:
        turns, mine = Turns(Clock()), row()
        turns.begin(3)
        turns.take(mine, 90, 100)
        self.assertRaises(NextTurn, turns.take, mine, 1, 10)

    def test_who_waits_goes_on_in_the_next_turn(self) -> None:
        clock = Clock()
        turns = Turns(clock)
        turns.begin(2)
        waiting, gone, late = turns.wait(), turns.wait(), []
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.assertNoResult(waiting)
        turns.begin(2)
        self.successResultOf(waiting)
        # Nobody says that it has begun.
        turns.wait().addCallback(late.append)
        clock.advance(PATIENCE_SECONDS)
        self.assertEqual(late, [None])
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_requests_wait_until_others_are_first_heard(self) -> None:
        for unheard in ("", "the store is down"):
            turns = Turns(Clock())
            self.assertFalse(turns.is_first)
            turns.await_others()
            # The file, which an earlier process has written, knows of no trouble.
            turns.note(2, "")
            self.assertTrue(turns.is_first and turns.unheard)
            waiting = turns.wait()
            turns.begin(2, unheard)
            self.successResultOf(waiting)
            self.assertEqual((turns.is_first, turns.unheard, turns.parts), (False, unheard, 2))

    def test_not_for_ever(self) -> None:
        clock = Clock()
        turns = Turns(clock)
        turns.await_others()
        clock.advance(60.0)
        self.assertTrue(turns.is_first)
        for _ in range(3):
            waiting = turns.wait()
            clock.advance(PATIENCE_SECONDS)
            self.successResultOf(waiting)
        self.assertEqual((turns.is_first, bool(turns.unheard)), (False, True))

    def test_turns_that_do_not_begin_together(self) -> None:
        """Each process tells what it has reserved, and hears what others have told, when its own turn begins."""
        for seed in range(60):
            chance = random.Random(seed)
            parts, whole = chance.randint(2, 6), chance.choice([3, 10, 100, 500])
            several = [(Turns(Clock()), row()) for _ in range(parts)]
            told, reserved = [0] * parts, [0] * parts
            begins = [(chance.random(), number) for number in range(parts)]
            heapify(begins)
            for _ in range(60 * parts):
                at, number = heappop(begins)
                heappush(begins, (at + chance.uniform(0.9, 1.3), number))
                told[number] = reserved[number]
                others = sum(told) - told[number]
                turns, mine = several[number]
                turns.begin(parts)
                # Many requests wait, each of which reserves one.
                with contextlib.suppress(NextTurn):
                    while others + reserved[number] < whole:
                        turns.take(mine, 1, whole - others - reserved[number])
                        reserved[number] += 1
            self.assertGreaterEqual(sum(reserved), whole)
            self.assertLess(sum(reserved), whole + parts, (seed, parts, whole))

    @given(st.integers(2, 5), st.integers(1, 1000), st.lists(st.tuples(st.integers(0, 4), st.integers(1, 100))))
    def test_all_together(self, parts: int, left: int, asked: list[tuple[int, int]]) -> None:
        """In one turn, of which nobody hears from another: no more than there is, and one request each."""
        several = [(Turns(Clock()), row()) for _ in range(parts)]
        for turns, _ in several:
            turns.begin(parts)
        taken, first = [0] * parts, [0] * parts
        for number, amount in asked:
            who = number % parts
            turns, mine = several[who]
            if amount > left - taken[who]:
                continue
            try:
                turns.take(mine, amount, left - taken[who])
            except NextTurn:
                continue
            first[who] = first[who] or amount
            taken[who] += amount
        self.assertLessEqual(sum(taken), left + sum(first))
