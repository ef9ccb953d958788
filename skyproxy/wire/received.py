"""Header fields that came, as twisted.web wants to see them, built when somebody looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.web.http_headers import Headers, _nameEncoder

Fields = Sequence[tuple[bytes, bytes]]


class ReceivedHeaders(Headers):
    """Headers over the *fields* that a parser found: many a message is handled without a look at most of them."""

    __slots__ = ("_built", "_fields", "_last")

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._built: dict[bytes, list[bytes]] | None = None
        self._last: dict[bytes, bytes] | None = None

    def last(self, name: bytes) -> bytes | None:
        """The last value of the field *name*, which is in lower case."""
        last = self._last
        if last is None:
            last = self._last = {name.lower(): value for name, value in self._fields}
        return last.get(name)

    @property
    def _rawHeaders(self) -> dict[bytes, list[bytes]]:  # type: ignore[override]
        built = self._built
        if built is None:
            built = self._built = {}
            canonical = _nameEncoder.encode
            for name, value in self._fields:
                built.setdefault(canonical(name), []).append(value)
        return built

    def copy(self) -> Headers:
        """An independent copy."""
        return Headers(self._rawHeaders)


class UndecodedHeaders(ReceivedHeaders):
    """Those of a response, without Content-Encoding: an agent that would decode by it, without a limit, does not."""

    __slots__ = ()

    def __init__(self, fields: Fields) -> None:
        super().__init__([field for field in fields if field[0].lower() != b"content-encoding"])

    def getRawHeaders(self, name: Any, default: Any = None) -> Any:
        """As of Headers; asked for Content-Encoding, as for every response, without building anything."""
        return default if name == b"Content-Encoding" else super().getRawHeaders(name, default)
