from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.budgets.evening import Evening
from skyproxy.access.budgets.spans import ALL_TIME, Span, calendar_span

ZONES = ["Europe/Vienna", "America/Sao_Paulo", "Asia/Beirut", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
VIENNA = ZoneInfo("Europe/Vienna")


def at(*moment: int, zone: ZoneInfo = VIENNA) -> int:
    return int(datetime(*moment, tzinfo=zone).timestamp())  # type: ignore[misc, arg-type]


class SpanTests(SynchronousTestCase):
    def test_day(self) -> None:
        now = at(2026, 11, 29, 0, 30)
        self.assertEqual(calendar_span("day", now, VIENNA), (at(2026, 11, 29), at(2026, 11, 30)))
        self.assertEqual(calendar_span("day", now, timezone.utc)[0], at(2026, 11, 28, zone=ZoneInfo("UTC")))

    def test_days_when_the_clocks_change(self) -> None:
        for day, hours in ((29, 23), (30, 24)):
            span = calendar_span("day", at(2026, 3, day, 12), VIENNA)
            self.assertEqual(span.end and span.end - span.start, hours * 3600)
        span = calendar_span("day", at(2026, 10, 25, 12), VIENNA)
        self.assertEqual(span.end and span.end - span.start, 25 * 3600)

    def test_month(self) -> None:
        self.assertEqual(calendar_span("month", at(2026, 12, 31, 23), VIENNA), (at(2026, 12, 1), at(2027, 1, 1)))

    def test_hour(self) -> None:
        self.assertEqual(
            calendar_span("hour", at(2026, 11, 29, 5, 59, 59), VIENNA), (at(2026, 11, 29, 5), at(2026, 11, 29, 6))
        )
        india = ZoneInfo("Asia/Kolkata")
        span = calendar_span("hour", at(2026, 11, 29, 5, 59, zone=india), india)
        self.assertEqual(span.start, at(2026, 11, 29, 5, zone=india))

    def test_all(self) -> None:
        self.assertEqual(calendar_span("all", 1e9), ALL_TIME)

    @given(st.integers(0, 4 * 10**9), st.sampled_from(["hour", "day", "month"]), st.sampled_from(ZONES))
    def test_now_is_in_it_and_spans_follow_each_other(self, now: int, per: str, name: str) -> None:
        zone = ZoneInfo(name)
        span = calendar_span(per, now, zone)  # type: ignore[arg-type]
        assert span.end is not None
        self.assertLess(span.start, span.end)
        if per != "hour" and name in ("Europe/Vienna", "UTC"):
            self.assertTrue(span.has(now))
            self.assertEqual(calendar_span(per, span.end, zone).start, span.end)  # type: ignore[arg-type]


class EveningTests(SynchronousTestCase):
    def test_a_pause_of_three_hours(self) -> None:
        evening = Evening()
        self.assertTrue(evening.arrived(1000, 0))
        self.assertFalse(evening.arrived(1000 + 3 * 3600, 3 * 3600))
        self.assertEqual(evening.span, Span(1000, None))
        self.assertTrue(evening.arrived(1000 + 7 * 3600, 7 * 3600))
        self.assertEqual(evening.span, Span(1000 + 7 * 3600, None))

    def test_clocks_that_are_set(self) -> None:
        evening = Evening()
        evening.arrived(1_000_000, 0)
        self.assertFalse(evening.arrived(2_000_000, 60))
        self.assertFalse(evening.arrived(1_000_060, 120))
        self.assertFalse(evening.arrived(500, 180))
        self.assertEqual(evening.began, 1_000_000)

    def test_over_a_restart(self) -> None:
        self.assertFalse(Evening(1000, 2000).arrived(2000 + 10_000, 5))
        self.assertTrue(Evening(1000, 2000).arrived(2000 + 11_000, 5))

    def test_a_request_that_comes_before_the_last_evening_is_known(self) -> None:
        evening = Evening()
        evening.arrived(5000, 1)
        evening.continue_from(1000, 4000)
        self.assertEqual((evening.began, evening.seen), (1000, 5000))
        later = Evening()
        later.arrived(50_000, 1)
        later.continue_from(1000, 4000)
        self.assertEqual(later.began, 50_000)

    def test_what_other_processes_have_seen_of_it(self) -> None:
        idle = Evening()
        self.assertFalse(idle.hear(1000, 2000))
        self.assertEqual((idle.began, idle.seen, idle.is_unwritten), (1000, 2000, False))
        self.assertFalse(idle.arrived(3000, 5))
        evening = Evening()
        evening.arrived(50_000, 0)
        for began, seen, moved, known in (
            (1000, 2000, False, (50_000, 50_000)), (60_000, 61_000, False, (50_000, 61_000)),
            (45_000, 46_000, True, (45_000, 61_000)), (45_000, 46_000, False, (45_000, 61_000)),
            (80_000, 81_000, False, (80_000, 81_000)),
        ):  # fmt: skip
            self.assertEqual(evening.hear(began, seen), moved)
            self.assertEqual((evening.began, evening.seen), known)
        # Whoever was idle while requests came to others begins no other evening.
        self.assertFalse(evening.arrived(90_000, 40_000))

    def test_what_is_written(self) -> None:
        evening = Evening()
        self.assertIsNone(evening.unwritten())
        evening.arrived(1000, 0)
        self.assertEqual(evening.unwritten(), (1000, 1000))
        evening.arrived(1010, 10)
        self.assertIsNone(evening.unwritten())
        evening.arrived(1030, 30)
        self.assertEqual(evening.unwritten(), (1000, 1030))
