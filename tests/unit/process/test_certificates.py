"""Certificates that are read again: :mod:`skyproxy.process.certificates`."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from pathlib import Path
from unittest import skipIf

from cryptography.hazmat.primitives import serialization
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.certificates import LOOK_SECONDS, ReloadedCertificate, files_of, kept_of, readable
from skyproxy.process.listening import NotListening, exclusive, listen_at, why_not
from skyproxy.process.token_source import source_of
from skyproxy.util.timers import Timers
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

    @skipIf(not hasattr(os, "memfd_create") or os.geteuid() != 0, "takes root")
    def test_files_that_only_root_could_read(self) -> None:
        chain = self.folder / "chain.pem"
        chain.write_bytes(self.certificate.read_bytes())
        endpoint = f"{self.endpoint}:extraCertChain={chain}"
        kept = kept_of(endpoint)
        self.assertEqual(kept_of(f"haproxy:{endpoint}"), kept)
        self.assertEqual((kept_of("tcp:0"), kept_of(f"unix:{self.key}")), ({}, {}))
        # Of a missing file, too, is known that it cannot be read.
        for file in (self.key, chain):
            file.unlink()
        served = ReloadedCertificate(self.reactor, endpoint, kept)
        with readable(endpoint, kept) as words:
            files = files_of(words)
            self.assertEqual([file.read_bytes() for file in files], list(kept.values()))
            self.assertIn(self.certificate, files)
        self.assertFalse(files[0].exists())
        first = self.context(served)
        self.certificate.write_bytes(b"another")
        self.reactor.advance(LOOK_SECONDS)
        self.assertIs(self.context(served), first)

    def test_what_is_said_of_those_that_cannot_be_used(self) -> None:
        """In words, not OpenSSL's; and nobody is asked for a passphrase, which would hold up all clients."""
        key, certificate = (file.read_bytes() for file in (self.key, self.certificate))
        loaded = serialization.load_pem_private_key(key, None)
        secret = serialization.BestAvailableEncryption(b"open sesame")
        formats = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
        for pem in (loaded.private_bytes(serialization.Encoding.PEM, each, secret) for each in formats):
            self.assertIn("is encrypted", self.refusal(pem, certificate))
        cut = certificate.replace(b"\n-----END", b"\n")
        for pem, chain, part in (
            (b"", certificate, "no private key"),
            (os.urandom(64), certificate, "no private key"),
            (key, b"", "no certificate"),
            (key, Authority().certificate("localhost")[1], "do not match"),
            (key, cut, "OpenSSL cannot use"),
        ):
            self.assertIn(part, self.refusal(pem, chain))
        # Each may stand in either file.
        self.key.write_bytes(certificate)
        self.certificate.write_bytes(key)
        ReloadedCertificate(self.reactor, self.endpoint)

    def refusal(self, key: bytes, certificate: bytes) -> str:
        self.key.write_bytes(key)
        self.certificate.write_bytes(certificate)
        with self.assertRaises(NotListening) as raised:
            listen_at(self.reactor, [self.endpoint], Factory(), lambda endpoint, port: None)
        self.assertNotIn("[(", str(raised.exception))
        return str(raised.exception)

    @skipIf(not hasattr(os, "mkfifo"), "there are no pipes with names here")
    def test_a_pipe_that_nobody_writes_to_is_not_waited_for(self) -> None:
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        with self.assertRaises(NotListening) as raised:
            endpoint = self.endpoint.replace(str(self.key), str(pipe))
            listen_at(self.reactor, [endpoint], Factory(), lambda endpoint, port: None)
        self.assertIn("it is a pipe or a device, and no file", str(raised.exception))
        fetch = source_of(str(pipe), lambda config: self.fail(), Timers(self.reactor))
        self.assertIn("it is a pipe", str(self.failureResultOf(fetch(), OSError).value))

    def test_a_file_that_may_not_be_read(self) -> None:
        """Which has nothing to do with the port."""
        said = why_not(self.endpoint, PermissionError(errno.EACCES, "Permission denied", str(self.key)))
        self.assertIn(str(self.key), said)
        self.assertNotIn("Ports", said)

    def test_where_ports_are_bound_for_this_process_alone(self) -> None:
        """On Windows, where another reactor stands before the real one."""
        endpoint = serverFromString(exclusive(reactor, socket.SO_REUSEADDR), self.endpoint)
        port = self.successResultOf(endpoint.listen(Factory()))
        port.connectionLost(None)
