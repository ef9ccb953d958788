"""Answers that are kept whole before anything of them goes down."""

from __future__ import annotations

from typing import Any, NamedTuple

from skyproxy.errors import UpstreamBroken, UpstreamUnusable
from skyproxy.formats.decompress import Inflater, TooLarge
from skyproxy.formats.openai.bodies import error_of, read_answer, text_length
from skyproxy.formats.openai.choices import end_of
from skyproxy.formats.openai.stream_state import NO_USAGE, StreamState
from skyproxy.formats.openai.token_counts import counts_completion, usage_of
from skyproxy.formats.reported import reported
from skyproxy.http.common.headers import Fields, media_type
from skyproxy.upstream.exchange.body import Body
from skyproxy.upstream.exchange.buffered_bytes import LARGEST_HELD_BYTES

LARGEST_BYTES = LARGEST_HELD_BYTES
"""Bytes of an answer that must be read whole: an error, one whose reasoning is taken out, one that came compressed."""

LARGEST_INFLATED_BYTES = 8 * 1024 * 1024
"""Bytes of one that came compressed, made plain. Nobody asks for that, so it is rare; and a few kilobytes can stand for
megabytes, of which each takes the event loop's time and memory all at once."""


_CODINGS = frozenset(
    {
        *(b"aes128gcm", b"br", b"compress", b"dcb", b"dcz", b"deflate", b"exi", b"gzip", b"pack200-gzip"),
        *(b"x-compress", b"x-gzip", b"zstd"),
    }
)
"""What a body may be encoded by (https://www.iana.org/assignments/http-parameters). Anything else that servers write
there, such as the charset or nothing, is no coding: clients ignore it.
"""

_READABLE = frozenset({b"gzip", b"x-gzip", b"deflate"})

_OF_CHOICES = frozenset({"chat.completion", "text_completion"})

_OVER = frozenset({"completed", "incomplete"})
"""Statuses of a response that is an answer
(https://platform.openai.com/docs/api-reference/responses/object)."""


class Whole(NamedTuple):
    """A whole answer in JSON.

    :ivar data: as it came, inflated if it came compressed.
    :ivar value: what it says.
    :ivar error: what the provider reports in it.
    """

    data: bytes
    value: dict[str, Any]
    error: dict[str, Any] | None = None

    def state(self, dialect: str = "openai") -> StreamState:
        """What is known of it."""
        value, usage = self.value, usage_of(self.value)
        reason, says = end_of(value)
        return StreamState(
            complete=bool(value) and (value.get("object") != "response" or value.get("status") in _OVER),
            done=True,
            finish_reason=reason,
            error=self.error,
            usage=usage or NO_USAGE,
            generated=0 if usage and counts_completion(usage) else text_length(value),
            dialect=dialect,
            empty=reason is not None and not says,
        )


def _codings(headers: Fields) -> list[bytes]:
    """Those of the body, in the order in which it was encoded."""
    named = (value.lower().split(b",") for name, value in headers if name.lower() == b"content-encoding")
    return [coding for names in named for each in names if (coding := each.strip()) in _CODINGS]


def is_encoded(headers: Fields) -> bool:
    """Whether the body is compressed (nobody asked for it, but some do it all the same)."""
    return bool(_codings(headers))


def is_readable(headers: Fields) -> bool:
    """Whether a compressed body is compressed in a way that can be undone: not twice."""
    codings = _codings(headers)
    return len(codings) == 1 and codings[0] in _READABLE


def _inflater(headers: Fields) -> Inflater:
    codings = _codings(headers)
    if not is_readable(headers):
        named = b", ".join(codings).decode("ascii")
        raise UpstreamUnusable(f"The provider's answer is compressed ({named}), which was not asked for.")
    return Inflater(LARGEST_INFLATED_BYTES, bare=codings == [b"deflate"])


async def read_body(body: Body, headers: Fields) -> bytes:
    """All of *body*.

    :raise UpstreamBroken: it is cut, or not compressed as *headers* say.
    :raise UpstreamUnusable: it is over :data:`LARGEST_BYTES`, inflates to more than :data:`LARGEST_INFLATED_BYTES`, or
        cannot be inflated.
    :raise UpstreamTimeout: a timer fired.
    """
    chunks: list[bytes] = []
    size = 0
    inflater = _inflater(headers) if is_encoded(headers) else None

    def take(data: bytes) -> None:
        nonlocal size
        if inflater is not None:
            try:
                data = inflater.feed(data)
            except ValueError as error:
                chunks.clear()
                body.fail(_unreadable(error))
                return
        size += len(data)
        if size > LARGEST_BYTES:
            chunks.clear()
            body.fail(UpstreamUnusable(f"The provider's answer is over {LARGEST_BYTES} bytes."))
        else:
            chunks.append(data)

    try:
        await body.flow(take)
    except BaseException:
        body.put_back(chunks)
        raise
    if inflater is not None:
        try:
            inflater.end()
        except ValueError as error:
            raise _unreadable(error) from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def plain(data: bytes, headers: Fields) -> bytes:
    """The body *data*, inflated if it is compressed.

    :raise UpstreamBroken: it is not compressed as *headers* say.
    :raise UpstreamUnusable: it inflates to more than :data:`LARGEST_INFLATED_BYTES`, or cannot be inflated.
    """
    if not is_encoded(headers):
        return data
    inflater = _inflater(headers)
    try:
        made = inflater.feed(data)
        inflater.end()
        return made
    except ValueError as error:
        raise _unreadable(error) from None


def _unreadable(error: ValueError) -> UpstreamBroken:
    kind = UpstreamUnusable if isinstance(error, TooLarge) else UpstreamBroken
    return kind(f"The provider's compressed answer cannot be read: {error}.")


async def read_json(body: Body, headers: Fields, dialect: str = "openai") -> Whole:
    """The JSON object that *body* is.

    :raise UpstreamBroken: it is none; or as :func:`read_body`.
    :raise UpstreamReported: it is an error, although the status says that all is well.
    """
    return json_of(await read_body(body, headers), headers, dialect)


def json_of(data: bytes, headers: Fields, dialect: str = "openai") -> Whole:
    """The JSON object that *data*, which is not compressed, says.

    :param dialect: of the provider.

    :raise UpstreamBroken: it says none, or nothing.
    :raise UpstreamReported: it is an error, although the status says that all is well.
    """
    value = read_answer(data)
    if not isinstance(value, dict):
        shown = media_type(headers).decode("ascii", "replace")[:80] or "no content type"
        told = f"The provider's answer ({shown}) is not the JSON object that was asked for."
        if "html" in shown:
            told += (
                " It is a web page: see whether base_url is that of the API, and whether this network wants a login."
            )
        raise UpstreamBroken(told)
    error = error_of(value, silent=True)
    # A response that has failed is an answer, which its client reads as one; and so is one that breaks off.
    if error is not None and value.get("object") != "response" and not text_length(value):
        raise reported(error, dialect)
    # Google leaves them out where it has none (https://github.com/michelle-avery/custom-conversation/issues/24).
    has_choices = value.get("choices", value.get("object") not in _OF_CHOICES)
    if error is None and not has_choices and not text_length(value):
        raise UpstreamBroken("The provider's answer says nothing: it has no choices.")
    return Whole(data, value, error)
