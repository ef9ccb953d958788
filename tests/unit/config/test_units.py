from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config.units import byte_count, seconds


class UnitTests(SynchronousTestCase):
    def test_seconds(self) -> None:
        for value, expected in ((60, 60.0), (0.5, 0.5), ("500ms", 0.5), ("60s", 60.0), ("5m", 300.0),
                                ("1h", 3600.0), ("1m30s", 90.0), (" 1.5s ", 1.5)):  # fmt: skip
            self.assertEqual(seconds(value), expected)
        wrong: tuple[object, ...] = (0, -1, "0s", "60", "s", "5 m", "1d", "-1s", True, None, [],
                                     float("inf"), float("nan"), 10**400, "9" * 5000 + "s")  # fmt: skip
        for bad in wrong:
            self.assertRaises(ValueError, seconds, bad)

    def test_byte_count(self) -> None:
        for value, expected in (
            (1, 1),
            ("10MB", 10_000_000),
            ("512KiB", 524_288),
            ("1.5 kb", 1500),
            ("7B", 7),
        ):
            self.assertEqual(byte_count(value), expected)
        for bad in (0, -5, "0B", "10", "10M", "ten MB", True, 1.5, None):
            self.assertRaises(ValueError, byte_count, bad)
