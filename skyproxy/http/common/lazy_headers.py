"""Header fields that came, as twisted.web wants to see them, made when somebody looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from twisted.web.http_headers import Headers

from skyproxy.http.common.headers import Fields


class LazyHeaders(Headers):
    """Headers over the *fields* that a parser found: many a message is handled without a look at most of them.

    All that is public of Headers is asked of one that is made at the first look.
    """

    __slots__ = ("_fields", "_made")

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._made: Headers | None = None

    def _whole(self) -> Headers:
        made = self._made
        if made is None:
            made = self._made = self._make()
        return made

    def _make(self) -> Headers:
        made = Headers()
        for name, value in self._fields:
            made.addRawHeader(name, value)
        return made

    # As of Headers.

    def copy(self) -> Headers:
        """An independent copy."""
        return self._whole().copy()

    def hasHeader(self, name: Any) -> bool:
        return self._whole().hasHeader(name)

    def getRawHeaders(self, name: Any, default: Any = None) -> Any:
        return self._whole().getRawHeaders(name, default)

    def getAllRawHeaders(self) -> Iterator[tuple[bytes, Sequence[bytes]]]:
        return self._whole().getAllRawHeaders()

    def setRawHeaders(self, name: Any, values: Any) -> None:
        self._whole().setRawHeaders(name, values)

    def addRawHeader(self, name: Any, value: Any) -> None:
        self._whole().addRawHeader(name, value)

    def removeHeader(self, name: Any) -> None:
        self._whole().removeHeader(name)

    def __eq__(self, other: object) -> bool:
        return self._whole() == (other._whole() if isinstance(other, LazyHeaders) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._whole())


class RequestHeaders(LazyHeaders):
    """Those of a request.

    :param last: the last value of each field but Content-Length, by its name in lower case; kept under this name.
    """

    __slots__ = ("last",)

    def __init__(self, fields: Fields, last: Mapping[bytes, bytes]) -> None:
        super().__init__(fields)
        self.last = last


class ReceivedHeaders(RequestHeaders):
    """Those of a request over HTTP/1.1.

    :param lines: its head as it came. llhttp has accepted it.
    """

    __slots__ = ("_lines",)

    def __init__(self, lines: bytes, last: Mapping[bytes, bytes]) -> None:
        self._lines = lines
        self._made = None
        self.last = last

    def _make(self) -> Headers:
        split = [line.partition(b":") for line in self._lines.split(b"\r\n")[1:-2]]
        self._fields = [(name, value.strip()) for name, _, value in split]
        return super()._make()


class UndecodedHeaders(LazyHeaders):
    """Those of a response, without Content-Encoding: an agent that would decode by it, without a limit, does not.

    Such an agent asks every response for that field, and puts back what it does not know: neither makes anything here.
    """

    __slots__ = ()

    def _make(self) -> Headers:
        made = super()._make()
        made.removeHeader(b"Content-Encoding")
        return made

    def getRawHeaders(self, name: Any, default: Any = None) -> Any:
        """As of Headers."""
        return default if name == b"Content-Encoding" else super().getRawHeaders(name, default)

    def setRawHeaders(self, name: Any, values: Any) -> None:
        """As of Headers; there is never a Content-Encoding."""
        if name != b"Content-Encoding":
            super().setRawHeaders(name, values)
