"""Cuts the bytes of a provider's connection into responses. No I/O."""

from __future__ import annotations

import re
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from twisted.web.iweb import UNKNOWN_LENGTH

from skyproxy.http.common.headers import by_name
from skyproxy.http.common.lazy_headers import UndecodedHeaders

_LARGEST_HEAD = 256 * 1024
_MOST_FIELDS = 500
_MOST_INTERIM = 20
_END_OF_HEAD: Final = b"\r\n\r\n"

# These only take apart what llhttp, which is strict, has accepted.
_STATUS_LINE = re.compile(rb"HTTP/(\d)\.(\d) \d+ ?([^\r]*)")
_FIELD = re.compile(rb"([^:]+):[ \t]*((?:[^\r]*[^\r \t])?)[ \t]*\r\n")

_KEEP_ALIVE_TIMEOUT = re.compile(rb"(?:^|[,;\s])timeout\s*=\s*\"?(\d{1,9})", re.IGNORECASE)


class BadResponse(Exception):
    """What came is not a response, or one that nobody should have to read."""


class ResponseHead(UndecodedHeaders):
    """Status and header fields of a response; as twisted.web's headers it has all fields but Content-Encoding.

    :param data: as it came, from the status line to the blank line. llhttp has accepted it.
    :ivar fields: in the order of their coming.
    :ivar keep_alive: seconds that the server says it keeps an idle connection; None if it does not say.
    """

    __slots__ = ("_data", "fields", "keep_alive", "status")

    def __init__(self, status: int, data: bytes) -> None:
        self._data = data
        self.status = status
        self.fields = self._fields = fields = by_name(_FIELD.findall(data, data.find(b"\r\n") + 2))
        self._made = None
        self.keep_alive = _timeout(fields.last[b"keep-alive"]) if b"keep-alive" in fields.last else None

    @property
    def version(self) -> tuple[bytes, int, int]:
        """Such as ``(b"HTTP", 1, 1)``."""
        line = self._line
        return b"HTTP", int(line[1]), int(line[2])

    @property
    def phrase(self) -> bytes:
        """That of the status line."""
        return self._line[3]

    @property
    def _line(self) -> re.Match[bytes]:
        line = _STATUS_LINE.match(self._data)
        assert line is not None
        return line

    @property
    def length(self) -> int | object:
        """Bytes of the body, or UNKNOWN_LENGTH."""
        said = self.fields.last.get(b"content-length")
        return UNKNOWN_LENGTH if said is None else int(said)

    @property
    def framed(self) -> bool:
        """Whether the end of the body can be distinguished from that of the connection."""
        last = self.fields.last
        coding = last.get(b"transfer-encoding", b"")
        return self.status in (204, 304) or b"content-length" in last or coding.lower().endswith(b"chunked")


def _timeout(keep_alive: bytes) -> float | None:
    found = _KEEP_ALIVE_TIMEOUT.search(keep_alive)
    return None if found is None else float(found[1])


def _bad(error: Exception) -> BadResponse:
    if isinstance(error, HttpParserUpgrade):
        return BadResponse("It changes to another protocol, which nobody asked for.")
    if isinstance(error.__context__, BadResponse):
        return error.__context__
    return BadResponse(f"{error}.")


class ResponseReader:
    """Reads the responses on one connection with llhttp, strictly.

    llhttp says where a head is complete, and frames the body; a head is taken apart in one go, which is cheaper than to
    be called for each of its fields.

    :ivar head: of the response that is being read; None until its last byte is there.
    :ivar parts: of the body, that the last :meth:`receive` found.
    :ivar complete: whether the whole response has been read.
    :ivar keep_alive: whether the connection may carry another one; known when complete.
    """

    __slots__ = (
        "_body_end",
        "_bodyless",
        "_interim",
        "_parser",
        "_unread",
        "complete",
        "head",
        "keep_alive",
        "on_body",
        "parts",
    )  # fmt: skip

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.on_body = self.parts.append
        self._parser = HttpResponseParser(self)
        self.next(bodyless=False)

    def next(self, *, bodyless: bool) -> None:
        """Be ready for the next response.

        :param bodyless: it answers HEAD: no body follows, whatever its fields say.
        """
        self.head: ResponseHead | None = None
        self.complete = self.keep_alive = False
        self._body_end: int | None = None
        self._bodyless = bodyless
        self._interim = 0
        self._unread = b""

    def close(self) -> None:
        """Let go of the parser, which refers to this object as this does to it. Nothing can be read any more."""
        del self._parser

    @property
    def begun(self) -> bool:
        """Whether any byte of the response has come."""
        return self.head is not None or self._interim > 0 or bool(self._unread)

    def receive(self, data: bytes) -> None:
        """Read on.

        :raise BadResponse: this is not a response. What was found before it still holds.
        """
        self.parts.clear()
        if self.head is None:
            self._unread += data
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.complete:
                raise _bad(error) from None
            self.keep_alive = False
        if self._body_end is not None:
            del self.parts[self._body_end :]
        if len(self._unread) > _LARGEST_HEAD:
            raise BadResponse("A head that is too large.")

    # What llhttp calls.

    def on_message_begin(self) -> None:
        if self.complete:
            # Bytes that nobody asked for: whatever they are, the next response could be taken for another.
            self.keep_alive = False
            if self._body_end is None:
                self._body_end = len(self.parts)

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        # An empty line before a response is ignored by llhttp, too.
        data = self._unread.lstrip(b"\r\n")
        end = data.find(_END_OF_HEAD) + 2
        head = ResponseHead(self._parser.get_status_code(), data[:end])
        if len(head.fields) > _MOST_FIELDS:
            raise BadResponse("A head that is too large.")
        if head.status < 100:
            raise BadResponse("A status below 100.")
        if head.status < 200:
            # An interim response has no body, whatever its fields say.
            self._unread = data[end + 2 :]
            self._interim += 1
            if self._interim > _MOST_INTERIM:
                raise BadResponse("Interim responses without end.")
            return
        self.head = head
        self._unread = b""
        if self._bodyless:
            self.on_message_complete()
            self._body_end = 0
            self._parser = HttpResponseParser(self)

    def on_message_complete(self) -> None:
        if self.head is None or self.complete:
            return
        self.complete = True
        self.keep_alive = self._parser.should_keep_alive()
