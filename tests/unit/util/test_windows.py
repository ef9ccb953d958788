"""skyproxy.util.windows, with a recorder in the place of Windows' libraries."""

from __future__ import annotations

import ctypes
from unittest import TestCase
from unittest.mock import MagicMock, patch

from skyproxy.util.windows import owns_console, show_error


class MessageBoxTests(TestCase):
    def test_elsewhere(self) -> None:
        self.assertFalse(show_error("text"))

    def test_shown(self) -> None:
        libraries = MagicMock()
        with patch.object(ctypes, "windll", libraries, create=True):
            self.assertTrue(show_error("text"))
        libraries.user32.MessageBoxW.assert_called_once_with(None, "text", "skyproxy", 0x10010)


class ConsoleTests(TestCase):
    def test_elsewhere(self) -> None:
        self.assertFalse(owns_console())

    def test_alone_in_it(self) -> None:
        for attached, alone in ((1, True), (2, False), (0, False)):
            libraries = MagicMock()
            libraries.kernel32.GetConsoleProcessList.return_value = attached
            with patch.object(ctypes, "windll", libraries, create=True):
                self.assertIs(owns_console(), alone)
