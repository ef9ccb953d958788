"""TLS to one origin: who it must be, what it is offered, and the sessions that spare a full handshake."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from OpenSSL.SSL import Connection, Session
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions, optionsForClientTLS
from twisted.logger import Logger
from zope.interface import implementer

from skyproxy.http.client.trust import GatheredRoots, Roots

_log = Logger()


def verified(host: str, trust: GatheredRoots, protocols: list[bytes], *, tickets: bool) -> Any:
    """TLS with *host* and nobody else.

    :param tickets: whether sessions may be resumed.
    """

    def options(name: str) -> Any:
        return optionsForClientTLS(
            name,
            trustRoot=trust,
            acceptableProtocols=protocols,
            extraCertificateOptions={"enableSessionTickets": tickets},
        )

    try:
        return options(host)
    except UnicodeError:
        # Twisted wants names of IDNA, though DNS has others in ASCII, such as my_host or r3---sn. They take the place
        # of one that nobody has, and that no certificate is for.
        found = options("name.invalid")
        found._hostnameASCII, found._hostnameBytes = host, host.encode("ascii")
        return found


@implementer(IOpenSSLClientConnectionCreator)
class Unverified:
    """TLS with whoever answers: it keeps out who can only listen.

    :param tickets: whether sessions may be resumed.
    """

    def __init__(self, host: str, protocols: list[bytes], *, tickets: bool) -> None:
        self._name = None if isIPAddress(host) or isIPv6Address(host) else host.encode("ascii")
        self._protocols = protocols
        options = CertificateOptions(verify=False, enableSessionTickets=tickets)
        self._context = options.getContext()

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Connection:
        """A connection that says which host it wants, where that has a name."""
        connection = Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        connection.set_alpn_protos(self._protocols)
        if self._name is not None:
            connection.set_tlsext_host_name(self._name)
        return connection


@implementer(IOpenSSLClientConnectionCreator)
class TlsClient:
    """Makes the TLS side of each connection to one origin.

    Certificate and host name are checked by Twisted with service-identity. A resumed connection is to the peer that
    was checked when its session began.

    :param host: name or address, without the brackets of IPv6.
    :param protocols: offered by ALPN, the best first; kept under this name.
    :param max_sessions: that are kept for resumption; 0 for none.
    :param roots: the authorities that are trusted; None: those of this system.
    :param added: certificates of further ones, in DER.
    :param verify: False: whoever answers is taken for the right one.
    :ivar handshakes: that were completed, the resumed ones among them.
    :ivar resumed: those that resumed a session.
    """

    def __init__(
        self,
        host: str,
        protocols: Sequence[bytes],
        max_sessions: int,
        roots: Roots | None = None,
        added: Sequence[bytes] = (),
        *,
        verify: bool = True,
    ) -> None:
        self._host = host
        self.protocols = tuple(protocols)
        self._options: Any = (
            verified(host, (roots or Roots()).trust(added), list(protocols), tickets=max_sessions > 0)
            if verify
            else Unverified(host, list(protocols), tickets=max_sessions > 0)
        )
        self._sessions: deque[Session] = deque(maxlen=max_sessions)
        self.handshakes = 0
        self.resumed = 0

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Connection:
        """A connection that resumes the newest session, if there is one.

        Each session is used once (RFC 8446, C.4): the connection that it helps to make brings another. OpenSSL itself
        sets aside the session of a connection that ended without a goodbye.
        """
        connection: Connection = self._options.clientConnectionForTLS(tlsProtocol)
        if self._sessions:
            connection.set_session(self._sessions.pop())
        return connection

    def completed(self, connection: Connection) -> None:
        """Count the handshake of *connection*, which is done."""
        # The peer shows its certificate in a full handshake only, and would not have come through it without.
        resumed = connection.get_verified_chain() is None
        self.handshakes += 1
        self.resumed += resumed
        protocol = connection.get_alpn_proto_negotiated().decode("ascii", "replace")
        _log.debug("TLS handshake completed", host=self._host, protocol=protocol, resumed=resumed)

    def remember(self, connection: Connection) -> None:
        """Keep the session of *connection*, which has brought an answer: TLS 1.3 sends tickets after the handshake."""
        if self._sessions.maxlen:
            session = connection.get_session()
            if session is not None:
                self._sessions.append(session)
