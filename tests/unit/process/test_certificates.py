"""Certificates that are read again: :mod:`skyproxy.process.certificates`."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.certificates import LOOK_SECONDS, ReloadedCertificate, files_of
from skyproxy.process.listening import exclusive
from tests.certificates import Authority


class CertificateTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.key, self.certificate, _ = Authority().write(self.folder, "localhost")
        self.endpoint = f"ssl:0:interface=127.0.0.1:privateKey={self.key}:certKey={self.certificate}"
        self.reactor = MemoryReactorClock()

    def context(self, served: ReloadedCertificate) -> object:
        return served.serverConnectionForTLS(None).get_context()

    def test_the_files(self) -> None:
        self.assertEqual(files_of(self.endpoint), [self.key, self.certificate])
        self.assertEqual(files_of("ssl:443:k.pem:c.pem"), [Path("k.pem"), Path("c.pem")])
        self.assertEqual(files_of("ssl:443"), [Path("server.pem")])
        self.assertEqual(files_of(r"ssl:443:privateKey=C\:\\k.pem"), [Path(r"C:\k.pem")])

    def test_another_one_serves_when_the_files_have_changed(self) -> None:
        served = ReloadedCertificate(self.reactor, self.endpoint)
        first = self.context(served)
        self.reactor.advance(LOOK_SECONDS)
        self.assertIs(self.context(served), first)
        Authority().write(self.folder, "localhost")
        self.assertIs(self.context(served), first)
        self.reactor.advance(LOOK_SECONDS)
        self.assertIsNot(self.context(served), first)

    def test_one_that_cannot_be_used_changes_nothing(self) -> None:
        served = ReloadedCertificate(self.reactor, self.endpoint)
        first = self.context(served)
        for content in (b"half a certif", None, Authority().certificate("localhost")[1]):
            if content is None:
                self.certificate.unlink()
            else:
                self.certificate.write_bytes(content)
            self.reactor.advance(LOOK_SECONDS)
            self.assertIs(self.context(served), first)
        Authority().write(self.folder, "localhost")
        self.reactor.advance(LOOK_SECONDS)
        self.assertIsNot(self.context(served), first)

    def test_a_start_with_one_that_cannot_be_used(self) -> None:
        os.unlink(self.key)
        self.assertRaises(OSError, ReloadedCertificate, self.reactor, self.endpoint)

    def test_where_ports_are_bound_for_this_process_alone(self) -> None:
        """On Windows, where another reactor stands before the real one."""
        endpoint = serverFromString(exclusive(reactor, socket.SO_REUSEADDR), self.endpoint)
        port = self.successResultOf(endpoint.listen(Factory()))
        port.connectionLost(None)
