"""Which answers are worth keeping, and what of them."""

from __future__ import annotations

from skyproxy.formats.openai.bad_ends import bad_end_of
from skyproxy.formats.openai.stream_state import StreamState
from skyproxy.http.common.headers import Field, Fields

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


def kept_headers(headers: Fields) -> tuple[Field, ...]:
    """Those of an answer's *headers* that are true of it whenever it is given again."""
    return tuple((name, value) for name, value in headers if name.lower() in _KEPT)


def may_be_stored(status: int, state: StreamState | None) -> bool:
    """Whether an answer that came to its end is complete and a success, as far as is known.

    A stream that does not say that it is complete may have been cut without a sign: it is taken for cut. So are, as
    failures, errors that providers report under status 200; and of what nobody has read nothing is known. Whoever asks
    again for what a filter has taken something out of, or all, wants another answer; and so does who got one that says
    nothing.

    :param state: what is known of the answer; None if nothing is.
    """
    if status != 200 or state is None or not state.complete or state.error is not None:
        return False
    end = bad_end_of(state.finish_reason)
    return (end is None or not end.of_filter) and not state.empty
