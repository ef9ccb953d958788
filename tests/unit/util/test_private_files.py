"""Private files: nobody else may read them, nor look into the folders that were made for them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from shutil import rmtree
from stat import S_IMODE
from tempfile import mkdtemp
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.util.private_files import make_private_folder, open_private


class PrivateFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)

    @skipUnless(os.name == "posix", "rights are others here")
    def test_rights_of_what_is_made(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        self.folder.chmod(0o755)
        path = self.folder / "a" / "b" / "file"
        os.close(open_private(path, os.O_WRONLY))
        rights = [S_IMODE(each.stat().st_mode) for each in (self.folder, path.parent.parent, path.parent, path)]
        self.assertEqual(rights, [0o755, 0o700, 0o700, 0o600])

    @skipUnless(os.name == "posix", "rights are others here")
    def test_on_windows_folders_take_the_rights_around_them(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        make_private_folder(self.folder / "a" / "b", "nt")
        self.assertEqual(S_IMODE((self.folder / "a" / "b").stat().st_mode), 0o777)

    @skipUnless(hasattr(os, "mkfifo"), "there are no pipes with names here")
    def test_a_pipe_that_nobody_reads_is_not_waited_for(self) -> None:
        os.mkfifo(self.folder / "pipe")
        error = self.assertRaises(OSError, open_private, self.folder / "pipe", os.O_WRONLY)
        self.assertEqual(error.errno, errno.ENXIO)
        reader = os.open(self.folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        for path in (self.folder / "pipe", self.folder / "file"):
            opened = open_private(path, os.O_WRONLY)
            self.addCleanup(os.close, opened)
            self.assertTrue(os.get_blocking(opened), path)

    def test_what_is_there_stays(self) -> None:
        path = self.folder / "file"
        path.write_text("old")
        rights = path.stat().st_mode
        descriptor = open_private(path, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, b" and new")
        os.close(descriptor)
        self.assertEqual((path.read_text(), path.stat().st_mode), ("old and new", rights))

    def test_a_folder_that_is_there(self) -> None:
        for _ in range(2):
            make_private_folder(self.folder / "a")
        self.assertTrue((self.folder / "a").is_dir())

    def test_what_cannot_be_made(self) -> None:
        (self.folder / "file").touch()
        self.assertRaises(OSError, open_private, self.folder / "file" / "x", os.O_WRONLY)
