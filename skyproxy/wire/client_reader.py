"""Cuts the bytes of a provider's connection into responses. No I/O."""

from __future__ import annotations

import re
from functools import cache

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from twisted.web.iweb import UNKNOWN_LENGTH

Field = tuple[bytes, bytes]

_LARGEST_HEAD = 256 * 1024
_MOST_FIELDS = 500
_MOST_INTERIM = 20
_KEEP_ALIVE_TIMEOUT = re.compile(rb"(?:^|[,;\s])timeout\s*=\s*\"?(\d{1,9})", re.IGNORECASE)


@cache
def _version(text: str) -> tuple[bytes, int, int]:
    # llhttp takes few.
    major, minor = text.split(".")
    return b"HTTP", int(major), int(minor)


class BadResponse(Exception):
    """What came is not a response, or one that nobody should have to read."""


class ResponseHead:
    """Status and header fields of a response.

    :ivar fields: in the order of their coming.
    :ivar length: bytes of the body, or UNKNOWN_LENGTH.
    :ivar framed: whether the end of the body can be told from the end of the connection.
    :ivar keep_alive: seconds that the server says it keeps an idle connection; None if it does not say.
    """

    __slots__ = ("fields", "framed", "keep_alive", "length", "phrase", "status", "version")

    def __init__(self, version: tuple[bytes, int, int], status: int, phrase: bytes, fields: list[Field]) -> None:
        self.version = version
        self.status = status
        self.phrase = phrase
        self.fields = fields
        self.length: int | object = UNKNOWN_LENGTH
        self.framed = status in (204, 304)
        self.keep_alive: float | None = None
        last = {name.lower(): value for name, value in fields}
        if b"content-length" in last:
            self.length = int(last[b"content-length"])
            self.framed = True
        if b"transfer-encoding" in last:
            self.framed = self.framed or last[b"transfer-encoding"].lower().endswith(b"chunked")
        if b"keep-alive" in last and (found := _KEEP_ALIVE_TIMEOUT.search(last[b"keep-alive"])):
            self.keep_alive = float(found.group(1))


class ResponseReader:
    """Reads the responses on one connection with llhttp, strictly.

    :ivar head: of the response that is being read; None until its last byte is there.
    :ivar pieces: of the body, that the last :meth:`feed` found.
    :ivar complete: whether the whole response has been read.
    :ivar keep_alive: whether the connection may carry another one; known when complete.
    """

    __slots__ = (
        "_after_end",
        "_body_end",
        "_bodyless",
        "_fields",
        "_head_size",
        "_interim",
        "_parser",
        "_phrase",
        "complete",
        "head",
        "keep_alive",
        "on_body",
        "pieces",
    )  # fmt: skip

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self.next(bodyless=False)

    def next(self, *, bodyless: bool) -> None:
        """Be ready for the next response.

        :param bodyless: it answers HEAD: no body follows, whatever its fields say.
        """
        self.head: ResponseHead | None = None
        self.complete = False
        self.keep_alive = False
        self.pieces.clear()
        self._bodyless = bodyless
        self._fields: list[Field] = []
        self._phrase = b""
        self._head_size = 0
        self._interim = 0
        self._after_end = False
        self._body_end: int | None = None

    def close(self) -> None:
        """Let go of the parser, which holds this object as this holds it."""
        self._parser = None

    def feed(self, data: bytes) -> None:
        """Read on.

        :raise BadResponse: this is not a response. What was found before it still holds.
        """
        self.pieces.clear()
        assert self._parser is not None
        if self.head is None:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._after_end = self.complete
            if not self.complete:
                raise BadResponse(f"Not a proper response: {error}") from None
        if self._after_end:
            del self.pieces[self._body_end :]
            # Bytes that nobody asked for: whatever they are, the next response could be taken for another.
            self.keep_alive = False
        if self.head is None and (self._head_size > _LARGEST_HEAD or len(self._fields) > _MOST_FIELDS):
            raise BadResponse("A head that is too large.")
        if self._interim > _MOST_INTERIM:
            raise BadResponse("Interim responses without end.")

    # What llhttp calls.

    def on_message_begin(self) -> None:
        if self.complete:
            self._after_end = True

    def on_status(self, phrase: bytes) -> None:
        self._phrase += phrase

    def on_header(self, name: bytes, value: bytes) -> None:
        # Beyond the bound they are counted no further, and trailers are dropped.
        if self.head is None and len(self._fields) <= _MOST_FIELDS:
            self._fields.append((name, value.rstrip()))

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        status = parser.get_status_code()
        if self.complete or status < 200 or len(self._fields) > _MOST_FIELDS:
            return
        self.head = ResponseHead(_version(parser.get_http_version()), status, self._phrase, self._fields)
        if self._bodyless:
            self.on_message_complete()
            self._parser = HttpResponseParser(self)

    def on_message_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        if self.complete:
            return
        if self.head is None:
            self._interim += 1
            self._fields = []
            self._phrase = b""
            return
        self.complete = True
        self._body_end = len(self.pieces)
        self.keep_alive = bool(parser.should_keep_alive())
