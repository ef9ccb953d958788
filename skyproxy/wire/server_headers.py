"""The header fields of a request, as twisted.web wants to see them, built when somebody looks."""

from __future__ import annotations

from twisted.web.http_headers import Headers, _nameEncoder

from skyproxy.wire.server_head import Fields


class ReceivedHeaders(Headers):
    """Headers over the *fields* that a parser found: many a request is answered without a look at them."""

    __slots__ = ("_built", "_fields")

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._built: dict[bytes, list[bytes]] | None = None

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
