"""What a running skyproxy tells, as lines for people."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.telling import state_lines


class StateTests(SynchronousTestCase):
    """state_lines"""

    def test_all_is_shown_unless_there_is_no_room(self) -> None:
        first, *more = ({"text": f"{name} does not answer.", "advice": ""} for name in "abcdefgh")
        now = {"sentence": first, "more": more}
        self.assertEqual(list(state_lines(now)), [each["text"] for each in (first, *more)])
        lines = [each["text"] for each in (first, *more[:5])]
        self.assertEqual(list(state_lines(now, 5)), [*lines, "… and 2 more"])
        self.assertEqual(list(state_lines(now, 7)), [each["text"] for each in (first, *more)])
