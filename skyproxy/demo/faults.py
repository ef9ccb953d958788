"""What a client asks of the demo server by the model's name: ``guard;chunks=100;delay=0.1;cut=3``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Faults:
    """How an answer is to be given. What says nothing else holds for every endpoint, streamed or not.

    An aborted or closed connection is that under HTTP/2, too: it ends every stream.

    How much, and when (a call of a tool has the number of pieces, the size and the text that its arguments have):

    :ivar chunks: the number of pieces of content.
    :ivar delay: seconds between the pieces of a stream.
    :ivar first: seconds before the head of the answer.
    :ivar head: seconds between the head, which is then sent at once, and the body.
    :ivar opening: seconds between the opening of a stream (comments, the role) and its content.
    :ivar size: bytes of content, padded or cut to; of each piece in a stream.
    :ivar text: the content.
    :ivar think: ``""`` begins the content with ``<think>…</think>``; ``"field"`` gives ``reasoning_content``
        (chat only).
    :ivar usage: False leaves the token counts out.
    :ivar body: the body, percent-encoded, in place of any other.
    :ivar content_type: likewise, what it is called.

    What fails:

    :ivar status: the answer is an error of this status.
    :ivar retry_after: the Retry-After header, as it is.
    :ivar retry_date: the Retry-After header as the date that many seconds from now.
    :ivar retry_after_ms: the retry-after-ms header, as it is.
    :ivar ratelimit_reset: x-ratelimit-reset-requests, as it is, beside an x-ratelimit-remaining-requests of 0.
    :ivar fail: only this many requests with exactly this model string fail (by 503 if nothing else is said);
        later ones succeed.
    :ivar reset: abort the connection before any byte of an answer.
    :ivar hang: never answer.
    :ivar cut: abort the connection after this many pieces; 0 is after the head. A body that is not
        streamed is cut in half.
    :ivar close_clean: end the body properly, but too early, as `cut` counts.
    :ivar error_in_stream: report an error within the stream after this many pieces, and end it without
        ``[DONE]``; not streamed: an error object under status 200.
    :ivar end: what comes after all of the body, which is not ended then: nothing (``hang``), or the connection is
        aborted (``abort``).
    :ivar done: False leaves ``[DONE]`` out.
    :ivar empty: status 200 with no body at all.
    :ivar lie_length: a Content-Length larger than the body, and then the end of the connection.
    :ivar bomb: 10 MB that inflate to 10 GB.
    :ivar redirect: 302 to a port where nothing listens.
    :ivar junk: bytes on the connection behind the answer: ``""`` noise, ``"answer"`` a whole answer that nobody
        asked for. ``"status"`` sends noise where the status line belongs, and closes.

    What is odd, but allowed:

    :ivar comments: comment lines before and between the events.
    :ivar crlf: events with CRLF line ends.
    :ivar split: the body in small writes of odd sizes, also within characters, one per turn of the reactor.
    :ivar gzip: a body with Content-Encoding: gzip, though nobody asked for it.
    :ivar headers: the number of further response headers.
    :ivar cookie: a Set-Cookie header.
    :ivar ratelimit: OpenAI's x-ratelimit headers.
    :ivar keep_alive: seconds in a Keep-Alive header.
    :ivar keep_alive_close: close the connection after the answer, unannounced.
    """

    chunks: int | None = None
    delay: float = 0.02
    first: float = 0.0
    head: float | None = None
    opening: float = 0.0
    size: int | None = None
    text: str | None = None
    think: str | None = None
    usage: bool = True
    body: str | None = None
    content_type: str | None = None
    status: int | None = None
    retry_after: str | None = None
    retry_date: float | None = None
    retry_after_ms: str | None = None
    ratelimit_reset: str | None = None
    fail: int | None = None
    reset: bool = False
    hang: bool = False
    cut: int | None = None
    close_clean: int | None = None
    error_in_stream: int | None = None
    end: str | None = None
    done: bool = True
    empty: bool = False
    lie_length: bool = False
    bomb: bool = False
    redirect: bool = False
    junk: str | None = None
    comments: bool = False
    crlf: bool = False
    split: bool = False
    gzip: bool = False
    headers: int = 0
    cookie: bool = False
    ratelimit: bool = False
    keep_alive: int | None = None
    keep_alive_close: bool = False

    @property
    def ends_after(self) -> int | None:
        """The number of pieces after which a stream goes wrong, if it does."""
        stops = [stop for stop in (self.cut, self.close_clean, self.error_in_stream) if stop is not None]
        return min(stops, default=None)

    def after(self, failed: int) -> Faults:
        """What `fail` makes of these for a request with the same model string as *failed* earlier ones."""
        if self.fail is None:
            return self
        healed = replace(self, **_WITHOUT_FAILURE)
        if failed >= self.fail:
            return healed
        return replace(self, status=503) if replace(self, fail=None) == healed else self


_WITHOUT_FAILURE: Mapping[str, Any] = {
    "fail": None,
    "status": None,
    "retry_after": None,
    "retry_date": None,
    "retry_after_ms": None,
    "ratelimit_reset": None,
    "reset": False,
    "hang": False,
    "cut": None,
    "close_clean": None,
    "error_in_stream": None,
    "end": None,
    "body": None,
    "content_type": None,
    "empty": False,
    "lie_length": False,
    "bomb": False,
    "redirect": False,
    "junk": None,
}


def parse_faults(model: str) -> Faults:
    """The faults that *model* asks for.

    :raise ValueError: an unknown name, or a value that does not fit it; the message is for the client.
    """
    values: dict[str, Any] = {}
    for part in model.split(";")[1:]:
        name, _, value = part.partition("=")
        name = name.strip()
        read = _READERS.get(name)
        if read is None:
            raise ValueError(f"The demo server knows no fault {name!r}; it knows {', '.join(_READERS)}.")
        try:
            values[name] = read(value.strip())
        except ValueError:
            raise ValueError(f"The fault {name!r} cannot be {value!r}.") from None
    return Faults(**values)


def _count(value: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise ValueError(value)
    return int(value)


def _seconds(value: str) -> float:
    seconds = float(value)
    if not isfinite(seconds) or seconds < 0:
        raise ValueError(value)
    return seconds


def _status(value: str) -> int:
    status = _count(value)
    if not 200 <= status <= 999:
        raise ValueError(value)
    return status


def _switch(value: str) -> bool:
    if value not in ("", "yes", "no"):
        raise ValueError(value)
    return value != "no"


def _one_of(*words: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in words:
            raise ValueError(value)
        return value

    return read


_READERS: Mapping[str, Callable[[str], Any]] = {
    "chunks": _count,
    "delay": _seconds,
    "first": _seconds,
    "head": _seconds,
    "opening": _seconds,
    "size": _count,
    "text": unquote,
    "think": _one_of("", "field"),
    "usage": _switch,
    "body": unquote,
    "content_type": unquote,
    "status": _status,
    "retry_after": str,
    "retry_date": _seconds,
    "retry_after_ms": str,
    "ratelimit_reset": str,
    "fail": _count,
    "reset": _switch,
    "hang": _switch,
    "cut": _count,
    "close_clean": _count,
    "error_in_stream": _count,
    "end": _one_of("hang", "abort"),
    "done": _switch,
    "empty": _switch,
    "lie_length": _switch,
    "bomb": _switch,
    "redirect": _switch,
    "junk": _one_of("", "answer", "status"),
    "comments": _switch,
    "crlf": _switch,
    "split": _switch,
    "gzip": _switch,
    "headers": _count,
    "cookie": _switch,
    "ratelimit": _switch,
    "keep_alive": _count,
    "keep_alive_close": _switch,
}
