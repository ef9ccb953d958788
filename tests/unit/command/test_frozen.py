"""skyproxy.command.frozen"""

from __future__ import annotations

import io
import sys

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.frozen import start


class StartTests(SynchronousTestCase):
    """The entry of the frozen program"""

    def setUp(self) -> None:
        self.waited = 0
        self.patch(sys, "stderr", io.StringIO())

    def wait(self) -> None:
        self.waited += 1

    def fail_with(self, code: object) -> object:
        def command() -> None:
            raise SystemExit(code)

        error = self.assertRaises(SystemExit, start, ["skyproxy", "check"], command, True, self.wait)
        return error.code

    def test_without_arguments_it_serves(self) -> None:
        arguments = ["skyproxy.exe"]
        start(arguments, lambda: None, False, self.wait)
        self.assertEqual(arguments, ["skyproxy.exe", "run"])
        start(arguments := ["skyproxy.exe", "check"], lambda: None, False, self.wait)
        self.assertEqual(arguments, ["skyproxy.exe", "check"])

    def test_a_window_of_its_own_stays_until_the_error_was_read(self) -> None:
        self.assertEqual((self.fail_with(2), self.waited), (2, 1))
        self.assertEqual((self.fail_with("skyproxy: it is so"), self.waited), (1, 2))
        self.assertIn("skyproxy: it is so\nPress Enter", sys.stderr.getvalue())  # type: ignore[attr-defined]

    def test_and_what_nobody_has_thought_of(self) -> None:
        def command() -> None:
            raise ImportError("DLL load failed while importing _rust")

        error = self.assertRaises(SystemExit, start, ["skyproxy"], command, True, self.wait)
        self.assertEqual((error.code, self.waited), (1, 1))
        self.assertIn("DLL load failed while importing _rust\nPress Enter", sys.stderr.getvalue())  # type: ignore[attr-defined]
        self.assertRaises(ImportError, start, ["skyproxy"], command, False, self.wait)
        self.assertEqual(self.waited, 1)

    def test_it_closes_when_all_is_well(self) -> None:
        self.assertEqual((self.fail_with(0), self.fail_with(None), self.waited), (0, None, 0))

    def test_nobody_waits_in_a_terminal(self) -> None:
        def command() -> None:
            raise SystemExit(1)

        self.assertRaises(SystemExit, start, ["skyproxy"], command, False, self.wait)
        self.assertEqual(self.waited, 0)
