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

from skyproxy.errors import BodyTooLarge, InvalidRequest, UnsupportedEncoding
from skyproxy.inflate import TooLarge, inflate
from skyproxy.wire.received import ReceivedHeaders
from skyproxy.wire.server import Output

_SAFE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


# What twisted.web's constructor makes for each request, and hardly any needs.
_LATER: dict[str, Callable[[], Any]] = {
    "notifications": list,
    "received_cookies": dict,
    "cookies": list,
    "responseHeaders": Headers,
    "_adapterCache": dict,
}


class ApiRequest(WebRequest):
    """Keeps its body in memory (twisted.web would use a temporary file on the reactor's thread, from 100,000 bytes on).

    :ivar cut: the answer was given up in the middle: nothing may end it as if it were complete.
    :ivar request_id: once :class:`RequestIds` has given it one.
    :ivar serving: what is cancelled when the client leaves before the answer has ended.
    """

    cut = False
    request_id: str | None = None
    serving: Deferred[Any] | None = None
    defaultContentType = None
    finished = 0
    queued = False
    requestHeaders: Headers
    _parsePOSTFormSubmission = False
    _fields: Mapping[bytes, bytes] | None = None

    def __init__(self, channel: Any, *args: Any, **kwargs: Any) -> None:
        # In place of twisted.web's: see _LATER. Channels set requestHeaders or fill those that are there.
        self.channel = channel
        self.client = channel.getPeer()
        self.host = channel.getHost()
        self.transport = channel.transport
        if not isinstance(channel, Output):
            self.requestHeaders = Headers()
        self._chunks: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        make = _LATER.get(name)
        if make is None:
            raise AttributeError(name)
        value = make()
        setattr(self, name, value)
        return value

    def gotLength(self, length: int | None) -> None:
        """The body is kept as it comes."""

    def handleContentChunk(self, data: bytes) -> None:
        """Keep *data*, unless there is too much. skyproxy's channel ends such a request itself; HTTP/2 does not."""
        channel: Any = self.channel
        if self._size <= channel.site.max_body:
            self._chunks.append(data)
            self._size += len(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is complete. Neither its query nor its body is taken for a form."""
        self.method = command
        self.uri = path
        self.clientproto = version
        self.path = path.partition(b"?")[0]
        self.process()

    def process(self) -> None:
        """Have the request answered: at once if its route is known, as twisted.web does otherwise."""
        channel: Any = self.channel
        self.site = channel.site
        if not self.site.resource.route(self):
            self.args: dict[bytes, list[bytes]] = {}
            super().process()  # type: ignore[no-untyped-call]

    def getRequestHostname(self) -> bytes:
        """Always the same: routes do not depend on it, and Klein fails on what no name server would know."""
        return b"localhost"

    def finish(self) -> None:
        """End the answer, unless it was cut or has ended: Klein calls this whatever its handler did."""
        if self.cut or self.finished:
            return
        channel = self.channel
        if not isinstance(channel, Output) or not self.startedWriting or self.chunked or self._encoder or self.producer:
            super().finish()  # type: ignore[no-untyped-call]
            return
        # What is left to do for an answer that the channel has framed.
        self.finished = 1
        channel.requestDone(self)
        self._cleaned()
        for waiting in self.__dict__.pop("notifications", ()):
            waiting.callback(None)

    def _cleanup(self) -> None:
        super()._cleanup()  # type: ignore[no-untyped-call]
        self._cleaned()

    def _cleaned(self) -> None:
        self.channel: Any = None
        self.serving = None
        self._chunks.clear()

    def connectionLost(self, reason: Failure) -> None:
        """The client has left: cancel what serves it."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self._chunks.clear()
        serving, self.serving = self.serving, None
        if serving is not None:
            serving.cancel()

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        return bool(self._disconnected)

    @property
    def fields(self) -> Mapping[bytes, bytes]:
        """The last value of each header of the request, by its name in lower case; as they are when first looked at."""
        fields = self._fields
        if fields is None:
            headers = self.requestHeaders
            if isinstance(headers, ReceivedHeaders):
                fields = headers.last
            else:
                fields = {name.lower(): values[-1] for name, values in headers.getAllRawHeaders() if values}
            self._fields = fields
        return fields

    def header(self, name: bytes) -> bytes | None:
        """The last value of a header of the request."""
        return self.fields.get(name.lower())

    def plain_body(self, limit: int) -> bytes:
        """The body, inflated if it came compressed.

        :param limit: bytes that it may have.
        :raise BodyTooLarge: it has more.
        :raise UnsupportedEncoding: a Content-Encoding that is neither gzip nor deflate.
        :raise InvalidRequest: what was sent is not what Content-Encoding says.
        """
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if len(body) > limit:
            raise BodyTooLarge(f"The request's body is over {limit} bytes (max_body).")
        encoding = self.fields.get(b"content-encoding")
        if encoding is None or encoding.lower() == b"identity":
            return body
        if encoding.lower() not in (b"gzip", b"x-gzip", b"deflate"):
            raise UnsupportedEncoding("Content-Encoding of a request may be gzip or deflate.")
        try:
            return inflate(body, limit)
        except TooLarge:
            raise BodyTooLarge(f"The request's body inflates to more than {limit} bytes (max_body).") from None
        except ValueError as error:
            raise InvalidRequest(f"The request's body does not match its Content-Encoding: {error}.") from error


class RequestIds:
    """Gives each request its id: the client's own if it can be repeated safely in headers and logs, or a new one.

    :param prefix: sets apart the ids of this process from those of others.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers = count(1)

    def of(self, request: ApiRequest) -> str:
        """The id of *request*, the same whenever it is asked for."""
        if request.request_id is None:
            given = request.fields.get(b"x-request-id")
            if given is not None and _SAFE_ID.fullmatch(given):
                request.request_id = given.decode("ascii")
            else:
                request.request_id = f"{self._prefix}-{next(self._numbers):x}"
        return request.request_id
