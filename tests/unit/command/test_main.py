"""What the command line of a process becomes."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.main import filled_in, main


class ArgumentsTests(SynchronousTestCase):
    TYPED = ("keys", "create", "game", "--slots", "*", "~bows~ to $HOUSE", "$HOUSE/*.yaml")

    def setUp(self) -> None:
        self.patch(os, "environ", {**os.environ, "HOUSE": "house", "HOME": "/u"})

    def test_windows_shells_fill_nothing_in(self) -> None:
        self.assertEqual(filled_in(("$HOUSE", "~/a", "~"), "nt"), ["house", "/u/a", "~"])
        self.assertEqual(filled_in(self.TYPED, "nt")[4:], ["*", "~bows~ to house", "house/*.yaml"])

    def test_others_have(self) -> None:
        self.assertEqual(filled_in(("$HOUSE", "~/a"), "posix"), ["$HOUSE", "~/a"])

    def test_patterns_are_no_names_of_files(self) -> None:
        """Click would make some of what it takes from the process itself."""
        taken: list[object] = []
        self.patch(import_module("skyproxy.command.main"), "skyproxy", lambda *given, **_: taken.extend(given))
        self.patch(sys, "argv", ["skyproxy", *self.TYPED])
        main()
        self.assertEqual(taken, [list(self.TYPED)])
