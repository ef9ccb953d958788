"""What `python -m tests.features` says, and when it fails."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.features import __main__ as command
from tests.features.lab import Group, Lab


def good(lab: Lab) -> None:
    lab.sheet("Good", "How.").row("always", "200", "1", holds=True)


def bad(lab: Lab) -> None:
    lab.sheet("Bad").row("now and then", "502", "2", holds=False)


def broken(lab: Lab) -> None:
    lab.sheet("Broken").row("before it broke", "200", "1", holds=True)
    raise AssertionError("did not happen")


class CommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(command, "GROUPS", (Group("good", good), Group("bad", bad), Group("broken", broken)))
        self.patch(command, "RESULTS", Path(self.mktemp()))

    def run_with(self, *arguments: str) -> tuple[int, str]:
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()):
            return command.main(arguments), out.getvalue()

    def test_all_holds(self) -> None:
        status, out = self.run_with("good")
        self.assertEqual(status, 0)
        self.assertIn("### Good\n\nHow.\n\n| situation | the client saw | the provider received | as promised |", out)
        self.assertIn("| always    | 200            | 1                     | yes         |", out)
        self.assertTrue(out.endswith("All as promised.\n"))
        self.assertFalse(command.RESULTS.exists())

    def test_something_does_not_hold(self) -> None:
        status, out = self.run_with("good", "bad")
        self.assertEqual(status, 1)
        self.assertIn("| NO ", out)
        self.assertTrue(out.endswith("Not as promised:\n- Bad: now and then: 502; 2\n"))

    def test_a_group_breaks_off(self) -> None:
        status, out = self.run_with("broken")
        self.assertEqual(status, 1)
        self.assertIn("before it broke", out)
        self.assertIn("- broken: broken off by AssertionError: did not happen\n", out)

    def test_written_tables_stay_until_their_group_is_shown_again(self) -> None:
        self.run_with("--write", "bad")
        first = command.RESULTS.read_text("utf-8")
        self.assertIn("now and then", first)
        self.assertLess(first.index("<!-- good: begin -->"), first.index("<!-- bad: begin -->"))
        self.run_with("--write", "good")
        second = command.RESULTS.read_text("utf-8")
        self.assertIn("| always ", second)
        self.assertIn("now and then", second)
        self.assertIn("- Python: ", second)

    def test_unknown_groups(self) -> None:
        with self.assertRaises(SystemExit):
            self.run_with("nobody")
