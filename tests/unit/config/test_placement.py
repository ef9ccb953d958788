"""skyproxy.config.placement."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath
from typing import Any
from unittest import TestCase
from unittest.mock import patch

from skyproxy.config import placement
from skyproxy.config.placement import of_cache, of_rights
from tests.unit.config.support import PROVIDERS, ConfigTestCase

ENVIRON = {"LOCALAPPDATA": "/U/Local", "OneDrive": r"D:\Cloud"}


class CacheTests(TestCase):
    def told(self, path: str, system: str = "nt") -> str:
        given: Any = PureWindowsPath(path) if system == "nt" else Path(path)
        return of_cache(given, ENVIRON, Path("/U"), system) or ""

    def test_synchronised_folders(self) -> None:
        for path in (
            r"C:\Users\me\OneDrive\a.sqlite", r"C:\Users\me\OneDrive - Firm\x\a.sqlite", r"C:\dropbox\a.sqlite",
            r"D:\Cloud\deep\a.sqlite", r"d:\cloud\a.sqlite", r"C:\Users\me\iCloudDrive\a.sqlite",
        ):  # fmt: skip
            told = self.told(path)
            self.assertIn("copies and locks files", told, path)
            self.assertIn(f"such as {Path('/U/Local/skyproxy/answers.sqlite')}", told)
        self.assertIn("lies in Dropbox", self.told("/home/me/Dropbox/a.sqlite", "posix"))

    def test_other_computers(self) -> None:
        self.assertIn("lies on another computer", self.told(r"\\nas\share\a.sqlite"))
        with patch.object(placement, "is_of_network", lambda root: root == "Z:\\"):
            self.assertIn("lies on another computer", self.told(r"Z:\a.sqlite"))
            self.assertEqual(self.told(r"C:\a.sqlite"), "")

    def test_other_places(self) -> None:
        for path in (
            r"C:\Users\me\AppData\Local\skyproxy\a.sqlite",
            r"C:\x\OneDrive",
            r"C:\OneDriver\a",
            r"D:\Clouds\a",
        ):
            self.assertEqual(self.told(path), "")
        self.assertEqual(self.told("//srv/a.sqlite", "posix"), "")
        self.assertIn("alone.", of_cache(PureWindowsPath(r"\\n\s\a"), {}, None, "nt") or "")  # type: ignore[arg-type]


class RightsTests(TestCase):
    def test_on_windows(self) -> None:
        home: Any = PureWindowsPath(r"C:\Users\me")
        inside: Any = PureWindowsPath(r"C:\users\me\AppData\Roaming\skyproxy\.env")
        outside: Any = PureWindowsPath(r"D:\games\.env")
        self.assertIsNone(of_rights([inside], home, "nt"))
        self.assertIsNone(of_rights([], None, "nt"))
        told = of_rights([inside, outside], home, "nt") or ""
        self.assertIn(r"read D:\games\.env: on", told)
        self.assertIn(r'icacls "D:\games\.env" /inheritance:r', told)
        self.assertIn(str(inside), of_rights([inside], None, "nt") or "")

    def test_elsewhere_modes_say_it(self) -> None:
        self.assertIsNone(of_rights([Path("/srv/.env")], Path("/home/me"), "posix"))


class WarningTests(ConfigTestCase):
    def test_the_configuration_warns(self) -> None:
        self.write(".env", "OPENAI_API_KEY=x")
        text = (
            PROVIDERS + "proxy: {log_file: a.log, cache: {path: OneDrive/a.sqlite}, costs_file: c, bodies: {file: b}}\n"
        )
        text += "access: {store: s}"
        seen: list[Path] = []

        def note(paths: list[Path], home: Path) -> str:
            seen.extend(paths)
            return "rights"

        self.patch(placement, "of_rights", note)
        warnings = self.load_text(text).warnings
        self.assertEqual([each for each in warnings if "proxy.cache.path" in each or each == "rights"], [*warnings])
        self.assertEqual(
            [os.path.relpath(each, self.cwd) for each in seen], [".env", "OneDrive/a.sqlite", *["a.log", "c", "b", "s"]]
        )
