"""Streams for tests, and the ways in which they can be cut into reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from skyproxy.formats.openai.stream_inspector import StreamInspector
from skyproxy.formats.openai.stream_state import Asked
from skyproxy.formats.sse import event_end, read_event

DONE = b"data: [DONE]\n\n"
COMMENT = b": OPENROUTER PROCESSING\n\n"


def event(**fields: Any) -> bytes:
    """One event with the fields in JSON as its data."""
    return b"data: " + json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def chunk(text: str | None = None, finish: str | None = None, index: int = 0, **more: Any) -> bytes:
    """One chunk of a chat."""
    delta = {} if text is None else {"content": text}
    choice = {"index": index, "delta": {**delta, **more}, "finish_reason": finish}
    return event(id="c", object="chat.completion.chunk", model="m", choices=[choice])


STOP = chunk(finish="stop")
USAGE = event(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 4})


def splits(stream: bytes) -> Iterator[list[bytes]]:
    """*stream* whole, byte by byte, and in two at each place."""
    yield [stream]
    yield [stream[at : at + 1] for at in range(len(stream))]
    for at in range(1, len(stream)):
        yield [stream[:at], stream[at:]]


def line_ends(stream: bytes) -> Iterator[bytes]:
    """*stream* with each kind of line end."""
    for line_end in (b"\n", b"\r\n", b"\r"):
        yield stream.replace(b"\n", line_end)


def inspected(*reads: bytes, asked: Asked | None = None) -> StreamInspector:
    """What has read *reads*, without the end of the stream."""
    inspector = StreamInspector()
    if asked is not None:
        inspector.asked = asked
    for data in reads:
        inspector.feed(data)
    return inspector


def payloads(data: bytes) -> Iterator[bytes]:
    """The data of each event in *data*; comments and other fields are passed over."""
    position = 0
    while end := event_end(data, position):
        payload = read_event(data[position:end]).data
        if payload is not None:
            yield payload
        position = end
    if data[position:].strip() == b"data: [DONE]":
        yield b"[DONE]"
