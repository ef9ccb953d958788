"""Reasoning in event streams."""

from __future__ import annotations

from typing import Any

from skyproxy.formats.openai.bodies import read_leniently, write_as_read
from skyproxy.formats.openai.event_names import PREFIX
from skyproxy.formats.openai.frames import LONGEST_EVENT_BYTES
from skyproxy.formats.openai.reasoning.chunks import Chunks
from skyproxy.formats.openai.reasoning.responses import Responses
from skyproxy.formats.sse import DONE, SHORTEST_EVENT, read_event, split_events

_SIGNS = (b"<", b"\xe2\x97\x81", b"\\u003", b"\\u005", b"\\u25c1", b"\\u25C1", b"reasoning", b"thinking")
"""What an event has one of, if there is reasoning in it, or the beginning or the end of some; or it has a bracket that
begins no list of objects.
"""


class StreamStripper:
    """Takes reasoning out of a stream of events of any endpoint. Events that have none pass as they are."""

    def __init__(self) -> None:
        self._chunks = Chunks()
        self._responses = Responses()
        self._passive = False

    def feed(self, data: bytes) -> bytes:
        """The next events of the stream, as the inspector gives them; what of them goes on."""
        if self._passive and not _has_sign(data):
            return data
        events = split_events(data)
        rest = data[sum(map(len, events)) :]
        return b"".join([*map(self._edit, events), self._edit(rest) if rest else b""])

    def flush(self) -> bytes:
        """The stream has ended: what was pending because it might have been a tag."""
        return self._pending()

    def _edit(self, event: bytes) -> bytes:
        if len(event) < SHORTEST_EVENT:
            return event
        data = read_event(event).data
        if data is None or len(event) > LONGEST_EVENT_BYTES:
            return event
        if data.strip() == DONE:
            return self._pending() + event
        value = read_leniently(data)
        if not isinstance(value, dict):
            return event
        kind = value.get("type")
        of_responses = isinstance(kind, str) and kind.startswith(PREFIX)
        editor = self._responses if of_responses else self._chunks
        edited = editor.edit(value)
        self._passive = editor.passive
        return event if edited is None else b"".join([_written(each, data) for each in edited])

    def _pending(self) -> bytes:
        return b"".join(map(_written, (*self._chunks.rest(), *self._responses.rest())))


def _has_sign(data: bytes) -> bool:
    if any(sign in data for sign in _SIGNS):
        return True
    brackets = data.count(b"[")
    lists = data.count(b'":[{"')
    return brackets != lists and brackets != lists + data.count(b'": [{"')


def _written(value: dict[str, Any], data: bytes = b"") -> bytes:
    """An event that says *value*, which comes from *data*."""
    # The Responses API names each event by its type, https://platform.openai.com/docs/guides/streaming-responses.
    kind = value.get("type")
    name = b"event: %b\n" % kind.encode("ascii", "replace") if isinstance(kind, str) else b""
    return b"%bdata: %b\n\n" % (name, write_as_read(value, data))
