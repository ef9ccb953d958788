"""skyproxy.config.working_folder, and what follows from it."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import TestCase
from unittest.mock import patch

from skyproxy.config import files
from skyproxy.config.working_folder import is_chosen
from tests.unit.config.support import PROVIDERS, ConfigTestCase

WINDOWS = {"SYSTEMROOT": "/C/Windows", "SYSTEMDRIVE": "/C"}


class ChosenTests(TestCase):
    def chosen(self, cwd: str, system: str = "nt", frozen: bool = False, from_shortcut: bool = False) -> bool:
        return is_chosen(Path(cwd), WINDOWS, system=system, frozen=frozen, from_shortcut=from_shortcut)

    def test_on_windows(self) -> None:
        for cwd, expected in (
            ("/C/Windows/System32", False),
            ("/C/Windows", False),
            ("/C", False),
            ("/C/games/skyproxy", True),
            ("/C/WindowsOfMine", True),
        ):
            self.assertEqual(self.chosen(cwd), expected, cwd)
        with patch.dict(WINDOWS, {"SYSTEMDRIVE": ""}):
            self.assertTrue(self.chosen("/"))

    def test_programs_and_shortcuts(self) -> None:
        self.assertFalse(self.chosen("/C/games", frozen=True))
        self.assertFalse(self.chosen("/C/games", from_shortcut=True))
        self.assertFalse(self.chosen("/home/me", "posix", frozen=True))

    def test_the_root(self) -> None:
        for writable in (True, False):
            with patch.object(os, "access", lambda path, mode: writable):  # noqa: B023
                self.assertEqual(self.chosen("/", "posix"), writable)
                self.assertTrue(self.chosen("/srv", "posix"))


class UserFirstTests(ConfigTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.environ["XDG_CONFIG_HOME"] = str(self.root / "xdg")
        self.user = self.root / "xdg" / "skyproxy"
        self.user.mkdir(parents=True)
        self.here = self.write("skyproxy.yaml", PROVIDERS)
        self.write("config/providers.yaml", PROVIDERS)

    def test_the_users_folder_goes_first(self) -> None:
        self.patch(files, "is_chosen", lambda cwd, environ: False)
        self.assertEqual(self.load().source, str(self.here))
        mine = self.user / "skyproxy.yaml"
        mine.write_text("providers: {lm: {base_url: 'http://127.0.0.1:1/v1'}}")
        config = self.load()
        self.assertEqual(config.source, str(mine))
        hidden = [each.partition(" is not read")[0] for each in config.warnings if "--config" in each]
        self.assertEqual(hidden, [str(self.here), str(self.cwd / "config" / "providers.yaml")])
        self.assertEqual(self.load("skyproxy.yaml").source, str(self.here))

    def test_where_it_was_chosen_nothing_is_said(self) -> None:
        (self.user / "skyproxy.yaml").write_text(PROVIDERS)
        config = self.load()
        self.assertEqual(config.source, str(self.here))
        self.assertFalse([each for each in config.warnings if "--config" in each])

    def test_paths_begin_at_the_file_that_has_them(self) -> None:
        text = PROVIDERS + "proxy: {log_file: a.log, cache: {path: answers.sqlite}}"
        (self.user / "skyproxy.yaml").write_text(text)
        self.here.unlink()
        (self.cwd / "config" / "providers.yaml").unlink()
        for path in (None, str(self.user), str(self.user / "skyproxy.yaml")):
            proxy = self.load(path).proxy
            self.assertEqual(proxy.log_file, self.user / "a.log")
            self.assertEqual(proxy.cache.path, self.user / "answers.sqlite")
        self.assertEqual(self.load(log_file="b.log").proxy.log_file, self.cwd / "b.log")
        (self.user / "skyproxy.yaml").rename(self.user / "providers.yaml")
        (self.user / "routes.yaml").write_text("model_slots: {}")
        self.assertEqual(self.load().proxy.log_file, self.user / "a.log")
