"""TLS servers in memory, with certificates of a throw-away authority."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded
from OpenSSL.SSL import NO_OVERLAPPING_PROTOCOLS, Connection
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions, PrivateCertificate, TLSVersion
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.certificates import Authority

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@implementer(ITCPTransport)
class Tcp(FakeTransport):
    """A TCP connection in memory.

    :ivar no_delay: whether Nagle's algorithm was switched off.
    """

    no_delay = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled


class Server(Protocol):
    """Answers every request, in the protocol that ALPN chose."""

    def __init__(self) -> None:
        self._h2: H2Connection | None = None
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self.transport.negotiatedProtocol != b"h2":  # type: ignore[union-attr]
            if b"\r\n\r\n" in data:
                self.transport.write(WHOLE)  # type: ignore[union-attr]
            return
        if self._h2 is None:
            self._h2 = H2Connection(H2Configuration(client_side=False))
            self._h2.initiate_connection()
        for event in self._h2.receive_data(data):
            if isinstance(event, StreamEnded) and event.stream_id is not None:
                self._h2.send_headers(event.stream_id, [(":status", "200")], end_stream=True)
        self.transport.write(self._h2.data_to_send())  # type: ignore[union-attr]


class Endpoint:
    """Connects at once to a TLS server; what both send waits until it is pumped.

    :param options: of the server.
    :ivar pumps: of the connections, in the order of their making.
    """

    def __init__(self, clock: Clock, options: CertificateOptions) -> None:
        self._clock = clock
        self._servers = TLSMemoryBIOFactory(options, False, Factory.forProtocol(Server), clock)
        self.pumps: list[IOPump] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        client: Any = factory.buildProtocol(None)
        server: Any = self._servers.buildProtocol(None)  # type: ignore[arg-type]
        tcp = Tcp(server, isServer=True), Tcp(client, isServer=False)
        self.pumps.append(connect(server, tcp[0], client, tcp[1], greet=False, clock=self._clock))
        return succeed(client)

    def flush(self) -> None:
        """Let all that was sent arrive."""
        for pump in self.pumps:
            pump.flush()


class TlsTestCase(SynchronousTestCase):
    """With an authority that the platform trusts."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.authority = Authority()
        self.trust(self.authority)

    def trust(self, authority: Authority) -> None:
        """Make *authority* the only one that is trusted, until the test ends."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        file = Path(folder.name) / "file"
        file.write_bytes(authority.pem)
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(file)
        if before is None:
            self.addCleanup(os.environ.pop, "SSL_CERT_FILE", None)
        else:
            self.addCleanup(os.environ.__setitem__, "SSL_CERT_FILE", before)

    def server(
        self, *hosts: str, protocols: tuple[bytes, ...] = (b"h2", b"http/1.1"), newest: TLSVersion = TLSVersion.TLSv1_3
    ) -> Endpoint:
        """A server that goes by *hosts*, and resumes sessions."""
        own = PrivateCertificate.loadPEM(b"".join(self.authority.certificate(*hosts)))
        options = CertificateOptions(
            privateKey=own.privateKey.original,
            certificate=own.original,
            acceptableProtocols=list(protocols),
            enableSessions=True,
            enableSessionTickets=True,
            lowerMaximumSecurityTo=newest,
        )
        if not protocols:
            # Like a server that has never heard of ALPN.
            options.getContext().set_alpn_select_callback(lambda connection, offered: NO_OVERLAPPING_PROTOCOLS)
        return Endpoint(self.clock, options)


def version_of(transport: Any) -> str:
    """The version of TLS beneath a protocol."""
    connection: Connection = transport.getHandle()
    return connection.get_protocol_version_name()
