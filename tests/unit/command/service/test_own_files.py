from __future__ import annotations

import os
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.service import own_files
from skyproxy.command.service.own_files import MARKER, NotOurs, is_there, remove, replace

OURS = f"# {MARKER}\nx\n".encode()


class OwnFilesTests(SynchronousTestCase):
    """own_files"""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.path = self.folder / "a" / "b.service"

    def test_its_own(self) -> None:
        self.assertFalse(is_there(self.path))
        self.assertFalse(remove(self.path))
        self.assertFalse(replace(self.path, OURS))
        self.assertTrue(is_there(self.path))
        self.assertTrue(replace(self.path, OURS + b"y"))
        self.assertEqual(self.path.read_bytes(), OURS + b"y")
        self.assertEqual(os.listdir(self.path.parent), ["b.service"])
        self.assertTrue(remove(self.path))
        self.assertEqual(os.listdir(self.path.parent), [])

    def test_a_shortcut_of_windows(self) -> None:
        self.path.parent.mkdir()
        self.path.write_bytes(b"L\0\0\0\x01\x14" + MARKER.encode("utf-16-le") + b"\0\0")
        self.assertTrue(is_there(self.path))

    def test_what_others_made(self) -> None:
        self.path.parent.mkdir()
        other = self.folder / "other"
        other.write_bytes(OURS)
        for make in (
            lambda: self.path.write_bytes(b"[Service]\nExecStart=/bin/true\n"),
            lambda: self.path.write_bytes(b""),
            lambda: self.path.symlink_to(other),
            lambda: self.path.symlink_to("/dev/null"),  # a masked unit
            lambda: self.path.symlink_to("/nowhere"),
            lambda: self.path.mkdir(),
        ):
            make()
            before = self.path.lstat()
            for act in (is_there, remove, lambda path: replace(path, OURS)):
                error = self.assertRaises(NotOurs, act, self.path)
                self.assertIn(str(self.path), str(error))
            self.assertEqual(os.path.samestat(before, self.path.lstat()), True)
            self.assertEqual(len(os.listdir(self.path.parent)), 1, "nothing else is left")
            self.path.rmdir() if self.path.is_dir() and not self.path.is_symlink() else self.path.unlink()
        self.assertEqual(other.read_bytes(), OURS)

    def test_one_that_is_made_meanwhile(self) -> None:
        def link(source: Path, target: Path) -> None:
            target.write_bytes(b"theirs")
            raise FileExistsError

        with mock.patch.object(own_files.os, "link", link):
            self.assertRaises(NotOurs, replace, self.path, OURS)
        self.assertEqual(self.path.read_bytes(), b"theirs")

    def test_a_file_system_without_hard_links(self) -> None:
        with mock.patch.object(own_files.os, "link", mock.Mock(side_effect=PermissionError)):
            self.assertFalse(replace(self.path, OURS))
        self.assertEqual(self.path.read_bytes(), OURS)

    def test_a_disk_that_is_full(self) -> None:
        replace(self.path, OURS)
        with mock.patch.object(own_files.os, "replace", mock.Mock(side_effect=OSError)):
            self.assertRaises(OSError, replace, self.path, OURS + b"y")
        self.assertEqual((self.path.read_bytes(), os.listdir(self.path.parent)), (OURS, ["b.service"]))
