"""Socket files that somebody removes: :mod:`skyproxy.process.socket_files`."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from unittest import skipIf

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.unix import Port
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.socket_files import SocketFile, socket_files


@skipIf(not hasattr(socket, "AF_UNIX") or os.name == "nt", "there are no such sockets")
class SocketFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(mkdtemp(prefix="files"))
        self.addCleanup(rmtree, folder)
        self.path, self.lock = folder / "s", folder / "s.lock"
        self.reactor = SelectReactor()
        self.port = Port(os.fsencode(self.path), Factory.forProtocol(Protocol), 7, 0o600, self.reactor, True)
        self.port.startListening()
        self.file = SocketFile(self.reactor, self.port)

    def close(self) -> None:
        self.port.stopReading()
        self.port.connectionLost(Failure(Exception()))

    def connect(self) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.path))
            taken, _ = self.port.socket.accept()
            taken.close()

    def test_it_is_made_again(self) -> None:
        self.file.renew()
        for _ in range(2):
            self.path.unlink()
            self.assertRaises(FileNotFoundError, self.connect)
            self.file.renew()
            self.connect()
            self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
            self.assertIn(self.port, self.reactor.getReaders())
        self.assertFalse(os.get_inheritable(self.port.fileno()))
        self.close()
        self.assertFalse(self.path.exists() or self.lock.is_symlink())
        self.file.renew()
        self.assertFalse(self.path.exists())

    def test_who_waits_comes_in_first(self) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.path))
            self.path.unlink()
            self.file.renew()
            self.assertFalse(self.path.exists())
            taken, _ = self.port.socket.accept()
            taken.close()
        self.reactor.runUntilCurrent()
        (again,) = self.reactor.getDelayedCalls()
        again.cancel()
        self.file.renew()
        self.connect()
        self.close()

    def test_what_stands_there_instead_stays(self) -> None:
        self.path.unlink()
        self.path.write_text("somebody's")
        self.file.renew()
        self.close()
        self.assertEqual((self.path.read_text(), self.lock.is_symlink()), ("somebody's", False))

    def test_one_that_is_gone_with_its_lock_at_the_end(self) -> None:
        self.path.unlink()
        self.lock.unlink()
        self.close()
        self.assertFalse(self.port.connected)

    def test_a_folder_that_is_gone(self) -> None:
        rmtree(self.path.parent)
        with capturedLogs() as logged:
            self.file.renew()
        self.assertEqual([event["path"] for event in logged], [str(self.path)])
        self.path.parent.mkdir()
        self.file.renew()
        self.connect()
        self.close()

    def test_whose_files_they_are(self) -> None:
        bound = [(each, self.port) for each in ("unix:/s", "haproxy:unix:/s", "systemd:domain=UNIX:index=0", "tcp:1")]
        self.assertEqual(len(socket_files(self.reactor, [*bound, ("unix:/s", object())])), 2)
        self.close()
