"""Tables, verdicts, and what stays in the file of results."""

from __future__ import annotations

from math import inf, isnan, nan

from twisted.trial.unittest import SynchronousTestCase

from tests.benchmarks.report import Goal, Table, keep, new_results, number, percent, quantile, ratio


class NumberTests(SynchronousTestCase):
    def test_three_digits(self) -> None:
        shown = {0.12345: "0.123", 12.345: "12.3", 123.45: "123", 1234.5: "1,234", 54321.0: "54,321", 7: "7", 0.0: "0"}
        self.assertEqual({value: number(value) for value in shown}, shown)
        self.assertEqual((number(nan), number(inf)), ("-", "beyond"))
        self.assertEqual(number(999.6), "1,000")

    def test_changes(self) -> None:
        self.assertEqual([percent(2.5), percent(-0.9), percent(nan)], ["+250 %", "-90 %", "-"])

    def test_ratio(self) -> None:
        self.assertEqual(ratio(1, 4), 0.25)
        self.assertTrue(isnan(ratio(1, 0)))

    def test_quantile(self) -> None:
        values = [float(each) for each in range(100, 0, -1)]
        self.assertEqual([quantile(values, part) for part in (0.0, 0.5, 0.99, 1.0)], [1.0, 51.0, 100.0, 100.0])
        self.assertTrue(isnan(quantile([], 0.5)))


class GoalTests(SynchronousTestCase):
    def test_at_most(self) -> None:
        goal = Goal("p99", 12.5, 25, 12, "ms")
        self.assertEqual(goal.verdict(), "p99: 12.5 ms; must ≤ 25 ms reached; aim ≤ 12 ms not reached")

    def test_at_least(self) -> None:
        self.assertEqual(
            Goal("times nginx", 0.1, 0.12, at_least=True).verdict(), "times nginx: 0.1; must ≥ 0.12 not reached"
        )

    def test_nothing_measured_reaches_nothing(self) -> None:
        for at_least in (True, False):
            self.assertIn("not reached", Goal("x", nan, 1, at_least=at_least).verdict())


class TableTests(SynchronousTestCase):
    def test_markdown(self) -> None:
        table = Table("Title", ("through", "ms"), "How.", goals=[Goal("x", 1, 2)], skipped=["y (no y)"], notes=["z."])
        table.add("skyproxy", 1.25)
        expected = (
            "### Title\n\nHow.\n\n"
            "| through  |   ms |\n|----------|-----:|\n| skyproxy | 1.25 |\n\n"
            "- x: 1; must ≤ 2 reached\n- z.\n- Not measured: y (no y)\n"
        )
        self.assertEqual(table.markdown(), expected)

    def test_words_are_not_aligned_as_numbers(self) -> None:
        table = Table("Title", ("when", "what"), prose=True)
        table.add("now", "a")
        self.assertEqual(table.markdown(), "### Title\n\n| when | what |\n|------|------|\n| now  | a    |\n")

    def test_without_lines(self) -> None:
        self.assertEqual(Table("Title", ("a",)).markdown(), "### Title\n")


class KeepTests(SynchronousTestCase):
    def test_a_new_block_goes_to_the_end(self) -> None:
        document = keep("By hand.\n", "whole", "b\n")
        self.assertEqual(document, "By hand.\n\n<!-- whole: begin -->\n\nb\n\n<!-- whole: end -->\n")

    def test_a_new_file_has_a_place_for_each(self) -> None:
        document = new_results(["first", "second"])
        places = [document.index(f"<!-- {name}: begin -->") for name in ("machine", "first", "second")]
        by_hand = document.index("## What was tried")
        self.assertEqual(sorted([*places, by_hand]), [places[0], by_hand, *places[1:]])
        filled = keep(document, "second", "b")
        self.assertEqual(filled.index("<!-- second: begin -->"), places[2])
        self.assertIn("\n\nb\n\n<!-- second: end -->", filled)

    def test_only_its_own_block_is_replaced(self) -> None:
        document = keep(keep("By hand.\n", "one", r"old \1"), "two", "other") + "\nBy hand, too.\n"
        replaced = keep(document, "one", r"new \1")
        self.assertEqual(replaced, document.replace(r"old \1", r"new \1"))
        self.assertEqual(keep(replaced, "one", r"new \1"), replaced)
