"""Reasoning in event streams."""

from __future__ import annotations

from typing import Any

import orjson

from skyproxy.formats.openai.bodies import as_object
from skyproxy.formats.openai.event_names import PREFIX
from skyproxy.formats.openai.reasoning.chunks import Chunks
from skyproxy.formats.openai.reasoning.responses import Responses
from skyproxy.formats.sse import BOUNDARIES, boundary_before, payloads, split_events

_SIGNS = (b"<", b"\\u003", b"reasoning", b"thinking")
"""What an event has one of, if there is reasoning in it, or the beginning or the end of some."""


LONGEST = 1024 * 1024
"""Bytes of an event that is looked into. A longer one passes as it is, so that no more than this is ever held."""

_ACROSS = max(map(len, BOUNDARIES)) - 1
"""Bytes of the end of an event that may have come before the rest of it."""


class StreamStripper:
    """Takes reasoning out of a stream of events of any endpoint.

    Events that have none pass as they are, and so do those of more than :data:`LONGEST` bytes. The work grows with the
    bytes that come, however they are cut.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        """An event that is not complete yet; of one that is passing already, as much as may be a part of its end."""
        self._passing = False
        """Whether the event that is not complete yet is too long."""
        self._chunks = Chunks()
        self._responses = Responses()
        self._passive = False

    def feed(self, data: bytes) -> bytes:
        """The next bytes of the stream; what of them goes on."""
        passed = b""
        if self._passing:
            passed = self._pass_on(data)
            if self._passing:
                return passed
            data = data[len(passed) :]
        # What came before holds no end of an event, but maybe the beginning of one.
        across = bytes(self._rest[-_ACROSS:])
        end = boundary_before(across + data, len(across) + len(data)) - len(across)
        if end > 0:
            passed += self._edited(bytes(self._rest) + data[:end])
            self._rest = bytearray(data[end:])
        else:
            self._rest += data
        return passed + self._give_up() if len(self._rest) > LONGEST else passed

    def _edited(self, data: bytes) -> bytes:
        """What goes on of *data*, whole events."""
        if self._passive and not any(sign in data for sign in _SIGNS):
            return data
        return b"".join(map(self._edit, split_events(data)))

    def _give_up(self) -> bytes:
        """What has come of an event that is too long."""
        passed = bytes(self._rest)
        self._rest = bytearray(passed[-_ACROSS:])
        self._passing = True
        return passed

    def _pass_on(self, data: bytes) -> bytes:
        """What of *data* belongs to the event that is too long. If it ends there, others follow."""
        before = len(self._rest)
        near = bytes(self._rest) + data
        end = min((found + len(mark) for mark in BOUNDARIES if (found := near.find(mark)) >= 0), default=0)
        if not end:
            self._rest = bytearray(near[-_ACROSS:])
            return data
        self._passing = False
        self._rest = bytearray()
        return data[: end - before]

    def flush(self) -> bytes:
        """The stream has ended: what was held because it might have been a tag, or its event was not complete."""
        rest = b"" if self._passing else bytes(self._rest)
        self._rest = bytearray()
        return self._held() + rest

    def _edit(self, event: bytes) -> bytes:
        if len(event) > LONGEST:
            return event
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


def _written(value: dict[str, Any]) -> bytes:
    # The Responses API names each event by its type, https://platform.openai.com/docs/guides/streaming-responses.
    kind = value.get("type")
    name = b"event: %b\n" % kind.encode() if isinstance(kind, str) else b""
    return b"%bdata: %b\n\n" % (name, orjson.dumps(value))
