"""skyproxy.util.user_folders."""

from __future__ import annotations

from pathlib import Path
from unittest import TestCase

from skyproxy.util.user_folders import data_folder, text_log


class DataFolderTests(TestCase):
    def test_on_windows(self) -> None:
        self.assertEqual(data_folder({"LOCALAPPDATA": "/u/Local"}, Path("/u"), "nt"), Path("/u/Local/skyproxy"))
        self.assertEqual(data_folder({}, Path("/u"), "nt"), Path("/u/AppData/Local/skyproxy"))
        self.assertEqual(data_folder({"LOCALAPPDATA": "Local"}, Path("/u"), "nt"), Path("/u/AppData/Local/skyproxy"))

    def test_elsewhere(self) -> None:
        given = {"LOCALAPPDATA": "/wine", "XDG_STATE_HOME": "/state"}
        self.assertEqual(data_folder(given, Path("/u"), "posix"), Path("/state/skyproxy"))
        self.assertEqual(
            data_folder({"XDG_STATE_HOME": "state"}, Path("/u"), "posix"), Path("/u/.local/state/skyproxy")
        )

    def test_nobody_knows(self) -> None:
        self.assertIsNone(data_folder({}, None, "nt"))
        self.assertIsNone(text_log({}, None))
