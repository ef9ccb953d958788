"""Durations as text, and names that were meant."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.util.close_matches import close_matches, nearest
from skyproxy.util.durations import parse_duration


class DurationTests(SynchronousTestCase):
    def test_durations(self) -> None:
        for text, seconds in (
            ("6m0s", 360.0), ("1h1m1s", 3661.0), ("500ms", 0.5), ("1.5s", 1.5), ("2d", 172800.0), ("3us", 3e-6),
            ("4ns", 4e-9),
        ):  # fmt: skip
            duration = parse_duration(text)
            assert duration is not None
            self.assertAlmostEqual(duration, seconds, 12)

    def test_no_durations(self) -> None:
        for text in ("", "6", "s", "-1s", "1 s", "1s ", "1.s", "1x", "\u0661s", "9" * 5000 + "s"):
            self.assertIsNone(parse_duration(text), text)

    def test_units_that_are_not_taken(self) -> None:
        self.assertEqual(parse_duration("34.5s", ("s",)), 34.5)
        self.assertIsNone(parse_duration("1m34.5s", ("s",)))


class CloseMatchTests(SynchronousTestCase):
    def test_nearest(self) -> None:
        self.assertEqual(nearest("Defalt", ["combat", "DEFAULT"]), "DEFAULT")
        self.assertIsNone(nearest("xyz", ["combat", "default"]))
        self.assertIsNone(nearest("xyz", []))

    def test_several(self) -> None:
        self.assertEqual(close_matches("tower", ["Towers", "power", "flower", "guard"], 2), ["Towers", "power"])
