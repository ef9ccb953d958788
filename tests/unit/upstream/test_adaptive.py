"""How the limit follows what a provider can take."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.upstream.adaptive import AdaptiveLimit, AdaptiveStatistics
from skyproxy.upstream.limiter import Limiter, Permit
from tests.unit.upstream.simulation import Crowd, Provider

SECONDS = 300
STEP = 0.05


class RuleTests(SynchronousTestCase):
    """AdaptiveLimit, answer by answer."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.limiter = Limiter(self.clock, max_concurrent=16, max_pending=100)
        self.adaptive = AdaptiveLimit(self.clock, self.limiter)
        self.permits: list[Permit] = []

    def use(self, count: int) -> None:
        """Have *count* permits in use."""
        while len(self.permits) > count:
            self.permits.pop().release()
        while len(self.permits) < count:
            self.permits.append(self.successResultOf(self.limiter.acquire(1.0)))

    def complete(self, count: int, time_to_first_byte: float = 1.0) -> None:
        for _ in range(count):
            self.adaptive.completed(time_to_first_byte)

    def cut_to(self, limit: int) -> None:
        """Lower the limit to *limit* by a 429 at twice as many."""
        self.use(2 * limit)
        self.adaptive.limited()
        self.clock.advance(1)
        self.use(self.adaptive.limit)
        self.assertEqual(self.adaptive.limit, limit)

    def test_starts_where_it_surprises_nobody(self) -> None:
        self.complete(1000)
        self.assertEqual((self.adaptive.limit, self.limiter.limit), (16, 16))

    def test_429_halves_what_was_in_use(self) -> None:
        self.use(10)
        self.adaptive.limited()
        self.assertEqual((self.adaptive.limit, self.limiter.limit), (5, 5))

    def test_a_burst_of_429_counts_once(self) -> None:
        self.use(16)
        for _ in range(16):
            self.adaptive.limited()
        self.clock.advance(0.99)
        self.adaptive.limited()
        self.assertEqual(self.adaptive.limit, 8)
        self.clock.advance(0.01)
        self.adaptive.limited()
        self.assertEqual(self.adaptive.limit, 4)

    def test_a_burst_is_over_when_what_was_sent_before_has_been_answered(self) -> None:
        self.use(16)
        self.complete(1, 0.1)
        self.adaptive.limited()
        self.clock.advance(0.19)
        self.adaptive.limited()
        self.assertEqual(self.adaptive.limit, 8)
        self.clock.advance(0.02)
        self.adaptive.limited()
        self.assertEqual(self.adaptive.limit, 4)

    def one_alone(self, *, refused: bool) -> float:
        """Send one request that takes a second; how long the next one has to wait then."""
        self.use(1)
        if refused:
            self.adaptive.limited()
        else:
            self.complete(1)
        self.use(0)
        waiting = self.limiter.acquire(10.0)
        waited = 0.0
        while not waiting.called:
            self.assertEqual(self.adaptive.limit, 1)
            self.clock.advance(0.01)
            waited += 0.01
        self.permits.append(self.successResultOf(waiting))
        return waited

    def test_pauses_where_one_at_a_time_is_too_much(self) -> None:
        self.use(2)
        self.complete(1)
        self.adaptive.limited()
        self.clock.advance(1)
        self.assertEqual((self.adaptive.limit, self.limiter.limit), (1, 1))
        # Half a request at a time, with answers that take one second, and so on; but no pause is over two seconds.
        for pause in (1, 2, 2):
            self.assertApproximates(self.one_alone(refused=True), pause, 0.02)
        pauses = [self.one_alone(refused=False) for _ in range(80)]
        self.assertEqual(pauses, sorted(pauses, reverse=True))
        self.assertEqual(pauses[-1], 0.0)
        self.assertGreaterEqual(self.limiter.limit, 1)

    def test_careful_where_the_last_429_came_below_one_too(self) -> None:
        self.use(1)
        self.complete(1)
        for _ in range(2):
            self.adaptive.limited()
            self.clock.advance(10)
        # The pauses are longest now, at a third. One step leads near to one half, and from there each is small.
        steps = 0
        while self.one_alone(refused=False) > 1:
            steps += 1
        self.assertGreater(steps, 6)

    def test_those_from_before_do_not_make_the_pauses_longer(self) -> None:
        self.use(1)
        self.complete(1)
        self.adaptive.limited()
        self.clock.advance(10)
        before = self.adaptive.statistics()
        self.limiter.limit = 2
        self.use(2)
        self.adaptive.limited()
        self.complete(1)
        self.assertEqual(self.adaptive.statistics(), before)

    def test_slowness_alone_makes_no_pauses(self) -> None:
        limiter = Limiter(self.clock, max_concurrent=1, max_pending=100)
        adaptive = AdaptiveLimit(self.clock, limiter)
        self.successResultOf(limiter.acquire(1.0))
        for seconds in [0.1] * 200 + [9.0] * 20:
            adaptive.completed(seconds)
        self.assertGreater(adaptive.statistics().eased, 0)
        self.assertEqual((adaptive.limit, limiter.limit), (1, 1))

    def test_grows_by_one_a_round(self) -> None:
        self.cut_to(4)
        self.complete(5)
        self.assertEqual(self.adaptive.limit, 5)
        self.use(5)
        self.complete(6)
        self.assertEqual(self.adaptive.limit, 6)

    def test_grows_back_to_all(self) -> None:
        self.cut_to(4)
        for _ in range(500):
            self.use(self.adaptive.limit)
            self.complete(1)
        self.assertEqual(self.adaptive.limit, 16)

    def test_careful_where_the_last_429_came(self) -> None:
        self.cut_to(4)
        rounds = dict.fromkeys(range(4, 12), 0)
        while self.adaptive.limit < 12:
            self.use(self.adaptive.limit)
            rounds[self.adaptive.limit] += 1
            self.complete(1)
        self.assertGreater(rounds[7], 5 * rounds[6])
        self.assertLess(rounds[8], 2 * rounds[6])

    def test_what_does_not_use_the_limit_says_nothing_of_it(self) -> None:
        self.cut_to(4)
        self.use(3)
        self.complete(1000)
        self.assertEqual(self.adaptive.limit, 4)

    def test_slowness_takes_a_tenth(self) -> None:
        self.use(16)
        self.complete(200, 1.0)
        self.complete(2, 9.0)
        self.assertEqual(self.adaptive.limit, 16)
        self.complete(2, 9.0)
        self.assertEqual(self.adaptive.limit, 14)

    def test_slowness_counts_once_a_round(self) -> None:
        self.use(16)
        self.complete(200, 1.0)
        self.complete(8, 9.0)
        self.assertEqual(self.adaptive.statistics().eased, 1)
        self.clock.advance(9)
        self.use(14)
        self.complete(1, 9.0)
        self.assertEqual((self.adaptive.statistics().eased, self.adaptive.limit), (2, 12))

    def test_slowness_while_there_is_room(self) -> None:
        self.use(15)
        self.complete(200, 1.0)
        self.complete(20, 9.0)
        self.assertEqual(self.adaptive.limit, 16)

    def test_noise(self) -> None:
        self.use(16)
        for number in range(1000):
            self.complete(1, (0.3, 0.5, 2.5, 1.0)[number % 4] if number % 50 else 15.0)
            self.clock.advance(0.1)
        self.assertEqual((self.adaptive.limit, self.adaptive.statistics().eased), (16, 0))

    def test_slow_from_the_beginning(self) -> None:
        self.use(16)
        self.complete(1, 0.1)
        self.complete(18, 9.0)
        self.assertEqual(self.adaptive.limit, 16)

    def test_statistics(self) -> None:
        self.cut_to(4)
        self.complete(1, 2.0)
        self.assertEqual(
            self.adaptive.statistics(),
            AdaptiveStatistics(limit=4, highest=16, halved=1, eased=0, recent=2.0, baseline=2.0),
        )


class ConvergenceTests(SynchronousTestCase):
    """Forty clients that never stop, twenty-five permits, and a provider that takes less."""

    def setUp(self) -> None:
        self.clock = Clock()

    def crowd(self, provider: Provider, *, adaptive: bool) -> tuple[Crowd, Limiter]:
        limiter = Limiter(self.clock, max_concurrent=25, max_pending=100)
        control = AdaptiveLimit(self.clock, limiter) if adaptive else None
        return Crowd(self.clock, provider, limiter, control, clients=40), limiter

    def run_for(self, seconds: float) -> None:
        self.clock.pump([STEP] * round(seconds / STEP))

    def compare(self, latency: float = 1.0, **limits: float) -> None:
        """Nine of ten 429s must go, and nine of ten answers must stay."""
        crowds = []
        for adaptive in (False, True):
            self.clock = Clock()
            provider = Provider(self.clock, **limits)
            provider.latency = latency
            crowd, _ = self.crowd(provider, adaptive=adaptive)
            self.run_for(SECONDS)
            crowds.append(crowd)
        without, with_it = crowds
        self.assertGreater(without.refused, 1000)
        self.assertLess(with_it.refused, 0.1 * without.refused)
        self.assertLess(with_it.refused, 0.1 * with_it.served)
        self.assertGreater(with_it.served, 0.9 * without.served)

    def test_concurrency_limit(self) -> None:
        self.compare(concurrent=5)

    def test_rate_limit(self) -> None:
        self.compare(per_second=8)

    def test_rate_limit_that_one_request_after_the_other_exceeds(self) -> None:
        self.compare(latency=0.1, per_second=4)

    def test_both(self) -> None:
        self.compare(concurrent=6, per_second=4)

    def test_no_limit(self) -> None:
        crowd, limiter = self.crowd(Provider(self.clock), adaptive=True)
        self.run_for(60)
        self.assertEqual((crowd.refused, limiter.limit), (0, 25))

    def test_a_provider_that_recovers(self) -> None:
        provider = Provider(self.clock, concurrent=5)
        _, limiter = self.crowd(provider, adaptive=True)
        self.run_for(SECONDS)
        self.assertLessEqual(limiter.limit, 6)
        provider.lift()
        self.run_for(SECONDS)
        self.assertEqual(limiter.limit, 25)

    def test_a_provider_that_slows_down_and_recovers(self) -> None:
        provider = Provider(self.clock)
        _, limiter = self.crowd(provider, adaptive=True)
        self.run_for(60)
        provider.latency = 8.0
        self.run_for(40)
        self.assertLess(limiter.limit, 25)
        self.assertGreater(limiter.limit, 8)
        provider.latency = 1.0
        self.run_for(SECONDS)
        self.assertEqual(limiter.limit, 25)
