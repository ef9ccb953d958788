from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.limits.window import SlidingWindow


class WindowTests(SynchronousTestCase):
    def test_what_happened_leaves_after_61_seconds(self) -> None:
        window = SlidingWindow(10)
        window.advance(1000)
        window.add(4)
        window.advance(1060)
        self.assertEqual((window.used, window.left), (4, 6))
        window.advance(1061)
        self.assertEqual((window.used, window.left), (0, 10))

    def test_long_silence(self) -> None:
        window = SlidingWindow(10)
        window.advance(5)
        window.add(4)
        window.advance(10_000)
        self.assertEqual(window.used, 0)
        window.add(1)
        self.assertEqual(window.used, 1)

    def test_corrected(self) -> None:
        window = SlidingWindow(100)
        window.advance(7)
        window.add(50)
        window.advance(20)
        window.correct(7, -30)
        self.assertEqual(window.used, 20)
        window.advance(68)
        self.assertEqual(window.used, 0)
        window.correct(7, 99)
        self.assertEqual(window.used, 0)

    def test_what_another_window_counted_gives_nothing_back(self) -> None:
        # A reload took the limit away, and another one gave it again.
        window = SlidingWindow(1000)
        window.advance(8)
        window.add(10)
        window.correct(7, -500)
        window.correct(8, -500)
        self.assertEqual((window.used, window.left), (0, 1000))
        window.advance(100)
        self.assertEqual(window.used, 0)

    def test_when_there_is_place(self) -> None:
        window = SlidingWindow(10)
        window.advance(100)
        window.add(4)
        window.advance(110)
        window.add(6)
        self.assertEqual((window.free_after(1), window.free_after(4), window.free_after(5)), (51, 51, 61))

    @given(
        st.lists(st.tuples(st.integers(0, 90), st.integers(0, 5), st.booleans()), max_size=60), st.integers(0, 10**9)
    )
    def test_never_more_than_the_limit_in_any_minute(self, steps: list[tuple[int, int, bool]], start: int) -> None:
        window, now, taken = SlidingWindow(12), start, []
        chance = random.Random(start)
        for wait, amount, corrects in steps:
            now += wait
            window.advance(now)
            if amount <= window.left:
                window.add(amount)
                taken.append([now, amount])
            if corrects and taken:
                one = chance.choice(taken)
                if one[1] and one[0] >= now - 60:
                    window.correct(one[0], -1)
                    one[1] -= 1
            exact = sum(amount for at, amount in taken if at > now - 60)
            self.assertLessEqual(exact, window.used)
            self.assertLessEqual(window.used, 12)
            self.assertEqual(window.used, sum(amount for at, amount in taken if at >= now - 60))
