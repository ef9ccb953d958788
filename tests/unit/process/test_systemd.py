"""What a supervisor is told, on a socket as systemd opens it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import skipUnless

from twisted.logger import LogEvent, Logger
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process import systemd as module
from skyproxy.process.systemd import Notifier


@skipUnless(hasattr(socket, "AF_UNIX"), "there are no such sockets here")
class NotifierTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name) / "notify")
        self.events: list[LogEvent] = []
        self.patch(module, "_log", Logger(namespace="test", observer=self.events.append))

    def listen(self, address: str) -> socket.socket:
        supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(supervisor.close)
        supervisor.bind(address)
        supervisor.setblocking(False)
        return supervisor

    def test_words(self) -> None:
        supervisor = self.listen(self.path)
        notifier = Notifier({"NOTIFY_SOCKET": self.path}, lambda: 12.3456789)
        for tell, words in (
            (notifier.ready, b"READY=1"),
            (notifier.reloading, b"RELOADING=1\nMONOTONIC_USEC=12345678"),
            (notifier.stopping, b"STOPPING=1"),
        ):
            tell()
            self.assertEqual(supervisor.recv(1000), words)

    @skipUnless(os.path.exists("/proc/net/unix"), "abstract names are Linux's")
    def test_an_abstract_name(self) -> None:
        name = f"skyproxy-test-{os.getpid()}"
        supervisor = self.listen(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
        self.assertEqual(supervisor.recv(1000), b"READY=1")

    def test_nobody_asked(self) -> None:
        for environ in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}):
            Notifier(environ).ready()
        self.assertEqual(self.events, [])

    def test_nobody_listens(self) -> None:
        Notifier({"NOTIFY_SOCKET": self.path}).ready()
        self.assertEqual(len(self.events), 1)

    def test_a_supervisor_that_does_not_read_is_not_waited_for(self) -> None:
        self.listen(self.path)
        notifier = Notifier({"NOTIFY_SOCKET": self.path})
        for _ in range(5000):
            notifier.ready()
            if self.events:
                break
        self.assertTrue(self.events)
