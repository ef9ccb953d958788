"""Chunks that differ from those before them in their text only, recognised without being parsed.

Nearly all chunks of a stream are the same up to the text of their one delta, and from its end on: `data: {"id":…
"delta":{"content":"` and `"},"finish_reason":null}]}`. One chunk that has been parsed is enough to know others by.
"""

from __future__ import annotations

from typing import Any

from skyproxy.formats.openai.bodies import finish_reason_of
from skyproxy.formats.openai.event_names import TEXT_DELTA

_TEXTS = ("content", "reasoning_content", "reasoning")

_NO_FINISH = b'"finish_reason":null'

_LONGEST_REST = 512
"""Bytes behind a chunk's text that may differ (OpenAI pads its chunks there, against those who guess from lengths)."""

_TELLING = (b'"error"', b'"usage":{', b'"usage": {', b'"finish_reason"', b'"choices"', b'"model"')
"""What such bytes must not say."""

_UNKNOWN = b"\x00no chunk\x00"

_MOST_MISSES = 16
"""Chunks in a row by which no other was recognised: such a stream has nothing to be learned from."""


class ChunkTemplate:
    """What the chunks of one stream have in common. A chunk that it recognises has text in its one choice, which is
    not over, and says nothing else.

    :ivar head: what they begin with, up to their text; what no chunk begins with before one was learned.
    :ivar end: what they end with, from the end of their text on.
    :ivar head_size: bytes of it, and so *end_size*.
    """

    __slots__ = ("_core", "_hits", "_join", "_misses", "_quotes", "end", "end_size", "head", "head_size")

    def __init__(self) -> None:
        self._join = self._core = b""
        self._hits = False
        self._misses = self._quotes = 0
        self.head = self.end = _UNKNOWN
        self.head_size = self.end_size = len(_UNKNOWN)

    def text_in(self, data: bytes) -> int:
        """Bytes of text in *data*, whole events, if all of them are chunks as the one that was learned; else -1."""
        if not data.startswith(self.head):
            return -1
        if not data.endswith(self.end):
            return self._with_other_rest(data)
        # If all quotation marks are accounted for, or escaped, there is nothing but such chunks.
        count = data.count(self._join) + 1
        others = data.count(b'"') - count * self._quotes
        if others and others != data.count(b'\\"'):
            return -1
        self._hits = True
        return len(data) - count * (self.head_size + self.end_size)

    def run_from(self, data: bytes, start: int) -> tuple[int, int]:
        """Up to where *data* from *start* on is such chunks, if it is so up to the last of them, and the bytes of their
        text; else *start* and 0.
        """
        if data.startswith(self.head, start):
            end = data.rfind(self.end) + self.end_size
            length = self.text_in(data[start:end])
            if end > start and length >= 0:
                return end, length
        return start, 0

    def text_in_one(self, event: bytes) -> int:
        """Bytes of text in *event*, if it is such a chunk; else -1."""
        if not event.startswith(self.head):
            return -1
        if not event.endswith(self.end):
            return self._with_other_rest(event)
        text = event[self.head_size : -self.end_size]
        if b'"' in text and b'"' in text.replace(b"\\\\", b"").replace(b'\\"', b""):
            return -1
        self._hits = True
        return len(text)

    def worked(self) -> None:
        """Note that a chunk was known again by what was learned."""
        self._hits = True

    def learn(self, event: bytes, value: dict[str, Any]) -> None:
        """Know others by *event*, which says *value*, if it is a chunk with nothing but a text."""
        if self._misses >= _MOST_MISSES:
            return
        found = _text_of(value)
        if found is None:
            return
        name, text = found
        # What is not written as it is read may stand there in another way, too.
        start, size = event.find(b'"%b"' % name), len(text)
        at = event.find(text, start + len(name) + 2)
        if start < 0 or at < 0 or event[start + len(name) + 2 : at].replace(b" ", b"") != b':"':
            return
        head, end = event[:at], event[at + size :]
        if b"\\" in head or b"\\" in end or not end.startswith(b'"') or head.count(b'"%b"' % name) != 1:
            return
        self._misses = 0 if self._hits else self._misses + 1
        self._hits = False
        self.head, self.end, self._join = head, end, end + head
        self.head_size, self.end_size = len(head), len(end)
        self._quotes = self._join.count(b'"')
        no_finish = end.find(_NO_FINISH)
        self._core = end[: no_finish + len(_NO_FINISH)] if no_finish >= 0 else b'"' if _NO_FINISH in head else end

    def _with_other_rest(self, data: bytes) -> int:
        """Bytes of text in *data*, if it is one chunk with something else behind all that matters; else -1."""
        start = self.head_size
        end = data.find(b'"', start)
        if end < 0 or not data.startswith(self._core, end):
            return -1
        rest = data[end + len(self._core) :]
        if len(rest) > _LONGEST_REST or rest.find(b"\n") != len(rest) - 2 or any(sign in rest for sign in _TELLING):
            return -1
        self._hits = True
        return end - start


def _text_of(value: dict[str, Any]) -> tuple[bytes, bytes] | None:
    """The field of the one text that *value* says, and the text, if that is all and needs no escapes."""
    if value.get("type") == TEXT_DELTA:
        field, text = "delta", value.get("delta")
    else:
        choices = value.get("choices")
        choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
        if (
            not isinstance(choice, dict)
            or finish_reason_of(choice)
            or value.get("usage")
            or choice.get("index", 0) != 0
        ):
            return None
        delta = choice.get("delta")
        if isinstance(delta, dict):
            said = [each for each in delta if delta[each] and each != "role"]
            field = said[0] if len(said) == 1 and said[0] in _TEXTS else ""
            text = delta.get(field)
        else:
            field, text = "text", choice.get("text")
    if not isinstance(text, str) or not text or not text.isascii() or not text.isprintable():
        return None
    return None if '"' in text or "\\" in text else (field.encode(), text.encode())
