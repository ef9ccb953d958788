"""The header fields of a request that goes out: those of every request prepared once, its own beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from twisted.web.http_headers import Headers

Field = tuple[bytes, bytes]
Fields = Sequence[Field]


class NamedFields(list[Field]):
    """Header fields in the order of their coming, which can be asked for by name. See :func:`by_name`.

    :ivar last: the last value of each field, by its name in lower case.
    """

    __slots__ = ("last",)

    last: dict[bytes, bytes]


def by_name(fields: Fields) -> NamedFields:
    """*fields*, to be asked for by name."""
    if isinstance(fields, NamedFields):
        return fields
    named = NamedFields(fields)
    named.last = {name.lower(): value for name, value in fields}
    return named


class FixedFields:
    """Fields that every request to one origin carries, rendered once.

    :param fields: Host first.
    :ivar settled: names in lower case that nobody adds, as bytes and as text: theirs, and Cookie, for what one client's
        answer brought must not go out with another's request.
    :raise ValueError: one contains CR, LF or NUL.
    """

    __slots__ = ("fields", "lines", "settled")

    def __init__(self, fields: Fields) -> None:
        self.fields = tuple(fields)
        self.lines = render(fields)
        names = {b"cookie", *(name.lower() for name, _ in fields)}
        self.settled: frozenset[str | bytes] = frozenset([*names, *(name.decode("latin-1") for name in names)])


class OutgoingHeaders(Headers):
    """The *fixed* fields, and *own* ones of this request.

    Agents that wrap others copy the headers and ask for single ones: both cost nothing here. What they would add under
    a settled name is taken to be there, and left out (such as the Accept-Encoding of an agent that would decode).
    """

    __slots__ = ("_fixed", "_own")

    def __init__(self, fixed: FixedFields, own: Fields) -> None:
        self._fixed = fixed
        self._own = own

    def fields(self) -> list[Field]:
        """All of them, in order."""
        return [*self._fixed.fields, *self._own]

    def lines(self) -> bytes:
        """All of them, each with its CRLF.

        :raise ValueError: one contains CR, LF or NUL.
        """
        return self._fixed.lines + render(self._own)

    # As Headers.

    def copy(self) -> OutgoingHeaders:
        # They are made for one request, and nobody looks at them after it: what is added to a copy may be added here.
        return self

    def hasHeader(self, name: str | bytes) -> bool:
        if name.lower() in self._fixed.settled:
            return True
        low = _as_bytes(name).lower()
        return any(own.lower() == low for own, _ in self._own)

    def addRawHeader(self, name: str | bytes, value: str | bytes) -> None:
        if name.lower() not in self._fixed.settled:
            self._own = [*self._own, (_as_bytes(name), _as_bytes(value))]

    def getRawHeaders(self, name: Any, default: Any = None) -> Any:
        return self._whole().getRawHeaders(name, default)

    def getAllRawHeaders(self) -> Iterator[tuple[bytes, Sequence[bytes]]]:
        return self._whole().getAllRawHeaders()

    def setRawHeaders(self, name: str | bytes, values: Sequence[str | bytes]) -> None:
        self.removeHeader(name)
        for value in values:
            self.addRawHeader(name, value)

    def removeHeader(self, name: str | bytes) -> None:
        low = _as_bytes(name).lower()
        self._own = [field for field in self._own if field[0].lower() != low]

    def _whole(self) -> Headers:
        whole = Headers()
        for name, value in self.fields():
            whole.addRawHeader(name, value)
        return whole

    def __eq__(self, other: object) -> bool:
        return self._whole() == (other._whole() if isinstance(other, OutgoingHeaders) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        # Not the values: one is the provider's key.
        return f"<OutgoingHeaders {[name for name, _ in self.fields()]}>"


def _as_bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else text


def render(fields: Fields) -> bytes:
    """*fields*, each with its CRLF.

    :raise ValueError: one contains CR, LF or NUL (RFC 9110 section 5.5), and would be read as something else.
    """
    lines = b"".join([b"%b: %b\r\n" % field for field in fields])
    if lines.count(b"\n") != len(fields) or lines.count(b"\r") != len(fields) or b"\0" in lines:
        raise ValueError("A header field to be sent contains CR, LF or NUL.")
    return lines


def media_type(fields: Fields) -> bytes:
    """What Content-Type says, in lower case and without parameters; empty if there is none."""
    for name, value in fields:
        if name.lower() == b"content-type":
            return value.partition(b";")[0].strip().lower()
    return b""
