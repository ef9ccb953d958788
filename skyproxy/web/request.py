"""A request of twisted.web, as skyproxy needs it: bodies in memory, bounded, and an end that can be withheld."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.server import Request as WebRequest

from skyproxy.errors import BodyTooLarge, InvalidRequest, Unavailable, UnsupportedEncoding
from skyproxy.formats.decompress import TooLarge, inflate
from skyproxy.formats.json_body import size_when_read
from skyproxy.http.common.lazy_headers import RequestHeaders
from skyproxy.http.server.body_memory import FREE_BYTES, BodyShare
from skyproxy.http.server.refusals import TOO_MANY_BODIES

_SMALL_CHUNK_BYTES = 1024
"""Bytes of a piece of a body, below which it is put together with those before it."""

_VALUES_PER_BYTE = 3
"""Bytes that the values of a body may take for each byte of it, uncounted: those of prose take about one."""

_SAFE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


class TooManyBodies(Unavailable):
    """The bodies of requests under way hold all the memory that there is for them."""

    code = "too_many_bodies"


def _fields(request: ApiRequest) -> Mapping[bytes, bytes]:
    headers: Headers = request.requestHeaders
    if isinstance(headers, RequestHeaders):
        return headers.last
    fields = {name.lower(): values[-1] for name, values in headers.getAllRawHeaders() if values}
    fields.pop(b"content-length", None)
    return fields


class _Later:
    """An attribute that is made when somebody asks for it, as functools.cached_property, but without a lock.

    Not by __getattr__: where a class has that, each look at any attribute takes longer.
    """

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, request: Any, owner: type) -> Any:
        if request is None:
            return self
        value = self._make(request)
        setattr(request, self._name, value)
        return value


class ApiRequest(WebRequest):
    """Keeps its body in memory (twisted.web would use a temporary file on the reactor's thread, from 100,000 bytes on).

    :ivar cut: the answer was given up in the middle: nothing may end it as if it were complete.
    :ivar gone: whether the client has left.
    :cvar held: whether the answer may have to wait for something when it is made.
    :ivar fields: the last value of each header of the request but Content-Length, by its name in lower case; as they
        are when first looked at.
    :ivar body_share: of the memory for bodies, set by a channel of skyproxy's; None: the body is small.
    :ivar unwanted: whether nothing was kept of the body.
    :ivar request_id: once :class:`RequestIds` has given it one.
    :ivar serving: what is cancelled when the client leaves before the answer has ended.
    """

    cut = gone = held = False
    channel: Any = None
    site: Any = None
    notifications: Any = ()
    request_id: str | None = None
    serving: Deferred[Any] | None = None
    defaultContentType = None
    queued = False
    body_share: BodyShare | None = None
    unwanted = False
    _size = 0

    fields: Any = _Later(_fields)

    # What the constructors of twisted.web make for each request, and hardly any needs.
    requestHeaders: Any = _Later(lambda _: Headers())
    responseHeaders: Any = _Later(lambda _: Headers())
    received_cookies: Any = _Later(lambda _: {})
    cookies: Any = _Later(lambda _: [])
    _adapterCache: Any = _Later(lambda _: {})

    def __init__(self, channel: Any, queued: object = False) -> None:
        # In place of those of twisted.web, which would take 1.5 µs more.
        self.channel = channel
        self.site = channel.site
        self.client = channel.getPeer()
        self.host = channel.getHost()
        self.transport = channel.transport
        self._chunks: list[bytes | bytearray] = []

    def gotLength(self, length: int | None) -> None:
        """The body is kept as it comes."""

    def is_unwanted(self, method: bytes, target: bytes) -> bool:
        """Whether the body, of which nothing has come yet, does not matter. Then it is not kept."""
        self.unwanted = self.site.refuses(self, method, target.partition(b"?")[0])
        return self.unwanted

    def handleContentChunk(self, data: bytes) -> None:
        """Keep *data*, unless there is too much. skyproxy's channel ends such a request itself; HTTP/2 does not.

        Each object of Python takes some 40 bytes beside what it holds: small pieces are put together.
        """
        if self.unwanted or self._size > self.site.max_body:
            return
        self._size += len(data)
        chunks = self._chunks
        if len(data) >= _SMALL_CHUNK_BYTES or not chunks:
            chunks.append(data)
        elif type(chunks[-1]) is bytearray:
            chunks[-1] += data
        else:
            chunks.append(bytearray(data))

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is complete: have it answered, at once if its route is known, as twisted.web does otherwise.

        Neither its query nor its body is taken for a form.
        """
        self.method = command
        self.uri = path
        self.clientproto = version
        self.path = path.partition(b"?")[0]
        if not self.site.resource.route(self):
            self.args: dict[bytes, list[bytes]] = {}
            self.process()  # type: ignore[no-untyped-call]

    def getRequestHostname(self) -> bytes:
        """Always the same: routes do not depend on it, and Klein fails on what no name server would know."""
        return b"localhost"

    def finish(self) -> None:
        """End the answer, unless it was cut or has ended: Klein calls this whatever its handler did."""
        if not (self.cut or self.finished):
            super().finish()  # type: ignore[no-untyped-call]
            self._let_go()

    def answered(self) -> None:
        """What is left to do of :meth:`finish` for an answer that a channel of skyproxy's has framed and written."""
        self.startedWriting = self.finished = 1
        self.channel.requestDone(self)
        self._let_go()
        waiting, self.notifications = self.notifications, ()
        for each in waiting:
            each.callback(None)

    def notifyFinish(self) -> Deferred[None]:
        """As of twisted.web."""
        waiting: Deferred[None] = Deferred()
        self.notifications = [*self.notifications, waiting]
        return waiting

    def let_body_go(self) -> None:
        """The body is needed no more."""
        self._chunks.clear()
        share, self.body_share = self.body_share, None
        if share is not None:
            share.release()

    def _let_go(self) -> None:
        self.channel = self.serving = None
        self.let_body_go()

    def connectionLost(self, reason: Failure) -> None:
        """The client has left: cancel what serves it."""
        self.gone = True
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.let_body_go()
        serving, self.serving = self.serving, None
        if serving is not None:
            serving.cancel()

    def header(self, name: bytes) -> bytes | None:
        """The last value of a header of the request, not of Content-Length."""
        value: bytes | None = self.fields.get(name.lower())
        return value

    def raw_body(self) -> bytes:
        """The body, as it came."""
        return b"".join(self._chunks)

    def plain_body(self, limit: int) -> bytes:
        """The body, inflated if it came compressed.

        :param limit: bytes that it may have.
        :raise BodyTooLarge: it has more.
        :raise TooManyBodies: inflated, there is no memory for it.
        :raise Unavailable: it was not kept.
        :raise UnsupportedEncoding: a Content-Encoding that is neither gzip nor deflate.
        :raise InvalidRequest: what was sent is not what Content-Encoding says.
        """
        if self.unwanted:
            raise Unavailable("This request came before its key was one: ask again.", retry_after=1.0)
        chunks = self._chunks
        if len(chunks) > 1:
            # One copy of it is enough.
            self._chunks = chunks = [b"".join(chunks)]
        body = bytes(chunks[0]) if chunks else b""
        if len(body) > limit:
            raise BodyTooLarge(f"The request's body is over {limit} bytes (max_body).")
        encoding = self.fields.get(b"content-encoding")
        if encoding is None or (coding := encoding.lower()) == b"identity":
            return body
        if coding not in (b"gzip", b"x-gzip", b"deflate"):
            raise UnsupportedEncoding("Content-Encoding of a request may be gzip or deflate.")
        try:
            plain = inflate(body, limit, bare=coding == b"deflate")
        except TooLarge:
            raise BodyTooLarge(f"The request's body inflates to more than {limit} bytes (max_body).") from None
        except ValueError as error:
            raise InvalidRequest(f"The request's body does not match its Content-Encoding: {error}.") from error
        self._hold(len(plain))
        return plain

    def hold_values(self, body: bytes) -> None:
        """Count what the JSON *body*, this request's, takes when it is read: where its values are very many and very
        small, that is far more than their text.

        :raise TooManyBodies: there is no memory for it.
        """
        if len(body) > FREE_BYTES and self.body_share is not None:
            more = size_when_read(body) - _VALUES_PER_BYTE * len(body)
            if more > 0:
                self._hold(more)

    def _hold(self, size: int) -> None:
        if self.body_share is not None and not self.body_share.add(size):
            raise TooManyBodies(TOO_MANY_BODIES, retry_after=5.0)


class RequestIds:
    """Gives each request its id: the client's own if it can be repeated safely in headers and logs, or a new one.

    :param prefix: sets apart the ids of this process from those of others.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers = count(1)

    def of(self, request: ApiRequest) -> str:
        """The id of *request*, the same whenever it is asked for."""
        found = request.request_id
        if found is None:
            given = request.fields.get(b"x-request-id")
            if given is not None and _SAFE_ID.fullmatch(given):
                found = given.decode("ascii")
            else:
                found = f"{self._prefix}-{next(self._numbers):x}"
            request.request_id = found
        return found


def query_of(request: Any) -> bytes:
    """The query of *request*, as it came."""
    uri: bytes = request.uri
    return uri.partition(b"?")[2]
