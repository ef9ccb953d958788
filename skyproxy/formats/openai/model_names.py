"""The client's own name for a model, put in place of the provider's into the events of a stream.

Every other byte stays.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from skyproxy.formats.json_splice import with_model
from skyproxy.formats.openai.chunk_template import ChunkTemplate
from skyproxy.formats.sse import event_end, read_event

_KEY = b'"model"'
_TEXT = b"~"


class ModelNames:
    """Puts one name into one stream.

    An event whose data stands in several lines stays as it is.

    :param template: by which the inspector of the stream knows chunks again.
    :ivar elsewhere: whether chunks need the name elsewhere than before their text.
    """

    __slots__ = ("_head", "_key", "_model", "_own_head", "_own_key", "_template", "elsewhere")

    def __init__(self, model: str, template: ChunkTemplate) -> None:
        self._model = orjson.dumps(model)
        self._template = template
        self._head = self._key = self._own_key = b""
        self._own_head: bytes | None = None
        self.elsewhere = False

    def own_head_of(self, template: ChunkTemplate) -> bytes | None:
        """What chunks begin with that are known again, with the name; None where they need none there."""
        if template.head is not self._head:
            self._learn(template)
        return self._own_head

    def put_into_chunks(self, data: bytes) -> bytes:
        """*data*, chunks that are known again, with the name."""
        own = self.own_head_of(self._template)
        if self.elsewhere:
            return b"".join(self._named_events(data))
        return data if own is None else data.replace(self._key, self._own_key)

    def put_into(self, data: bytes) -> bytes:
        """*data*, whole events, with the name."""
        if data.find(_KEY) < 0:
            return data
        template = self._template
        # Of much, most is chunks that are known again.
        start = data.find(template.head)
        end = template.run_from(data, start)[0] if start >= 0 else start
        if end <= start:
            return b"".join(self._named_events(data))
        chunks = self.put_into_chunks(data[start:end])
        return b"".join([*self._named_events(data[:start]), chunks, *self._named_events(data[end:])])

    def _named_events(self, data: bytes) -> Iterator[bytes]:
        position = 0
        while end := event_end(data, position):
            yield self._put_into_event(data[position:end])
            position = end
        yield self._put_into_event(data[position:])

    def _put_into_event(self, event: bytes) -> bytes:
        data = read_event(event).data if _KEY in event else None
        at = event.find(data) if data else -1
        if data is None or at < 0:
            return event
        return b"".join((event[:at], with_model(data, self._model), event[at + len(data) :]))

    def _learn(self, template: ChunkTemplate) -> None:
        self._head = head = template.head
        self._own_head = None
        event = b"".join((head, _TEXT, template.end))
        named = self._put_into_event(event)
        rest = _TEXT + template.end
        # What stands behind the text, or twice, is sought in each event.
        self.elsewhere = named != event and (head.count(_KEY) != 1 or _KEY in rest)
        if named != event and not self.elsewhere:
            self._own_head = own = named[: -len(rest)]
            start = head.index(_KEY)
            end = start
            while head[end - len(head) :] != own[end - len(head) :]:
                end += 1
            self._key, self._own_key = head[start:end], own[start : end + len(own) - len(head)]
