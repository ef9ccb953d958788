"""Answers that are kept whole before anything of them goes down."""

from __future__ import annotations

from typing import Any, NamedTuple

from skyproxy import jsonbody
from skyproxy.errors import InvalidRequest, UpstreamBroken, UpstreamReported
from skyproxy.inflate import inflate
from skyproxy.sse import error_of
from skyproxy.upstream.body import Body
from skyproxy.wire.headers import Fields, media_type

LARGEST = 64 * 1024 * 1024
"""Bytes of an answer that is kept whole."""


class Whole(NamedTuple):
    """A whole answer in JSON.

    :ivar data: as it came, inflated if it came compressed.
    :ivar value: what it says.
    """

    data: bytes
    value: dict[str, Any]


def is_encoded(headers: Fields) -> bool:
    """Whether the body is compressed (nobody asked for it, but some do it all the same)."""
    return any(name.lower() == b"content-encoding" and value.lower() != b"identity" for name, value in headers)


async def read_body(body: Body, headers: Fields) -> bytes:
    """All of *body*.

    :raise UpstreamBroken: it is cut, or over :data:`LARGEST`, or not compressed as *headers* say.
    :raise UpstreamTimeout: a timer fired.
    """
    chunks: list[bytes] = []
    size = 0

    def take(data: bytes) -> None:
        nonlocal size
        size += len(data)
        if size > LARGEST:
            chunks.clear()
            body.fail(UpstreamBroken(f"The provider's answer is over {LARGEST} bytes."))
        else:
            chunks.append(data)

    await body.flow(take)
    return plain(chunks[0] if len(chunks) == 1 else b"".join(chunks), headers)


def plain(data: bytes, headers: Fields) -> bytes:
    """The body *data*, inflated if it is compressed.

    :raise UpstreamBroken: it is not compressed as *headers* say.
    """
    if not is_encoded(headers):
        return data
    try:
        return inflate(data, LARGEST)
    except ValueError as error:
        raise UpstreamBroken(f"The provider's compressed answer cannot be read: {error}.") from error


async def read_json(body: Body, headers: Fields) -> Whole:
    """The JSON object that *body* is.

    :raise UpstreamBroken: it is none; or as :func:`read_body`.
    :raise UpstreamReported: it is an error, although the status says that all is well.
    """
    return json_of(await read_body(body, headers), headers)


def json_of(data: bytes, headers: Fields) -> Whole:
    """The JSON object that *data*, which is not compressed, says.

    :raise UpstreamBroken: it says none.
    :raise UpstreamReported: it is an error, although the status says that all is well.
    """
    try:
        value = jsonbody.read(data)
    except InvalidRequest:
        shown = media_type(headers).decode("ascii", "replace")[:80] or "no content type"
        raise UpstreamBroken(f"The provider's answer ({shown}) is not the JSON object that was asked for.") from None
    error = error_of(value)
    if error is not None and not value.get("choices"):
        raise UpstreamReported(error)
    return Whole(data, value)
