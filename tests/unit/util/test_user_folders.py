"""skyproxy.util.user_folders."""

from __future__ import annotations

from pathlib import Path
from unittest import TestCase

from skyproxy.util.user_folders import data_folder, place_for_others, text_log


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


class PlaceForOthersTests(TestCase):
    MEANT = r"C:\Users\Jörg\AppData\Roaming\skyproxy\.env"
    REAL = (
        r"C:\Users\Jörg\AppData\Local\Packages\PythonSoftwareFoundation.Python.3.13_qbz5n2kfra8p0\LocalCache\Roaming"
        r"\skyproxy\.env"
    )

    def place(self, path: str, real: str, system: str = "nt") -> str:
        return str(place_for_others(Path(path), system, lambda path: real))

    def test_a_python_of_the_store(self) -> None:
        self.assertEqual(self.place(self.MEANT, self.REAL), self.REAL)

    def test_any_other(self) -> None:
        self.assertEqual(self.place(self.MEANT, self.MEANT), self.MEANT)
        self.assertEqual(self.place(self.MEANT, r"D:\Redirected\skyproxy\.env"), self.MEANT, "as everybody sees it")
        self.assertEqual(self.place(self.REAL, self.REAL), self.REAL)
        self.assertEqual(self.place(self.MEANT, self.REAL, "posix"), self.MEANT)
