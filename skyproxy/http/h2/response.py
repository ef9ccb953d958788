"""An HTTP/2 response whose headers are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.web.http import RESPONSES
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse
from zope.interface import implementer

from skyproxy.http.common.headers import Fields
from skyproxy.http.common.lazy_headers import UndecodedHeaders
from skyproxy.http.h2.headers import ResponseHead
from skyproxy.http.h2.interfaces import Reader


@implementer(IResponse)
class Http2Response:
    """See :class:`twisted.web.iweb.IResponse`.

    :ivar raw_headers: the fields in the order of their coming, names in lower case.
    :ivar whole: None; see :class:`ClientResponse`.
    :ivar length: bytes of the body as Content-Length says, else UNKNOWN_LENGTH.
    """

    __slots__ = (
        "_deliver", "_headers", "code", "length", "phrase", "previousResponse", "raw_headers", "request",
    )  # fmt: skip

    version = (b"HTTP", 2, 0)
    whole: bytes | None = None

    def __init__(self, head: ResponseHead, request: Any, deliver: Callable[[Reader], None]) -> None:
        self.code = head.code
        # RFC 9113, 8.3.2: there is no reason phrase.
        self.phrase: bytes = RESPONSES.get(head.code, b"")
        self.raw_headers: Fields = head.fields
        self.length: int | object = UNKNOWN_LENGTH if head.length is None else head.length
        self.request = request
        self.previousResponse: IResponse | None = None
        self._deliver: Callable[[Reader], None] | None = deliver
        self._headers: Headers | None = None

    @property
    def headers(self) -> Headers:
        """The fields, without Content-Encoding: an agent that decodes by it, without a limit, leaves the body alone."""
        if self._headers is None:
            self._headers = UndecodedHeaders(self.raw_headers)
        return self._headers

    def deliverBody(self, protocol: Reader) -> None:
        """Give the body to *protocol*, from its beginning.

        Its transport has ``pauseProducing``, ``resumeProducing`` and ``abortConnection``, which concern this stream
        only. Its ``connectionLost`` gets ``ResponseDone`` at the end of the body, ``ResponseFailed`` if it is cut.

        :raise RuntimeError: the body was given to a protocol before.
        """
        deliver, self._deliver = self._deliver, None
        if deliver is None:
            raise RuntimeError("The body was given to a protocol already.")
        deliver(protocol)

    def setPreviousResponse(self, response: IResponse) -> None:
        """For agents that follow redirects."""
        self.previousResponse = response
