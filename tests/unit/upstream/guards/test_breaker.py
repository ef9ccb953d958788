"""When a provider, or a model, is left alone, and when it is tried again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import BreakerSettings
from skyproxy.upstream.guards.breaker import Admission, Breaker, BreakerState
from skyproxy.upstream.guards.refusals import BreakerOpen


class BreakerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.breaker = Breaker(self.clock, BreakerSettings(), "some")

    def fail(self, times: int = 1, cause: str = "") -> None:  # type: ignore[override]
        for _ in range(times):
            self.breaker.admit(last=True).failed(cause)

    def refusal(self, *, background: bool = False) -> BreakerOpen:
        with self.assertRaises(BreakerOpen) as caught:
            self.breaker.admit(background=background)
        return caught.exception


class OpeningTests(BreakerTestCase):
    """What opens a closed breaker."""

    def test_five_in_a_row(self) -> None:
        self.fail(4)
        self.assertIs(self.breaker.state, BreakerState.CLOSED)
        self.fail()
        self.assertIs(self.breaker.state, BreakerState.OPEN)

    def test_a_success_between(self) -> None:
        for _ in range(5):
            self.fail(4)
            self.breaker.admit().succeeded()
        self.assertIs(self.breaker.state, BreakerState.CLOSED)

    def test_what_is_ignored(self) -> None:
        self.fail(4)
        self.breaker.admit().ignored()
        self.fail()
        self.assertIs(self.breaker.state, BreakerState.OPEN)

    def test_only_the_first_word_counts(self) -> None:
        for _ in range(4):
            admission = self.breaker.admit()
            admission.failed()
            admission.failed()
            admission.succeeded()
        self.assertEqual(self.breaker.statistics().consecutive, 4)

    def test_what_was_sent_before_it_opened_tells_of_what_is_over(self) -> None:
        late = [self.breaker.admit() for _ in range(10)]
        self.fail(5)
        for admission in late[:5]:
            admission.failed()
        self.clock.advance(1)
        self.breaker.admit().succeeded()
        for admission in late[5:]:
            admission.failed()
        self.assertIs(self.breaker.state, BreakerState.CLOSED)


class OpenTests(BreakerTestCase):
    """An open breaker."""

    def test_says_what_failed_and_when_it_asks_again(self) -> None:
        self.fail(5, "status 503: no capacity")
        error = self.refusal()
        self.assertEqual((error.status, error.code, error.retry_after), (503, "breaker_open", 1.0))
        for part in ("some", "status 503: no capacity", "asked again in 1.0 s"):
            self.assertIn(part, error.message)

    def test_the_last_candidate_is_never_refused(self) -> None:
        self.fail(5)
        for _ in range(20):
            self.breaker.admit(last=True).failed()
        self.assertEqual(self.breaker.statistics().retry_in, 1.0)
        self.breaker.admit(last=True).succeeded()
        self.assertIs(self.breaker.state, BreakerState.CLOSED)

    def test_doubles_to_ten_seconds_and_begins_anew_when_all_is_well(self) -> None:
        self.fail(5)
        for seconds in (1, 2, 4, 8, 10, 10):
            self.assertEqual(self.refusal().retry_after, seconds)
            self.clock.advance(seconds)
            self.breaker.admit().failed()
        self.clock.advance(10)
        self.breaker.admit().succeeded()
        self.fail(5)
        self.assertEqual(self.refusal().retry_after, 1.0)

    def test_leaves_no_timer(self) -> None:
        self.fail(5)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ProbeTests(BreakerTestCase):
    """One request that finds out."""

    def setUp(self) -> None:
        super().setUp()
        self.fail(5)
        self.clock.advance(1)

    def test_one_at_a_time(self) -> None:
        probe = self.breaker.admit()
        self.assertTrue(probe.is_probe)
        self.assertIs(self.breaker.state, BreakerState.HALF_OPEN)
        self.assertEqual(self.refusal().retry_after, 1.0)
        probe.succeeded()
        self.assertFalse(self.breaker.admit().is_probe)

    def test_good_after_a_second_without_a_failure(self) -> None:
        self.breaker.admit()
        self.clock.advance(1)
        self.assertFalse(self.breaker.admit().is_probe)
        self.assertIs(self.breaker.state, BreakerState.CLOSED)

    def test_no_time_speaks_for_one_that_waits_to_be_sent(self) -> None:
        probe = self.breaker.admit()
        probe.waits()
        self.clock.advance(30)
        self.refusal()
        self.assertFalse(self.breaker.admit(last=True).is_probe)
        probe.sent()
        self.clock.advance(0.9)
        self.refusal()
        self.clock.advance(0.1)
        self.assertFalse(self.breaker.admit().is_probe)
        self.assertIs(self.breaker.state, BreakerState.CLOSED)

    def test_one_that_waits_for_what_is_over(self) -> None:
        probe = self.breaker.admit()
        probe.waits()
        self.breaker.admit(last=True).succeeded()
        probe.sent()
        self.assertIs(self.breaker.state, BreakerState.CLOSED)
        self.assertFalse(self.breaker.admit().is_probe)

    def test_though_the_next_failure_opens_it_again_for_longer(self) -> None:
        self.breaker.admit()
        self.clock.advance(1)
        self.breaker.admit().failed()
        self.assertEqual(self.refusal().retry_after, 2.0)

    def test_cancelled(self) -> None:
        self.breaker.admit().ignored()
        self.assertTrue(self.breaker.admit().is_probe)

    def test_background_is_none_while_interactive_requests_come(self) -> None:
        self.breaker.admit().failed()
        self.clock.advance(2)
        self.refusal(background=True)
        self.assertTrue(self.breaker.admit().is_probe)

    def test_background_is_one_where_none_come_interactively(self) -> None:
        self.assertTrue(self.breaker.admit(background=True).is_probe)


class InstrumentTests(BreakerTestCase):
    """What a breaker tells of itself."""

    def test_statistics(self) -> None:
        self.fail(5, "it broke")
        self.refusal()
        told = self.breaker.statistics()
        self.assertEqual((told.state, told.consecutive, told.retry_in), ("open", 5, 1.0))
        self.assertEqual((told.opened, told.refused, told.cause), (1, 1, "it broke"))

    def test_log(self) -> None:
        with capturedLogs() as events:
            self.fail(5, "it broke")
            self.clock.advance(30)
            self.breaker.admit().succeeded()
        opened, closed = events
        self.assertEqual((opened["log_format"], opened["log_level"]), ("Circuit breaker opened", LogLevel.warn))
        self.assertEqual(
            (opened["provider"], opened["failures"], opened["open_for"], opened["cause"]),
            ("some", 5, 1.0, "it broke"),
        )
        self.assertEqual((closed["log_format"], closed["log_level"]), ("Circuit breaker closed", LogLevel.info))


class AnyOrderTests(SynchronousTestCase):
    """Whatever happens, in whatever order."""

    @given(
        st.lists(
            st.tuples(st.sampled_from(["admit", "last", "succeeded", "failed", "ignored", "wait"]), st.integers(0, 50)),
            max_size=200,
        )
    )
    def test_it_always_tries_again(self, steps: list[tuple[str, int]]) -> None:
        clock = Clock()
        breaker = Breaker(clock, BreakerSettings(consecutive=2), "some")
        under_way: list[Admission] = []
        for step, number in steps:
            if step == "wait":
                clock.advance(number / 3)
            elif step in ("admit", "last"):
                try:
                    under_way.append(breaker.admit(last=step == "last"))
                except BreakerOpen:
                    self.assertNotEqual((step, breaker.state), ("admit", BreakerState.CLOSED))
                    self.assertEqual(step, "admit")
            elif under_way:
                getattr(under_way.pop(number % len(under_way)), step)()
        clock.advance(12)
        breaker.admit().succeeded()
        self.assertIs(breaker.state, BreakerState.CLOSED)
