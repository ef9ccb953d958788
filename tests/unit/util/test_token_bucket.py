"""The token bucket: what it allows at once, and in the long run."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.util.token_bucket import TokenBucket


class TokenBucketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def taken(self, bucket: TokenBucket) -> int:
        count = 0
        while bucket.take():
            count += 1
        return count

    def test_a_burst_and_then_the_rate(self) -> None:
        bucket = TokenBucket(self.clock, burst=5, rate=2)
        self.assertEqual(self.taken(bucket), 5)
        self.clock.advance(1.5)
        self.assertEqual(self.taken(bucket), 3)
        self.clock.advance(100)
        self.assertEqual((bucket.tokens, self.taken(bucket)), (5, 5))

    def test_what_it_has_in_the_beginning(self) -> None:
        self.assertEqual(self.taken(TokenBucket(self.clock, 5, 2, tokens=1)), 1)

    def test_tokens_that_are_given(self) -> None:
        bucket = TokenBucket(self.clock, burst=2, rate=0)
        bucket.give()
        self.assertEqual(self.taken(bucket), 2)
        bucket.give()
        self.assertEqual(self.taken(bucket), 1)

    def test_a_clock_that_goes_back_takes_nothing(self) -> None:
        bucket = TokenBucket(self.clock, burst=5, rate=2)
        self.clock.rightNow -= 100
        self.assertEqual(bucket.tokens, 5)

    @settings(max_examples=100, derandomize=True, deadline=None)
    @given(st.lists(st.floats(0, 3), max_size=40))
    def test_never_more_than_it_promises(self, pauses: list[float]) -> None:
        clock = Clock()
        bucket, count = TokenBucket(clock, burst=4, rate=3), 0
        for pause in pauses:
            clock.advance(pause)
            count += self.taken(bucket)
            self.assertLessEqual(count, 4 + 3 * clock.seconds() + 1e-6)
