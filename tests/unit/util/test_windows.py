"""skyproxy.util.windows, with a recorder in the place of Windows' libraries."""

from __future__ import annotations

import ctypes
from unittest import TestCase
from unittest.mock import MagicMock, patch

from skyproxy.util.windows import show_error


class MessageBoxTests(TestCase):
    def test_elsewhere(self) -> None:
        self.assertFalse(show_error("text"))

    def test_shown(self) -> None:
        libraries = MagicMock()
        with patch.object(ctypes, "windll", libraries, create=True):
            self.assertTrue(show_error("text"))
        libraries.user32.MessageBoxW.assert_called_once_with(None, "text", "skyproxy", 0x10010)
