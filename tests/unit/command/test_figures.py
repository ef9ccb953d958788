from __future__ import annotations

from array import array
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.bench.figures import Figures
from skyproxy.command.output import seconds, table
from skyproxy.util.percentile import percentile


class PercentileTests(SynchronousTestCase):
    """percentile"""

    def test_of_a_hundred(self) -> None:
        values = [number / 100 for number in range(1, 101)]
        self.assertEqual(percentile(values, 50), 0.50)
        self.assertEqual(percentile(values, 99), 0.99)
        self.assertEqual(percentile(values, 99.9), 1.0)
        self.assertEqual(percentile(values, 100), 1.0)
        self.assertEqual(percentile(values, 0), 0.01)

    def test_of_few(self) -> None:
        self.assertIsNone(percentile([], 50))
        for share in (0, 50, 99.9, 100):
            self.assertEqual(percentile([3.0], share), 3.0)


class FiguresTests(SynchronousTestCase):
    """Figures"""

    def test_they_are_summed_up(self) -> None:
        figures = Figures(
            times=array("d", [0.2, 0.1]), firsts=array("d", [0.05]), statuses=Counter({200: 3, 503: 1}),
            broken=Counter({"gone": 2}), received=2_000_000, elapsed=2.0,
        )  # fmt: skip
        self.assertEqual((figures.answers, figures.good, figures.rate), (4, 3, 2.0))
        text = figures.as_text()
        for part in ("3 x 200, 1 x 503, 2 x gone", "2.0 answers/s, 1.00 MB/s in 2.0 s", "100 ms", "50 ms"):
            self.assertIn(part, text)
        told = figures.as_json()
        self.assertEqual((told["whole"]["p50"], told["statuses"]), (0.1, {"200": 3, "503": 1}))

    def test_it_says_when_it_is_the_bound_itself(self) -> None:
        for busy, waited, bound in ((0.5, 0.0, False), (1.8, 0.0, True), (0.5, 1.3, True), (0.5, 0.5, False)):
            figures = Figures(
                times=array("d", [0.2]), statuses=Counter({200: 1}), elapsed=2.0, busy=busy, waited=waited
            )
            self.assertEqual(figures.bound, bound)
            self.assertEqual(figures.as_json()["bound_by_bench"], bound)
            self.assertEqual("is a bound itself" in figures.as_text(), bound)
            self.assertIn(f"with {busy / 2:.0%} of a processor", figures.as_text())

    def test_nothing_was_measured(self) -> None:
        self.assertIn("answers: none", Figures().as_text())
        self.assertIsNone(Figures().as_json()["whole"]["p50"])


class OutputTests(SynchronousTestCase):
    """Tables and times."""

    def test_table(self) -> None:
        self.assertEqual(table(["a", "long"], [["xyz", "b"], ["", "c"]]), "a    long\nxyz  b\n     c")
        self.assertEqual(table(["a"], []), "a")

    def test_seconds(self) -> None:
        self.assertEqual([seconds(each) for each in (None, 0.00412, 0.412, 3.2)], ["-", "4.12 ms", "412 ms", "3.20 s"])
