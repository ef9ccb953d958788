"""skyproxy.util.own_database."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.budgets.budget_file import BUDGETS
from skyproxy.access.store import CLIENTS
from skyproxy.cache.ownership import ANSWERS
from skyproxy.telemetry.bodies.body_file import BODIES
from skyproxy.telemetry.costs.ledger_database import LEDGER
from skyproxy.util.own_database import NotUsable

KINDS = (CLIENTS, ANSWERS, LEDGER.kind, BODIES.kind, BUDGETS.kind)


class KindsTests(SynchronousTestCase):
    def test_each_has_an_id_of_its_own(self) -> None:
        self.assertEqual(len({each.application for each in KINDS}), len(KINDS))

    def test_no_file_is_taken_for_one_of_another_kind(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for layout in (LEDGER, BODIES, BUDGETS):
            path = Path(folder.name) / layout.kind.what
            layout.connect(path).close()
            self.assertEqual([each.what for each in KINDS if each.is_ours(path)], [layout.kind.what])

    def test_a_database_without_tables_to_which_somebody_gave_a_version(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "others.sqlite"
        database = sqlite3.connect(path)
        self.addCleanup(database.close)
        database.execute("PRAGMA user_version = 5")
        before = path.read_bytes()
        for layout in (LEDGER, BODIES, BUDGETS):
            with self.assertRaises(NotUsable):
                layout.connect(path)
        self.assertEqual(path.read_bytes(), before)
