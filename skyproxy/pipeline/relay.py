"""From a provider's answer to the client: bytes as they come, at the client's pace, and an honest end."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Protocol

from twisted.internet.interfaces import IPushProducer

from skyproxy.errors import InvalidRequest, SkyproxyError, UpstreamBroken
from skyproxy.formats import json_body
from skyproxy.formats.error_body import masker, shaped
from skyproxy.formats.openai.bodies import text_length, usage_of
from skyproxy.formats.openai.reasoning import StreamStripper, strip_answer
from skyproxy.formats.openai.stream_inspector import StreamInspector
from skyproxy.formats.openai.stream_state import JUST_TEXT, Asked, StreamState
from skyproxy.formats.sse import error_event
from skyproxy.http.common.headers import Fields, media_type
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.whole_body import Whole, is_readable, read_body, read_json

# What a client can use. A list of what may pass, not of what may not: a provider's cookies, hop-by-hop headers
# (RFC 9110 section 7.6.1) and whatever it names in Connection have no way through.
_PASSED = frozenset(
    {b"content-type", b"content-disposition", b"retry-after", b"retry-after-ms", b"x-should-retry", b"cf-ray"}
)
_PASSED_PREFIXES = (b"x-ratelimit-", b"ratelimit", b"openai-")
_PROVIDER_IDS = frozenset({b"x-request-id", b"request-id", b"x-generation-id"})


_LONGEST_NAME = 100
"""Bytes of a field's name: none that means something to a client is longer, and names are remembered."""


class Client(Protocol):
    """Where an answer goes. ``web`` implements it on a request of twisted.web.

    :ivar started: whether a status line has gone out, so that no other can.
    :ivar streamed: whether the answer goes out as it comes.
    :ivar status: that of the answer; None before.
    :ivar first_byte_at: when its first byte was sent, on the reactor's clock (seconds).
    :ivar bytes_out: sent of its body.
    """

    started: bool
    streamed: bool
    status: int | None
    first_byte_at: float | None
    bytes_out: int

    def answer(self, status: int, headers: Fields, body: bytes) -> None:
        """Send a whole answer, and finish."""

    def stream(self, status: int, headers: Fields, body: bytes) -> None:
        """Send an answer that is a stream, all of whose *body* has come, and finish."""

    def start(self, status: int, headers: Fields, producer: IPushProducer, first: bytes = b"") -> None:
        """Send the head of a streamed answer, and the *first* of its bytes that are there.

        :param producer: paused while the client does not read.
        """

    def write(self, data: bytes) -> None:
        """Send the next bytes of a streamed answer."""

    def finish(self) -> None:
        """End a streamed answer as complete."""

    def cut(self, last: bytes) -> None:
        """Send *last*, then close the connection in a way that cannot be taken for a complete answer."""


async def relay(
    answer: Answer,
    client: Client,
    model: str | None,
    *,
    asked: Asked = JUST_TEXT,
    strip_reasoning: bool = False,
    secrets: Collection[str] = (),
) -> StreamState | None:
    """Bring *answer* to *client*, whole or as it comes, whichever it is.

    :param model: what the client asked for: a whole JSON answer carries this name. None where the answer may be
        anything, audio say, which goes down as it is.
    :param asked: what the client wants of a stream, by which it is known when that is over.
    :param strip_reasoning: whether what the model thought is left out.
    :param secrets: the provider's keys, which errors shall not show.
    :return: what is known of a whole answer; None of a stream, and where the answer may be anything.
    :raise UpstreamBroken: not an answer to this kind of request, or not a complete one. When ``client.started``, the
        client has seen the cut.
    :raise UpstreamTimeout: likewise.
    """
    if answer.whole is not None and model is not None:
        return _pass_on(answer.whole, answer, client, model, strip_reasoning=strip_reasoning)
    headers = passable(answer.headers)
    if answer.status >= 400:
        await _pass_on_error(answer, client, headers, secrets)
        return None
    if answer.is_event_stream:
        stripper = StreamStripper() if strip_reasoning else None
        inspector = None
        if model is not None and not answer.is_encoded:
            inspector = answer.inspector
            inspector.asked = asked
        await _relay_events(answer, client, headers, inspector, stripper, secrets)
        return None
    if model is None or answer.too_large:
        await _relay_bytes(answer, client, headers)
        return None
    whole = await read_json(answer.body, answer.headers)
    return _pass_on(whole, answer, client, model, strip_reasoning=strip_reasoning)


def passable(headers: Fields) -> list[tuple[bytes, bytes]]:
    """Those of a provider's *headers* that go down. Its request id goes by a name of its own, beside skyproxy's."""
    return [
        (passed, value)
        for name, value in headers
        if len(name) <= _LONGEST_NAME and (passed := _passed_as(name)) is not None
    ]


@lru_cache(maxsize=64)
def _passed_as(name: bytes) -> bytes | None:
    """The name by which the field *name* goes down; None if it does not. The same few come with every answer."""
    low = name.lower()
    if low in _PROVIDER_IDS:
        return b"X-Upstream-Request-Id"
    return name if low in _PASSED or low.startswith(_PASSED_PREFIXES) else None


def named(whole: Whole, model: str, *, strip_reasoning: bool) -> bytes:
    """The answer *whole* with *model* as its model.

    :raise UpstreamBroken: it cannot be written as the same values.
    """
    try:
        if not strip_reasoning:
            return json_body.with_model(whole.data, whole.value, model)
        value = json_body.parse(whole.data)
        strip_answer(value)
        if "model" in value:
            value["model"] = model
        return json_body.encode(value)
    except InvalidRequest:
        raise UpstreamBroken(
            "The provider's answer cannot be passed on: it has too many levels, or too large an integer."
        ) from None


def _pass_on(whole: Whole, answer: Answer, client: Client, model: str, *, strip_reasoning: bool) -> StreamState:
    client.answer(answer.status, passable(answer.headers), named(whole, model, strip_reasoning=strip_reasoning))
    usage = usage_of(whole.value)
    if usage:
        return StreamState(complete=True, done=True, usage=usage)
    return StreamState(complete=True, done=True, generated=text_length(whole.value))


async def _pass_on_error(answer: Answer, client: Client, headers: Fields, secrets: Collection[str]) -> None:
    """An error goes down with its status, in OpenAI's shape whatever it came in, and without the provider's keys."""
    mask = masker(secrets)
    kind = media_type(answer.headers)
    if answer.is_encoded and not is_readable(answer.headers):
        # What it says cannot be read, but its status can.
        data = b""
    else:
        data = await read_body(answer.body, answer.headers)
    fields = [(name, mask(value)) for name, value in headers if name.lower() not in _OF_THE_BODY]
    body = shaped(data, kind, answer.status, mask)
    client.answer(answer.status, [*fields, (b"Content-Type", b"application/json")], body)


async def _relay_events(
    answer: Answer,
    client: Client,
    headers: Fields,
    inspector: StreamInspector | None,
    stripper: StreamStripper | None,
    secrets: Collection[str],
) -> None:
    """Relay an event stream.

    :param inspector: reads it; None: nobody knows what it says, or when it is over.
    """
    if answer.is_encoded:
        raise UpstreamBroken("The provider sent a compressed stream, which was not asked for.")
    headers = [*headers, (b"Cache-Control", b"no-cache"), (b"X-Accel-Buffering", b"no")]
    if answer.data and (inspector is None or inspector.complete or inspector.error):
        data = _masked(answer.data, secrets)
        client.stream(answer.status, headers, data if stripper is None else stripper.feed(data) + stripper.flush())
        return
    body = answer.body
    # The status line waits for the first event: a provider that fails before it gets a proper status.
    if await body.first() is not None:
        raise UpstreamBroken("The provider sent an empty stream.")
    body.stream()
    first = _masked(body.taken(), secrets)
    write = client.write

    def pass_on(data: bytes) -> None:
        if inspector is None or not inspector.ordinary:
            data = _masked(data, secrets)
        if stripper is not None:
            data = stripper.feed(data)
        write(data)

    try:
        client.start(answer.status, headers, body, first if stripper is None else stripper.feed(first))
        del first  # A client that reads slowly need not have it kept for as long as its stream lasts.
        await body.flow(pass_on)
        if stripper is not None:
            write(stripper.flush())
        if inspector is not None and not inspector.complete and not inspector.error:
            raise UpstreamBroken("The provider's stream ended before its answer was complete.")
    except SkyproxyError as error:
        # What fails after all has come takes nothing from the answer.
        if inspector is None or not inspector.cannot_be_cut:
            # A provider that has said what is wrong need not be spoken over.
            said = inspector is not None and inspector.error is not None
            client.cut(b"" if said else error_event(error, inspector is None or inspector.ends_on_boundary))
            raise
    except Exception:
        client.cut(b"")
        raise
    client.finish()


def _masked(data: bytes, secrets: Collection[str]) -> bytes:
    return masker(secrets)(data) if b'"error"' in data else data


async def _relay_bytes(answer: Answer, client: Client, headers: list[tuple[bytes, bytes]]) -> None:
    body = answer.body
    headers.extend((name, value) for name, value in answer.headers if name.lower() in _LENGTHS)
    if await body.first() is not None:
        client.answer(answer.status, [h for h in headers if h[0].lower() not in _LENGTHS], b"")
        return
    body.stream()
    try:
        client.start(answer.status, headers, body, body.taken())
        await body.flow(client.write)
    except Exception:
        client.cut(b"")
        raise
    client.finish()


_OF_THE_BODY = frozenset({b"content-type", b"content-disposition"})
_LENGTHS = frozenset({b"content-length", b"content-encoding"})
