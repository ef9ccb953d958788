"""The file of clients, and what is made of it."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.store import ClientStore, NameTaken, NoSuchClient, StoreNotUsable
from skyproxy.config.access import ClientSettings


class StoreTests(SynchronousTestCase):
    """ClientStore"""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.now = 1000.0
        self.path = self.folder / "keys" / "access.sqlite"
        self.store = ClientStore(self.path, lambda: self.now)

    def test_nothing_yet(self) -> None:
        self.assertEqual(self.store.read(), ())
        self.assertFalse(self.path.exists(), "to look makes no file")

    def test_clients(self) -> None:
        settings = ClientSettings(
            slots=["default", "mem*"], budget="5/day", expires="2027-01-01T00:00:00Z", on_budget={"slot": "local"},
            concurrent=3,
        )  # fmt: skip
        self.store.create("lydia", "client", settings, b"one")
        self.store.create("admin", "admin", ClientSettings(), b"two")
        admin, lydia = self.store.read()
        self.assertEqual((lydia.name, lydia.role, lydia.settings, lydia.created), ("lydia", "client", settings, 1000.0))
        self.assertEqual([each.digest for each in lydia.keys], [b"one"])
        self.assertEqual(admin.role, "admin")
        with self.assertRaises(NameTaken):
            self.store.create("lydia", "client", ClientSettings(), b"three")
        self.assertEqual(len(self.store.read()), 2)

    def test_its_owner_alone_can_read_it(self) -> None:
        self.store.create("lydia", "client", ClientSettings(), b"one")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)
        self.path.chmod(0o644)
        self.store.create("faendal", "client", ClientSettings(), b"two")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_where_there_are_no_hard_links(self) -> None:
        def link(source: Path, target: Path) -> None:
            raise PermissionError(1, "Operation not permitted")  # as FAT says

        self.patch(os, "link", link)
        self.store.create("lydia", "client", ClientSettings(), b"one")
        self.assertEqual([each.name for each in self.store.read()], ["lydia"])
        self.assertEqual([each.name for each in self.path.parent.iterdir()], [self.path.name])

    def test_rotation(self) -> None:
        self.store.create("lydia", "client", ClientSettings(), b"one")
        self.assertEqual(self.store.rotate("lydia", b"two", 60), 1060.0)
        self.now = 1030
        self.store.rotate("lydia", b"three", 600)
        (lydia,) = self.store.read()
        ends = {each.digest: each.ends for each in lydia.keys}
        self.assertEqual(ends, {b"one": 1060.0, b"two": 1630.0, b"three": None}, "no key ends later than it was to")
        self.now = 2000
        self.store.rotate("lydia", b"four", 0)
        (lydia,) = self.store.read()
        self.assertEqual({each.digest: each.ends for each in lydia.keys}, {b"three": 2000.0, b"four": None})

    def test_what_was_revoked(self) -> None:
        self.store.create("lydia", "client", ClientSettings(), b"one")
        self.store.revoke("lydia", forget=False)
        (lydia,) = self.store.read()
        self.assertEqual((lydia.keys, lydia.revoked), ((), 1000.0))
        for again in (lambda: self.store.revoke("lydia", forget=False), lambda: self.store.rotate("lydia", b"2", 0)):
            with self.assertRaises(NoSuchClient):
                again()
        self.store.create("lydia", "client", ClientSettings(concurrent=1), b"two")
        (lydia,) = self.store.read()
        self.assertEqual((len(lydia.keys), lydia.revoked, lydia.settings.concurrent), (1, None, 1))
        self.store.revoke("lydia", forget=False)
        self.store.revoke("lydia", forget=True)
        self.assertEqual(self.store.read(), ())
        with self.assertRaises(NoSuchClient):
            self.store.revoke("nobody", forget=True)

    def test_digests_that_were_revoked_here_stay_for_other_machines(self) -> None:
        self.assertEqual(self.store.revoked(), [])
        self.store.create("lydia", "client", ClientSettings(), b"one")
        self.store.create("faendal", "client", ClientSettings(), b"two")
        self.assertEqual(self.store.revoked(), [])
        self.store.rotate("lydia", b"three", 60)
        self.store.revoke("lydia", forget=True)
        self.assertEqual(sorted(self.store.revoked()), [b"one", b"three"])
        self.store.revoke_keys([b"two"])
        self.assertEqual(len(self.store.revoked()), 2, "what others have told they know")
        self.now += 31 * 86_400.0
        self.assertEqual(self.store.revoked(), [])
        for number in range(600):
            self.now += 1
            self.store.create("many", "client", ClientSettings(), b"%d" % number)
            self.store.revoke("many", forget=False)
        revoked = self.store.revoked()
        self.assertEqual(len(revoked), 512)
        self.assertIn(b"599", revoked)

    def test_keys_that_were_revoked_elsewhere(self) -> None:
        self.assertEqual(self.store.revoke_keys([b"one"]), 0)
        self.assertFalse(self.path.exists())
        self.store.create("lydia", "client", ClientSettings(), b"one")
        self.store.rotate("lydia", b"two", 60)
        self.store.create("faendal", "client", ClientSettings(), b"three")
        self.now = 1010.0
        self.assertEqual(self.store.revoke_keys([b"one", b"unknown"]), 1)
        faendal, lydia = self.store.read()
        self.assertEqual(([each.digest for each in lydia.keys], lydia.revoked), ([b"two"], None))
        self.assertEqual(self.store.revoke_keys([b"two"]), 1)
        faendal, lydia = self.store.read()
        self.assertEqual((lydia.keys, lydia.revoked), ((), 1010.0))
        self.assertEqual((len(faendal.keys), faendal.revoked), (1, None))

    def test_files_that_are_not_ours_are_left_as_they_are(self) -> None:
        self.path.parent.mkdir()
        theirs = self.folder / "theirs.sqlite"
        with sqlite3.connect(theirs) as database:
            database.execute("CREATE TABLE t (x)")
        database.close()
        for content in (b"my diary, which is long enough for a header of SQLite" * 5, theirs.read_bytes()):
            self.path.write_bytes(content)
            for act in (self.store.read, lambda: self.store.create("a", "client", ClientSettings(), b"1")):
                with self.assertRaises(StoreNotUsable) as raised:
                    act()
                self.assertIn(str(self.path), str(raised.exception))
            self.assertEqual(self.path.read_bytes(), content)
            self.assertEqual(sorted(each.name for each in self.path.parent.iterdir()), ["access.sqlite"])

    def test_one_that_is_damaged_or_of_another_version_lets_nobody_in(self) -> None:
        self.store.create("lydia", "client", ClientSettings(), b"one")
        whole = self.path.read_bytes()
        self.path.write_bytes(whole[:5000])
        self.assertRaises(StoreNotUsable, self.store.read)
        self.path.write_bytes(whole)
        with sqlite3.connect(self.path) as database:
            database.execute("UPDATE clients SET settings = '{\"slots\": 5}'")
        database.close()
        self.assertRaises(StoreNotUsable, self.store.read)
        with sqlite3.connect(self.path) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
        with self.assertRaises(StoreNotUsable) as raised:
            self.store.read()
        self.assertIn("version 99", str(raised.exception))
        self.path.write_bytes(b"")
        self.assertRaises(StoreNotUsable, self.store.read)

    def test_a_folder_that_cannot_be_written_to(self) -> None:
        if os.geteuid() == 0:
            self.path = self.folder / "file" / "access.sqlite"
            self.path.parent.write_bytes(b"")
            store = ClientStore(self.path)
        else:
            self.folder.chmod(0o500)
            store = self.store
        with self.assertRaises(StoreNotUsable):
            store.create("a", "client", ClientSettings(), b"1")

    def test_nothing_is_half_done(self) -> None:
        self.store.create("lydia", "client", ClientSettings(), b"one")
        # The digest of another client's key: the statement fails after others went well.
        with self.assertRaises(StoreNotUsable):
            self.store.create("faendal", "client", ClientSettings(), b"one")
        self.assertEqual([each.name for each in self.store.read()], ["lydia"])
