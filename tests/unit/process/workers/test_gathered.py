"""The figures of several workers as those of one process."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.client.pool import PoolStatistics
from skyproxy.process.workers.gathered import Gathered
from skyproxy.process.workers.merging import merged_provider
from skyproxy.process.workers.state import DeploymentState, ProviderState, WorkerState
from skyproxy.telemetry.distribution import Summary
from skyproxy.upstream.guards.statistics import BreakerStatistics, KeyStatistics, LimiterStatistics, RateGuardStatistics

CALM = RateGuardStatistics(0.0, None, 1, 0, 0)


def breaker(state: str, cause: str = "") -> BreakerStatistics:
    return BreakerStatistics(state, 1, 2.0 if state == "open" else 0.0, 1, 3, cause)


def provider(in_use: int = 1, **fields: Any) -> ProviderState:
    plain: dict[str, Any] = {
        "limits": LimiterStatistics(5, in_use, 5 - in_use, 2, 50),
        "pool": PoolStatistics(1, 2, 3, 4, 5, 6, 7, 8),
        "breaker": breaker("closed"),
        "keys": (KeyStatistics("A_KEY", 1, 0.5, False, 7),),
        "deployments": (DeploymentState("m", False, 1, breaker("closed"), {"": CALM}),),
    }  # fmt: skip
    return ProviderState(**{**plain, **fields})


def state(counters: dict[tuple[str, ...], float] | None = None, **fields: Any) -> WorkerState:
    plain: dict[str, Any] = {
        "under_way": (), "busy": 2, "unfinished": 3, "lag": Summary(10, 0.001, 0.002, 0.003, 0.004),
        "retries_available": 10, "providers": {"p": provider()}, "stores": {"memory": (2, 100)},
        "process": {"process_open_fds": 10.0},
    }  # fmt: skip
    return WorkerState(counters or {}, **{**plain, **fields})


class GatheredTests(SynchronousTestCase):
    """:class:`Gathered`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.gathered = Gathered(self.clock.seconds)

    def test_sums(self) -> None:
        worse = Summary(5, 0.1, 0.2, 0.3, 0.4)
        self.gathered.take(0, state({("cache", "hit"): 3, ("responses", "p", "200"): 5}))
        self.gathered.take(1, state({("cache", "hit"): 4, ("responses", "p", "500"): 1}, lag=worse))
        self.assertEqual(self.gathered.counter("cache", "hit"), 7)
        self.assertEqual(self.gathered.counters("responses", "p"), {"200": 5, "500": 1})
        self.assertEqual((self.gathered.busy, self.gathered.unfinished, self.gathered.retries_available), (4, 6, 20))
        self.assertEqual(self.gathered.lag(), Summary(15, 0.1, 0.2, 0.3, 0.4))
        self.assertEqual(self.gathered.store("memory"), (4, 200))
        self.assertEqual(self.gathered.process(), {"process_open_fds": 20.0})

    def test_nothing_yet(self) -> None:
        self.assertIsNone(self.gathered.provider("p"))
        self.assertEqual(self.gathered.lag().count, 0)
        self.assertIsNone(self.gathered.age(0))

    def test_age(self) -> None:
        self.gathered.take(0, state())
        self.clock.advance(3)
        self.assertEqual(self.gathered.age(0), 3)

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.booleans()), max_size=60))
    def test_no_counter_ever_falls(self, steps: list[tuple[int, int, bool]]) -> None:
        """Whatever workers count, however often each dies and begins at nothing again."""
        gathered, counted, shown = Gathered(lambda: 0.0), dict.fromkeys(range(4), 0), 0.0
        for number, more, dies in steps:
            counted[number] += more
            gathered.take(number, state({("x", "y"): counted[number]}))
            if dies:
                gathered.lost(number)
                counted[number] = 0
            now = gathered.counter("x", "y")
            self.assertGreaterEqual(now, shown)
            shown = now
        self.assertEqual(shown, sum(more for _, more, _ in steps))

    def test_nothing_is_under_way_where_nobody_is(self) -> None:
        self.gathered.take(0, state())
        self.gathered.lost(0)
        self.gathered.lost(0)
        self.assertEqual((self.gathered.busy, self.gathered.provider("p")), (0, None))


class MergingTests(SynchronousTestCase):
    """:func:`merged_provider`."""

    def test_limits_and_pool_add_up(self) -> None:
        merged = merged_provider([provider(1), provider(4)])
        self.assertEqual(merged.limits, LimiterStatistics(10, 5, 5, 4, 100))
        self.assertEqual(merged.pool, PoolStatistics(2, 4, 6, 8, 10, 12, 14, 16))

    def test_the_worst_breaker_is_shown(self) -> None:
        merged = merged_provider(
            [provider(breaker=breaker("closed", "x")), provider(breaker=breaker("open", "y")), provider(breaker=None)]
        )
        assert merged.breaker is not None
        self.assertEqual((merged.breaker.state, merged.breaker.cause, merged.breaker.opened), ("open", "y", 2))
        self.assertIsNone(merged_provider([provider(breaker=None)]).breaker)

    def test_a_key_that_any_has_put_aside_is_aside(self) -> None:
        keys = (KeyStatistics("A_KEY", 2, 4.0, True, 3),)
        merged = merged_provider([provider(), provider(keys=keys)])
        self.assertEqual(merged.keys, (KeyStatistics("A_KEY", 3, 4.0, True, 10),))

    def test_deployments_are_one_by_model(self) -> None:
        limited = {"": RateGuardStatistics(2.0, 3, 1, 1, 1)}
        other = DeploymentState("m", True, 2, breaker("half_open"), limited)
        merged = merged_provider([provider(), provider(deployments=(other, DeploymentState("n", True, 0, None, {})))])
        first, second = merged.deployments
        self.assertEqual((first.model, first.named, first.waiting), ("m", True, 3))
        assert first.breaker is not None
        self.assertEqual(first.breaker.state, "half_open")
        self.assertEqual(first.guards[""], RateGuardStatistics(2.0, 3, 2, 1, 1))
        self.assertEqual((second.model, second.breaker), ("n", None))
