"""skyproxy.util.own_file, as the two that are made of it have it."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.telemetry.bodies.body_file import BodyFile
from skyproxy.telemetry.costs.ledger_file import LedgerFile, Run
from skyproxy.util.own_file import OwnFile


class NotesTests(SynchronousTestCase):
    """What is told is a sentence that people can read."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "a.sqlite"

    def ledger(self) -> LedgerFile:
        return LedgerFile((self.path,), 1e9, Run("run", "host", 1, 0.0), lambda pid: False)

    def told(self, file: OwnFile) -> list[str]:
        events: list[Any] = []
        log = Logger(observer=events.append)
        for sentence, details in file.notes:
            log.warn(sentence, **details)
        return [formatEvent(each) for each in events]

    def test_what_is_kept_in_memory(self) -> None:
        self.path.write_bytes(b"my save game")
        file = self.ledger()
        self.addCleanup(file.close)
        file.find_lost()
        self.assertIsNone(file.path)
        self.assertEqual(
            self.told(file), ["Costs are kept in memory alone, until skyproxy ends: name a file, as proxy.costs_file"]
        )
        self.assertEqual(self.path.read_bytes(), b"my save game")

    def test_what_is_put_aside(self) -> None:
        for file, what in ((self.ledger(), "costs"), (BodyFile((self.path,), 1024 * 1024), "bodies")):
            with file._transaction():
                self.assertTrue(file.exists)
            file.close()
            with sqlite3.connect(self.path) as database:
                database.execute("PRAGMA user_version = 1000")
            database.close()
            with file._transaction():
                self.assertEqual(file.path, self.path)
            file.close()
            self.assertEqual(
                self.told(file),
                [f"The file of {what} is damaged, or another version's: put aside, and a new one begun"],
            )
            self.path.unlink()
