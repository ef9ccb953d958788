"""When a provider is left alone, and when it is tried again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import BreakerSettings
from skyproxy.errors import BreakerOpen
from skyproxy.upstream.breaker import Admission, Breaker, BreakerStatistics


class BreakerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.breaker = self.make()

    def make(self, **settings: float) -> Breaker:
        return Breaker(self.clock, BreakerSettings.model_validate(settings), "some")

    def fail(self, times: int = 1) -> None:  # type: ignore[override]
        for _ in range(times):
            self.breaker.admit().failed()

    def succeed(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.admit().succeeded()

    def refusal(self) -> BreakerOpen:
        with self.assertRaises(BreakerOpen) as caught:
            self.breaker.admit()
        return caught.exception


class OpeningTests(BreakerTestCase):
    """What opens a closed breaker."""

    def test_closed_at_first(self) -> None:
        self.assertEqual(self.breaker.state, "closed")

    def test_consecutive_failures(self) -> None:
        self.fail(4)
        self.assertEqual(self.breaker.state, "closed")
        self.fail()
        self.assertEqual(self.breaker.state, "open")

    def test_a_success_between(self) -> None:
        self.breaker = self.make(min_requests=100)
        for _ in range(5):
            self.fail(4)
            self.succeed()
        self.assertEqual(self.breaker.state, "closed")

    def test_rate(self) -> None:
        for _ in range(4):
            self.succeed()
            self.fail()
        self.succeed()
        self.assertEqual(self.breaker.state, "closed")
        self.fail()
        self.assertEqual(self.breaker.state, "open")

    def test_rate_below(self) -> None:
        for _ in range(50):
            self.succeed(2)
            self.fail()
        self.assertEqual(self.breaker.state, "closed")

    def test_all_must_fail(self) -> None:
        self.breaker = self.make(failure_rate=1, min_requests=3, consecutive=100)
        self.succeed()
        self.fail(20)
        self.assertEqual(self.breaker.state, "closed")
        self.clock.advance(30)
        self.fail(3)
        self.assertEqual(self.breaker.state, "open")

    def test_failures_outside_the_window(self) -> None:
        self.breaker = self.make(consecutive=100)
        self.fail(9)
        self.clock.advance(30)
        self.fail(9)
        self.assertEqual(self.breaker.state, "closed")
        self.fail()
        self.assertEqual(self.breaker.state, "open")

    def test_what_is_ignored(self) -> None:
        for _ in range(50):
            self.breaker.admit().ignored()
        self.fail(4)
        self.breaker.admit().ignored()
        self.assertEqual(self.breaker.state, "closed")
        self.fail()
        self.assertEqual(self.breaker.state, "open")

    def test_only_the_first_word_counts(self) -> None:
        for _ in range(4):
            admission = self.breaker.admit()
            admission.failed()
            admission.failed()
            admission.succeeded()
            admission.ignored()
        self.assertEqual(self.breaker.statistics().failures, 4)
        self.assertEqual(self.breaker.statistics().successes, 0)
        self.assertEqual(self.breaker.state, "closed")

    def test_failures_that_come_after_it_opened(self) -> None:
        late = [self.breaker.admit() for _ in range(10)]
        self.fail(5)
        self.clock.advance(29)
        for admission in late[:5]:
            admission.failed()
        self.clock.advance(1)
        self.assertEqual(self.breaker.state, "half_open")
        self.succeed()
        for admission in late[5:]:
            admission.failed()
        self.assertEqual(self.breaker.state, "closed")


class OpenTests(BreakerTestCase):
    """An open breaker."""

    def setUp(self) -> None:
        super().setUp()
        self.fail(5)

    def test_admits_nothing(self) -> None:
        self.clock.advance(12)
        error = self.refusal()
        self.assertEqual((error.status, error.code, error.retry_after), (503, "breaker_open", 18.0))
        self.assertIn("'some'", error.message)

    def test_until_its_time_is_over(self) -> None:
        self.clock.advance(29.9)
        self.refusal()
        self.clock.advance(0.2)
        self.succeed()
        self.assertEqual(self.breaker.state, "closed")

    def test_leaves_no_timer(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])


class HalfOpenTests(BreakerTestCase):
    """A breaker that tries the provider again."""

    def probes(self, **settings: float) -> list[Admission]:
        """All probes of a breaker that has just become half-open."""
        self.breaker = self.make(**settings)
        self.fail(5)
        self.clock.advance(30)
        return [self.breaker.admit() for _ in range(int(settings.get("probes", 1)))]

    def test_one_probe(self) -> None:
        (probe,) = self.probes()
        self.assertEqual(self.breaker.state, "half_open")
        self.assertEqual(self.refusal().retry_after, 1.0)
        probe.succeeded()
        self.assertEqual(self.breaker.state, "closed")
        self.fail(4)
        self.assertEqual(self.breaker.state, "closed")

    def test_failure_opens_again(self) -> None:
        (probe,) = self.probes()
        probe.failed()
        self.assertEqual(self.breaker.state, "open")
        self.assertEqual(self.refusal().retry_after, 30.0)
        self.clock.advance(30)
        self.succeed()
        self.assertEqual(self.breaker.state, "closed")

    def test_several_probes(self) -> None:
        first, second, third = self.probes(probes=3)
        self.refusal()
        second.failed()
        first.succeeded()
        third.ignored()
        self.assertEqual(self.breaker.state, "open")

    def test_cancelled_probe(self) -> None:
        (probe,) = self.probes()
        probe.ignored()
        probe.ignored()
        self.assertEqual(self.breaker.state, "half_open")
        self.breaker.admit()
        self.refusal()

    def test_probe_of_another_time(self) -> None:
        first, second = self.probes(probes=2)
        first.failed()
        self.clock.advance(30)
        self.breaker.admit()
        self.breaker.admit()
        second.ignored()
        self.refusal()
        second.succeeded()
        self.assertEqual(self.breaker.state, "half_open")


class InstrumentTests(BreakerTestCase):
    """What a breaker tells of itself."""

    def test_statistics(self) -> None:
        self.succeed(2)
        self.fail()
        self.assertEqual(
            self.breaker.statistics(),
            BreakerStatistics(
                state="closed", successes=2, failures=1, consecutive=1, retry_in=0.0, opened=0, refused=0
            ),
        )
        self.fail(4)
        self.refusal()
        self.clock.advance(10)
        self.assertEqual(
            self.breaker.statistics(),
            BreakerStatistics(state="open", successes=0, failures=0, consecutive=0, retry_in=20.0, opened=1, refused=1),
        )
        self.clock.advance(20)
        self.assertEqual(self.breaker.statistics().state, "half_open")

    def test_old_counts_are_forgotten_when_read(self) -> None:
        self.fail(3)
        self.clock.advance(30)
        self.assertEqual(self.breaker.statistics().failures, 0)

    def test_log(self) -> None:
        with capturedLogs() as events:
            self.succeed(3)
            self.fail(5)
            self.clock.advance(30)
            self.succeed()
        opened, closed = events
        self.assertEqual((opened["log_format"], opened["log_level"]), ("Circuit breaker opened", LogLevel.warn))
        self.assertEqual((opened["provider"], opened["failures"], opened["requests"], opened["open_for"]),
                         ("some", 5, 8, 30.0))  # fmt: skip
        self.assertEqual((closed["log_format"], closed["log_level"]), ("Circuit breaker closed", LogLevel.info))
        self.assertEqual(closed["provider"], "some")


class AnyOrderTests(SynchronousTestCase):
    """Whatever happens, in whatever order."""

    @given(
        st.integers(1, 3),
        st.lists(
            st.tuples(
                st.sampled_from(["admit", "succeeded", "failed", "ignored", "wait"]),
                st.integers(0, 100),
            ),
            max_size=200,
        ),
    )
    def test_no_probe_is_lost(self, probes: int, steps: list[tuple[str, int]]) -> None:
        clock = Clock()
        breaker = Breaker(clock, BreakerSettings(probes=probes, consecutive=2), "some")
        under_way: list[Admission] = []
        for step, number in steps:
            if step == "wait":
                clock.advance(number / 3)
            elif step == "admit":
                state = breaker.state
                try:
                    under_way.append(breaker.admit())
                except BreakerOpen as error:
                    self.assertNotEqual(state, "closed")
                    self.assertGreater(error.retry_after or 0, 0)
            elif under_way:
                getattr(under_way[number % len(under_way)], step)()
        for admission in under_way:
            admission.ignored()
        clock.advance(30)
        expected = probes if breaker.state == "half_open" else 10
        last = [breaker.admit() for _ in range(expected)]
        last[0].succeeded()
        self.assertEqual(breaker.state, "closed")
