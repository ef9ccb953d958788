"""Header fields that came, as twisted.web wants to see them, built when somebody looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.web.http_headers import Headers, _nameEncoder

Fields = Sequence[tuple[bytes, bytes]]


class LazyHeaders(Headers):
    """Headers over the *fields* that a parser found: many a message is handled without a look at most of them."""

    __slots__ = ("_built", "_fields")

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._built: dict[bytes, list[bytes]] | None = None

    @property
    def _rawHeaders(self) -> dict[bytes, list[bytes]]:  # type: ignore[override]
        built = self._built
        if built is None:
            built = self._built = self._build()
        return built

    def _build(self) -> dict[bytes, list[bytes]]:
        built: dict[bytes, list[bytes]] = {}
        canonical = _nameEncoder.encode
        for name, value in self._fields:
            built.setdefault(canonical(name), []).append(value)
        return built

    def copy(self) -> Headers:
        """An independent copy."""
        return Headers(self._rawHeaders)


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
        self._built = None
        self.last = last

    def _build(self) -> dict[bytes, list[bytes]]:
        split = [line.partition(b":") for line in self._lines.split(b"\r\n")[1:-2]]
        self._fields = [(name, value.strip()) for name, _, value in split]
        return super()._build()


class UndecodedHeaders(LazyHeaders):
    """Those of a response, without Content-Encoding: an agent that would decode by it, without a limit, does not.

    Such an agent asks every response for that field, and puts back what it does not know: neither builds anything here.
    """

    __slots__ = ()

    def _build(self) -> dict[bytes, list[bytes]]:
        built = super()._build()
        built.pop(b"Content-Encoding", None)
        return built

    def getRawHeaders(self, name: Any, default: Any = None) -> Any:
        """As of Headers."""
        return default if name == b"Content-Encoding" else super().getRawHeaders(name, default)

    def setRawHeaders(self, name: Any, values: Any) -> None:
        """As of Headers; there is never a Content-Encoding."""
        if name != b"Content-Encoding":
            super().setRawHeaders(name, values)
