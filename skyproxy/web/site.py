"""The Klein app as a site of twisted.web, on skyproxy's own channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from klein import Klein
from twisted.internet.protocol import Protocol
from twisted.web.server import Site

from skyproxy.errors import BodyTooLarge, InvalidRequest, SkyproxyError
from skyproxy.formats.json_body import encode
from skyproxy.http import Connections, ServerLimits, Wire
from skyproxy.http.common.protocol_names import HTTP2, HTTP10, HTTP11
from skyproxy.http.server.bounds import Admission
from skyproxy.web.request import ApiRequest, TooManyBodies
from skyproxy.web.routes import Routes

Refuses = Callable[[ApiRequest, bytes, bytes], bool]
"""Whether a request by some method, to some path, is refused whatever its body says, as far as its head tells."""


class _NotLetIn(Protocol):
    """Closes the connection before a byte is read."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.loseConnection()


class ApiSite(Site):
    """A site that keeps no access log: the log has a record of each request that tells more.

    :ivar max_body: bytes of a request that are kept.
    :ivar admission: lets clients connect, or not; None: all may.
    :ivar refuses: see :data:`Refuses`.
    """

    max_body = 0
    admission: Admission | None = None
    refuses: Refuses = staticmethod(lambda request, method, path: False)

    def buildProtocol(self, address: Any) -> Any:
        """What serves a client that has connected, or closes its connection.

        Not None: TLS, and the protocol of balancers, put theirs around whatever this gives, which fails then, and takes
        the port along.
        """
        if self.admission is not None and not self.admission.admits(getattr(address, "host", None) or ""):
            return _NotLetIn()
        return super().buildProtocol(address)  # type: ignore[no-untyped-call]

    def log(self, request: Any) -> None:
        """Nothing."""

    def acceptableProtocols(self) -> list[bytes]:
        """What ALPN offers, the best first. Twisted's own has HTTP/2 only where Twisted could speak it itself.

        A client that names others alone, as ``curl --http1.0`` does, would be refused before it has said anything.
        """
        return [HTTP2, HTTP11, HTTP10]


def build_site(
    app: Klein,
    reactor: Any,
    wire: Wire,
    limits: ServerLimits,
    connections: Connections,
    refuses: Refuses = ApiSite.refuses,
) -> ApiSite:
    """The site of *app*.

    :param wire: the channel under it.
    :param connections: watches over the clients that come.
    :param refuses: tells which requests need not be read.
    """
    site: Any = ApiSite(  # type: ignore[no-untyped-call]
        Routes(app),
        requestFactory=ApiRequest,
        reactor=reactor,
        timeout=limits.keep_alive,
        parsePOSTFormSubmission=False,
    )
    site.noisy = False
    site.refuses = refuses
    set_limits(site, wire, limits, connections)
    return cast(ApiSite, site)


def set_limits(site: Any, wire: Wire, limits: ServerLimits, connections: Connections) -> None:
    """Have the connections to *site* that come from now on keep *limits*; the others are as for :func:`build_site`."""
    site.protocol = wire.server(limits, connections, render_refusal)
    site.max_body = limits.body_bytes
    site.admission = connections.admission


def render_refusal(status: int, reason: str) -> tuple[bytes, bytes]:
    """What HTTP itself forbids, in OpenAI's shape of an error, as everything else."""
    kind: type[SkyproxyError] = {413: BodyTooLarge, 503: TooManyBodies}.get(status, InvalidRequest)
    error = kind(reason)
    return b"application/json", encode(error.as_object())
