"""The client's own name for a model, put in place of the provider's into the events of a stream.

Every other byte stays.
"""

from __future__ import annotations

import orjson

from skyproxy.formats.json_splice import with_model
from skyproxy.formats.openai.chunk_template import ChunkTemplate
from skyproxy.formats.sse import read_event, split_events

_KEY = b'"model"'
_TEXT = b"~"


class ModelNames:
    """Puts one name into one stream.

    An event whose data stands in several lines stays as it is.

    :param template: by which the inspector of the stream knows chunks again.
    """

    __slots__ = ("_end", "_head", "_learned", "_model", "_template")

    def __init__(self, model: str, template: ChunkTemplate) -> None:
        self._model = orjson.dumps(model)
        self._template = template
        self._learned = b""
        self._head = self._end = b""

    def put_into_ordinary(self, data: bytes) -> bytes:
        """*data*, chunks that :attr:`template` has recognised, with the name."""
        template = self._template
        head = template.head
        if head is not self._learned:
            self._learn(template)
        own, size = self._head, template.head_size
        if self._end is not template.end:
            data = data.replace(template.end, self._end)
        if own is head:
            return data
        if len(data) < 2 * (size + template.end_size):
            return own + data[size:]
        return data.replace(head, own)

    def put_into(self, data: bytes) -> bytes:
        """*data*, whole events, with the name."""
        if _KEY not in data:
            return data
        events = split_events(data)
        rest = data[sum(map(len, events)) :]
        return b"".join([*map(self._put_into_event, events), self._put_into_event(rest)])

    def _put_into_event(self, event: bytes) -> bytes:
        data = read_event(event).data if _KEY in event else None
        at = event.find(data) if data else -1
        if data is None or at < 0:
            return event
        return b"".join((event[:at], with_model(data, self._model), event[at + len(data) :]))

    def _learn(self, template: ChunkTemplate) -> None:
        self._learned = head = template.head
        end = template.end
        self._head, self._end = head, end
        event = b"".join((head, _TEXT, end))
        named = self._put_into_event(event)
        if named.endswith(_TEXT + end):
            if named != event:
                self._head = named[: -len(end) - len(_TEXT)]
        else:
            self._end = named[len(head) + len(_TEXT) :]
