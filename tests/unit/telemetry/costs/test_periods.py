from __future__ import annotations

from datetime import datetime, timedelta, timezone

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.telemetry.costs.periods import beginning, evening

KATHMANDU = timezone(timedelta(hours=5, minutes=45))
NOW = datetime(2026, 11, 29, 21, 4, 30, tzinfo=KATHMANDU).timestamp()


def minute(*when: int) -> int:
    return int(datetime(*when, tzinfo=KATHMANDU).timestamp()) // 60  # type: ignore[arg-type,misc]


class PeriodTests(SynchronousTestCase):
    def test_beginnings(self) -> None:
        for period, begun in (
            ("today", minute(2026, 11, 29)),
            ("month", minute(2026, 11, 1)),
            ("7d", minute(2026, 11, 22, 21, 4)),
            ("evening", minute(2026, 11, 22, 21, 4)),
            ("all", 0),
        ):
            self.assertEqual(beginning(period, NOW, KATHMANDU), begun, period)  # type: ignore[arg-type]

    def test_an_evening(self) -> None:
        for minutes, begun in (([], int(NOW) // 60), ([900], 900), ([900, 720], 720), ([900, 719, 718], 900)):
            self.assertEqual(evening(minutes, NOW), begun, minutes)
        # What came before the clock was set back is none of another evening.
        this = int(NOW) // 60
        self.assertEqual(evening([this + 1440, this + 1439, this - 3, this - 700], NOW), this - 3)
        self.assertEqual(evening([this + 1440], NOW), this)
        # It goes on over midnight, and over any number of hours.
        self.assertEqual(evening(range(3000, 0, -60), NOW), 60)
