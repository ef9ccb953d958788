"""treq's client for one provider, with everything prepared that is the same for all its requests."""

from __future__ import annotations

from collections.abc import Iterator
from http.cookiejar import CookieJar
from typing import Any, Protocol, cast

from hyperlink import EncodedURL
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import Deferred
from twisted.web.iweb import IAgent

from skyproxy.http.client.pool import ConnectionPool, PoolStatistics
from skyproxy.http.common.bytes_producer import BytesProducer
from skyproxy.http.common.headers import Fields, FixedFields, OutgoingHeaders


class RawResponse(Protocol):
    """An IResponse of :mod:`skyproxy.http`: with the header fields as they came, and the whole body if it came with
    them.
    """

    code: int
    raw_headers: Fields
    whole: bytes | None

    def deliverBody(self, protocol: Any) -> None: ...


class PreparedUrl(EncodedURL):
    """A URL that is ready to be sent: treq would encode it anew for each request."""

    __slots__ = ("_prepared",)

    _prepared: str

    @classmethod
    def of(cls, text: str) -> PreparedUrl:
        """The URL *text*, in ASCII and escaped. It is sent as it is: hyperlink would refuse IPv6 and underscores."""
        url = cast(PreparedUrl, cls.from_text(text))
        url._prepared = text
        return url

    def to_uri(self) -> PreparedUrl:
        return self

    def to_text(self, with_password: bool = False) -> str:
        return self._prepared


class NoCookies(IndexableCookieJar):
    """A jar that stays empty: what one client's request brought must not go out with another's."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def add_cookie_header(self, request: Any) -> None:
        """Nothing to add."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Nothing is kept."""


class ProviderClient:
    """Posts to one provider.

    :param base_url: without a slash at its end.
    :param fixed: header fields of every request.
    """

    def __init__(self, base_url: str, fixed: Fields, agent: IAgent, pool: ConnectionPool, reactor: Any) -> None:
        self._base_url = base_url
        self._fixed = FixedFields(fixed)
        self._pool = pool
        self._reactor = reactor
        self._jar: CookieJar = NoCookies()
        self._client = HTTPClient(agent, cookiejar=self._jar, data_to_body_producer=BytesProducer)
        self._urls: dict[str, PreparedUrl] = {}

    def post(self, path: str, headers: Fields, body: bytes) -> Deferred[Any]:
        """Send *body*.

        :param path: below the base_url, one of few.
        :return: fires with treq's response when its headers are there; see :func:`raw_of`. Fails as the agent does.
            Cancelling it aborts the connection.
        """
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = PreparedUrl.of(self._base_url + path)
        return self._request("POST", url, headers, body)

    def get(self, url: str, headers: Fields) -> Deferred[Any]:
        """Ask for *url*, of the same origin. As :meth:`post` otherwise."""
        return self._request("GET", PreparedUrl.of(url), headers, None)

    def _request(self, method: str, url: PreparedUrl, headers: Fields, body: bytes | None) -> Deferred[Any]:
        return self._client.request(
            method,
            url,
            headers=OutgoingHeaders(self._fixed, headers),
            data=body,
            cookies=self._jar,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,
        )

    def connections(self) -> PoolStatistics:
        """Connections by state."""
        return self._pool.statistics()

    def drop_idle(self) -> None:
        """Close the idle connections."""
        self._pool.drop_idle()

    def retire(self) -> None:
        """Keep no connection from now on."""
        self._pool.retire()

    def close(self) -> Deferred[None]:
        """Close all connections. Fires when they are closed, or after a bounded time."""
        return self._pool.closeCachedConnections()


def raw_of(response: Any) -> RawResponse:
    """The response beneath treq's, which decodes bodies and reads them with tools that are not needed here."""
    while not hasattr(response, "raw_headers"):
        response = response.original
    raw: RawResponse = response
    return raw
