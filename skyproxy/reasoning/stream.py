"""Reasoning in event streams."""

from __future__ import annotations

import re
from typing import Any

import orjson

from skyproxy.chunks import as_object
from skyproxy.reasoning.chunks import Chunks
from skyproxy.reasoning.responses import PREFIX, Responses
from skyproxy.sse import boundary_before, payloads

_SIGNS = (b"<", b"\\u003", b"reasoning", b"thinking")
"""What an event has one of, if there is reasoning in it, or the beginning or the end of some."""


class StreamStripper:
    """Takes reasoning out of a stream of events of any endpoint. Events that have none pass as they are."""

    def __init__(self) -> None:
        self._rest = b""
        self._chunks = Chunks()
        self._responses = Responses()
        self._passive = False

    def feed(self, data: bytes) -> bytes:
        """The next bytes of the stream; what of them goes on."""
        data = self._rest + data
        end = boundary_before(data, len(data))
        self._rest = data[end:]
        data = data[:end]
        if self._passive and not any(sign in data for sign in _SIGNS):
            return data
        return b"".join(map(self._edit, split_events(data)))

    def flush(self) -> bytes:
        """The stream has ended: what was held because it might have been a tag, or its event was not complete."""
        rest, self._rest = self._rest, b""
        return self._held() + rest

    def _edit(self, event: bytes) -> bytes:
        value = as_object(event[6:]) if event.startswith(b"data: {") else {}
        if not value:
            data = b"".join(payloads(event))
            if data == b"[DONE]":
                return self._held() + event
            value = as_object(data)
        kind = value.get("type")
        of_responses = isinstance(kind, str) and kind.startswith(PREFIX)
        editor = self._responses if of_responses else self._chunks
        edited = editor.edit(value)
        self._passive = editor.passive
        return event if edited is None else b"".join(map(_written, edited))

    def _held(self) -> bytes:
        return b"".join(map(_written, (*self._chunks.rest(), *self._responses.rest())))


def split_events(data: bytes) -> list[bytes]:
    """Complete events, each with the blank line that ends it."""
    if b"\r" not in data:
        return [event + b"\n\n" for event in data.split(b"\n\n")[:-1]]
    return [event for event in re.split(rb"(?<=\n\n)|(?<=\r\n\r\n)|(?<=\r\r)", data) if event]


def _written(value: dict[str, Any]) -> bytes:
    # The Responses API names each event by its type, https://platform.openai.com/docs/guides/streaming-responses.
    kind = value.get("type")
    name = b"event: %b\n" % kind.encode() if isinstance(kind, str) else b""
    return b"%bdata: %b\n\n" % (name, orjson.dumps(value))
