"""What SQLite is told of where a database is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path, PureWindowsPath
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.util.own_sqlite import uri_of


class UriTests(SynchronousTestCase):
    def test_any_letters(self) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder, "Łukasz 100%?#&.sqlite")
            for mode in ("rwc", "ro"):
                with closing(sqlite3.connect(uri_of(path, mode), uri=True)) as database:
                    database.execute("SELECT 1")
            self.assertEqual([each.name for each in Path(folder).iterdir()], [path.name])

    def test_paths_of_windows(self) -> None:
        """https://sqlite.org/uri.html: a host is an error."""
        for path, expected in (
            (r"C:\Users\a b\x", "file:///C:/Users/a%20b/x?mode=ro"),
            (r"\\tower\users\x", "file:////tower/users/x?mode=ro"),
        ):
            self.assertEqual(uri_of(PureWindowsPath(path), "ro"), expected)
        with self.assertRaisesRegex(sqlite3.OperationalError, "unable to open database file"):
            sqlite3.connect(uri_of(PureWindowsPath(r"\\tower\users\x"), "ro"), uri=True)
