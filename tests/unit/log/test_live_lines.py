"""The log as it comes, with lines of other processes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.log.live_lines import MOST_LINES, LiveLines
from skyproxy.log.redaction import Redactor


def line(level: str, text: str) -> bytes:
    return f'{{"level":"{level}","message":"{text}"}}\n'.encode()


class OtherLinesTests(SynchronousTestCase):
    """What workers send."""

    def setUp(self) -> None:
        redactor = Redactor(set())
        self.lines = LiveLines(lambda: redactor, lambda: "debug")

    def test_what_is_missing_is_counted(self) -> None:
        self.lines.add([line("INFO", "one")])
        self.assertEqual(self.lines.take(), (0, [line("INFO", "one").rstrip()]))
        self.lines.add([line("INFO", "nine")], missed=7)
        self.assertEqual(self.lines.newest, 9)
        self.assertEqual(self.lines.take(), (7, [line("INFO", "nine").rstrip()]))

    def test_a_warning_stays_in_sight(self) -> None:
        self.lines.add([line("WARN", "look")])
        for level in ("INFO", "DEBUG"):
            self.lines.add([line(level, "as usual")] * MOST_LINES)
        missed, told = self.lines.take()
        self.assertIn(line("WARN", "look").rstrip(), told)
        self.assertEqual(missed + len(told), 2 * MOST_LINES + 1)
