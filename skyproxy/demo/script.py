"""Writes an answer down as steps, with the faults that were asked for."""

from __future__ import annotations

import gzip
import re
import time
import zlib
from collections.abc import Callable, Iterator
from email.utils import formatdate
from itertools import chain, cycle, islice

from skyproxy.demo.bomb import Bomb
from skyproxy.demo.faults import Faults
from skyproxy.demo.shapes import DONE, ApiError, Shape
from skyproxy.demo.steps import Act, Raw, RawHeaders, Reply, Step

_FLUSH = 0.02
"""Seconds for what was written to leave, before the connection is aborted."""

_ODD_SIZES = (1, 2, 1, 3, 5, 1, 8, 13, 21, 2, 34, 55)

_RUNS = re.compile(rb"[\x00-\x7f]+|[\x80-\xff]")
"""A byte of a longer character stands alone."""

_COMMENT = b": OPENROUTER PROCESSING\n\n"

_JUNK = {
    "": b"\x00\xffthe guard goes on muttering\r\n\r\n",
    "answer": b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{"object":"extra"}',
    "status": b"\x15\x03NONE SHALL PASS\r\n\r\n",
}

_JSON = b"application/json"

_FAR_TOO_LONG = 1 << 30


def error_reply(error: ApiError, body: bytes, more: RawHeaders) -> Reply:
    """An error that is no fault: the request was wrong, or one too many."""
    headers = [(b"Content-Type", _JSON), (b"Content-Length", b"%d" % len(body)), *more]
    if error.retry_after is not None:
        headers.append((b"Retry-After", error.retry_after.encode("latin-1", "replace")))
    return Reply(error.status, headers, iter((body,)))


def whole_reply(status: int, content_type: bytes, body: bytes, faults: Faults) -> Reply:
    """An answer given at once."""
    if faults.content_type is not None:
        content_type = faults.content_type.encode()
    headers: RawHeaders = [(b"Content-Type", content_type), *_odd_headers(faults)]
    if faults.empty:
        body = b""
    if faults.gzip:
        headers.append((b"Content-Encoding", b"gzip"))
        body = gzip.compress(body)
    if faults.close_clean is None and faults.end is None:
        length = len(body) + (1000 if faults.lie_length else 0)
        headers.append((b"Content-Length", b"%d" % length))
    return Reply(status, headers, _performed(faults, _whole(body, faults)))


def stream_reply(shape: Shape, faults: Faults, count_chunk: Callable[[], None]) -> Reply:
    """An answer given as an event stream; *count_chunk* is told of each piece of content."""
    headers: RawHeaders = [
        (b"Content-Type", (faults.content_type or "text/event-stream; charset=utf-8").encode()),
        (b"Cache-Control", b"no-cache"),
        *_odd_headers(faults),
    ]
    if faults.gzip:
        headers.append((b"Content-Encoding", b"gzip"))
    if faults.lie_length:
        headers.append((b"Content-Length", b"%d" % _FAR_TOO_LONG))
    return Reply(200, headers, _performed(faults, _stream(shape, faults, count_chunk)))


def bomb_reply(bomb: Bomb, faults: Faults) -> Reply:
    """An answer that nobody should inflate."""
    headers: RawHeaders = [(b"Content-Type", _JSON), (b"Content-Encoding", b"gzip"), *_odd_headers(faults)]
    return Reply(200, headers, _performed(faults, bomb.blocks()))


def redirect_reply(faults: Faults) -> Reply:
    """An answer that points to where nothing listens."""
    headers = [(b"Location", b"http://127.0.0.1:9/"), (b"Content-Length", b"0"), *_odd_headers(faults)]
    return Reply(302, headers, _performed(faults, iter((b"",))))


def _odd_headers(faults: Faults) -> Iterator[tuple[bytes, bytes]]:
    if faults.retry_after is not None:
        yield b"Retry-After", faults.retry_after.encode("latin-1", "replace")
    if faults.retry_date is not None:
        yield b"Retry-After", formatdate(time.time() + faults.retry_date, usegmt=True).encode("ascii")
    if faults.retry_after_ms is not None:
        yield b"retry-after-ms", faults.retry_after_ms.encode("latin-1", "replace")
    if faults.ratelimit_reset is not None:
        yield b"x-ratelimit-remaining-requests", b"0"
        yield b"x-ratelimit-reset-requests", faults.ratelimit_reset.encode("latin-1", "replace")
    if faults.cookie:
        yield b"Set-Cookie", b"demo-session=sweetroll; Path=/; HttpOnly"
    if faults.keep_alive is not None:
        yield b"Keep-Alive", b"timeout=%d" % faults.keep_alive
    if faults.ratelimit:
        for kind, limit in ((b"requests", 1000), (b"tokens", 100000)):
            yield b"x-ratelimit-limit-" + kind, b"%d" % limit
            yield b"x-ratelimit-remaining-" + kind, b"%d" % (limit - 1)
            yield b"x-ratelimit-reset-" + kind, b"60ms"
    for number in range(faults.headers):
        yield b"X-Demo-%d" % number, b"value %d" % number


def _performed(faults: Faults, body: Iterator[Step]) -> Iterator[Step]:
    """*body*, with what happens before and after any body."""
    if faults.hang:
        yield Act.HANG
    if faults.first:
        yield faults.first
    if faults.reset:
        yield Act.ABORT
    if faults.junk == "status":
        yield Raw(_JUNK["status"])
        yield Act.CLOSE
    if faults.head is not None:
        yield b""
        yield faults.head
    yield from body
    if faults.end == "hang":
        yield Act.HANG
    if faults.end == "abort":
        yield _FLUSH
        yield Act.ABORT
    if faults.lie_length:
        yield Act.CLOSE
    if faults.junk is not None or faults.keep_alive_close:
        yield Act.FINISH
    if faults.junk is not None:
        yield Raw(_JUNK[faults.junk])
    if faults.keep_alive_close:
        yield Act.CLOSE


def _whole(body: bytes, faults: Faults) -> Iterator[Step]:
    if faults.cut is None and faults.close_clean is None:
        yield from _written(body, faults)
        return
    yield body[: len(body) // 2] if faults.ends_after else b""
    if faults.cut is not None:
        yield _FLUSH
        yield Act.ABORT


def _stream(shape: Shape, faults: Faults, count_chunk: Callable[[], None]) -> Iterator[Step]:
    encoder = zlib.compressobj(wbits=16 + zlib.MAX_WBITS) if faults.gzip else None

    def send(data: bytes) -> Iterator[Step]:
        if faults.crlf:
            data = data.replace(b"\n", b"\r\n")
        if encoder is not None:
            data = encoder.compress(data) + encoder.flush(zlib.Z_SYNC_FLUSH)
        return _written(data, faults)

    yield b""
    if faults.empty:
        return
    for step in chain(_begun(shape, faults), _told(shape, faults, count_chunk), _ended(shape, faults)):
        if type(step) is bytes:
            yield from send(step)
        else:
            yield step
    if encoder is not None:
        yield encoder.flush()


def _begun(shape: Shape, faults: Faults) -> Iterator[Step]:
    """What comes before the first part of the text; data is not encoded yet."""
    if faults.comments:
        yield _COMMENT
    if faults.ends_after != 0:
        yield from shape.opening()
    if faults.opening:
        yield faults.opening


def _told(shape: Shape, faults: Faults, count_chunk: Callable[[], None]) -> Iterator[Step]:
    """The parts of the text."""
    for number, piece in enumerate(islice(shape.pieces(), faults.ends_after)):
        if number and faults.delay:
            yield faults.delay
        if number and faults.comments:
            yield _COMMENT
        count_chunk()
        yield piece


def _ended(shape: Shape, faults: Faults) -> Iterator[Step]:
    """What comes after the text."""
    if faults.ends_after is None:
        yield from (event for event in shape.closing() if faults.done or event != DONE)
    elif faults.error_in_stream == faults.ends_after:
        yield shape.failure()
    if faults.cut is not None and faults.cut == faults.ends_after:
        yield max(faults.delay, _FLUSH)
        yield Act.ABORT


def _written(data: bytes, faults: Faults) -> Iterator[Step]:
    """The writes for *data*: one, unless it is to be split."""
    if not faults.split:
        yield data
        return
    sizes = cycle(_ODD_SIZES)
    for run in _RUNS.findall(data):
        start = 0
        while start < len(run):
            end = start + next(sizes)
            yield run[start:end]
            yield 0.0
            start = end
