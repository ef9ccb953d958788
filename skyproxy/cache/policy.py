"""Which answers are worth keeping, and what of them."""

from __future__ import annotations

from skyproxy.cache.subscriber_client import Field, Fields
from skyproxy.formats.openai.bodies import as_object, error_of
from skyproxy.formats.openai.stream_inspector import StreamInspector

# A list of what is kept. Ids, rate limits, Retry-After and timings are of the first request, and mean nothing later.
_KEPT = frozenset(
    {
        b"content-type",
        b"content-disposition",
        b"content-encoding",
        b"content-length",
        b"cache-control",
        b"x-accel-buffering",
        b"openai-model",
        b"openai-version",
        b"x-skyproxy-provider",
        b"x-skyproxy-model",
    }
)

# https://platform.openai.com/docs/api-reference/responses/object
_ENDED = frozenset({"completed", "incomplete"})


def kept_headers(headers: Fields) -> tuple[Field, ...]:
    """Those of an answer's *headers* that are true of it whenever it is given again."""
    return tuple((name, value) for name, value in headers if name.lower() in _KEPT)


def complete_and_good(status: int, headers: Fields, body: bytes, *, stream: bool) -> bool:
    """Whether an answer that came to its end is complete and a success, as far as it can be told.

    A stream that neither says that it is complete nor announced its length may have been cut without a sign: it is
    taken for cut. So are, as failures, errors that providers report under status 200.
    """
    if status != 200 or not body:
        return False
    if not stream:
        return _good_object(body)
    kind = media_type(headers)
    if kind == b"text/event-stream":
        return _good_events(body)
    if _value(headers, b"content-length") != b"%d" % len(body):
        return False
    return kind != b"application/json" or _good_object(body)


def media_type(headers: Fields) -> bytes:
    """Of the body, in lower case and without parameters; empty if it has none."""
    return _value(headers, b"content-type").partition(b";")[0].strip().lower()


def _value(headers: Fields, wanted: bytes) -> bytes:
    return next((value for name, value in headers if name.lower() == wanted), b"")


def _good_object(body: bytes) -> bool:
    answer = as_object(body)
    if not answer or error_of(answer):
        return False
    return answer.get("object") != "response" or answer.get("status") in _ENDED


def _good_events(body: bytes) -> bool:
    inspector = StreamInspector()
    inspector.feed(body)
    inspector.end()
    return inspector.complete and inspector.error is None
