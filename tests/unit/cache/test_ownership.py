"""What is skyproxy's file, and what is not."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.ownership import ANSWERS
from skyproxy.cache.sqlite_file import AnswersFile
from skyproxy.util.own_database import NotUsable


class OwnershipTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "answers.sqlite"

    def refused(self, path: Path) -> str:
        return str(self.assertRaises(NotUsable, ANSWERS.check, path))

    def test_what_is_free(self) -> None:
        for path in (self.path, self.folder / "not" / "yet" / "there" / "x"):
            ANSWERS.check(path)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_its_own(self) -> None:
        file = AnswersFile(self.path, 1000)
        file.get(b"k", 0.0)
        file.close()
        ANSWERS.check(self.path)
        self.path.write_bytes(b"")
        ANSWERS.check(self.path)
        self.assertTrue(ANSWERS.is_ours(self.path))

    def test_a_save_game(self) -> None:
        self.path.write_bytes(b"TESV_SAVEGAME" * 100)
        self.assertIn("no file of skyproxy's", self.refused(self.path))
        self.assertFalse(ANSWERS.is_ours(self.path))

    def test_a_database_of_another_program(self) -> None:
        with sqlite3.connect(self.path) as database:
            database.execute("PRAGMA application_id = 7")
            database.execute("CREATE TABLE t (a)")
        database.close()
        self.assertIn("no file of skyproxy's", self.refused(self.path))

    def test_what_is_no_file(self) -> None:
        self.assertIn("folder or a device", self.refused(self.folder))
        self.assertIn("folder or a device", self.refused(Path(os.devnull)))
        if hasattr(os, "mkfifo"):
            os.mkfifo(self.path)
            self.assertIn("folder or a device", self.refused(self.path))

    def test_a_link(self) -> None:
        mine = self.folder / "diary"
        mine.write_bytes(b"my diary" * 100)
        self.path.symlink_to(mine)
        self.refused(self.path)
        mine.unlink()
        self.refused(self.path)

    def test_a_folder_in_which_nothing_can_be_made(self) -> None:
        if not Path("/proc/self").is_dir():
            raise SkipTest("there is no /proc")
        self.assertIn("no file can be made in the folder", self.refused(Path("/proc/answers.sqlite")))
        (self.folder / "file").touch()
        self.assertIn("no file can be made in the folder", self.refused(self.folder / "file" / "answers.sqlite"))
