"""The client's own name for a model, put in place of the provider's into the events of a stream.

Every other byte stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from skyproxy.formats.json_splice import with_model
from skyproxy.formats.openai.chunk_template import ChunkTemplate
from skyproxy.formats.sse import read_event

_KEY = b'"model"'
_TEXT = b"~"
_UNKNOWN = b"\x00no event\x00"
_QUOTE = ord('"')


class ModelNames:
    """Puts one name into one stream.

    An event whose data stands in several lines stays as it is.

    :param template: by which the inspector of the stream knows chunks again.
    :ivar elsewhere: whether chunks need the name elsewhere than before their text.
    """

    __slots__ = ("_beginning", "_head", "_model", "_own_beginning", "_own_head", "_template", "elsewhere")

    def __init__(self, model: str, template: ChunkTemplate) -> None:
        self._model = orjson.dumps(model)
        self._template = template
        self._beginning, self._own_beginning = _UNKNOWN, b""
        self._head = b""
        self._own_head: bytes | None = None
        self.elsewhere = False

    def own_head(self) -> bytes | None:
        """What chunks begin with that are known again, with the name; None where they need none there."""
        if self._template.head is not self._head:
            self._learn(self._template)
        return self._own_head

    def put_into_chunks(self, data: bytes, texts: list[bytes]) -> list[bytes]:
        """*data*, chunks with *texts* that are known again, with the name, in parts."""
        own, template = self.own_head(), self._template
        if self.elsewhere:
            return [self.put_into(template.head + text + template.end) for text in texts]
        return [data] if own is None else [own, template.joined(texts, own), template.end]

    def put_into_chunk(self, event: bytes) -> bytes:
        """*event*, a chunk that is known again, if it has something else behind its text, too, with the name."""
        own = self.own_head()
        if self.elsewhere:
            return self.put_into(event)
        return event if own is None else own + event[self._template.head_size :]

    def put_into(self, event: bytes, data: bytes | None = None, value: Mapping[str, Any] | None = None) -> bytes:
        """*event* with the name.

        :param data: its data, and *value*, what that says, if that is known: then it takes less time.
        """
        size = len(self._beginning)
        if event.startswith(self._beginning):
            # Most events of a stream begin alike.
            if event.find(_KEY, size) < 0:
                return self._own_beginning + event[size:]
        elif event.find(_KEY) < 0:
            return event
        at = event.find(data) if data else -1
        if at < 0:
            # An error that is shown otherwise than it came has other data.
            data, value = read_event(event).data, None
            at = event.find(data) if data else -1
        if data is None or at < 0:
            return event
        named = b"".join((event[:at], with_model(data, self._model, value), event[at + len(data) :]))
        if named != event:
            self._note_beginning(event, named)
        return named

    def _note_beginning(self, event: bytes, named: bytes) -> None:
        end = event.find(_KEY) + len(_KEY)
        own = named[: named.find(self._model, end) + len(self._model)]
        size = len(event) - len(named) + len(own)
        if size > end and own[:end] == event[:end] and own + event[size:] == named and event[size - 1] == _QUOTE:
            self._beginning, self._own_beginning = event[:size], own

    def _learn(self, template: ChunkTemplate) -> None:
        self._head = head = template.head
        self._own_head = None
        rest = _TEXT + template.end
        event = head + rest
        named = self.put_into(event)
        # What stands behind the text, or twice, is sought in each event.
        self.elsewhere = named != event and (head.count(_KEY) != 1 or _KEY in rest)
        if named != event and not self.elsewhere:
            self._own_head = named[: -len(rest)]
