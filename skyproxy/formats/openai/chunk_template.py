"""Chunks that differ from those before them in their text only, recognised without being parsed.

Nearly all chunks of a stream are the same up to the text of their one delta, and from its end on: `data: {"id":…
"delta":{"content":"` and `"},"finish_reason":null}]}`. One chunk that has been parsed is enough to know others by.
"""

from __future__ import annotations

from itertools import repeat

from skyproxy.formats.openai.plain_chunk import SPOKEN

_NO_FINISH = b'"finish_reason":null'
_INDEX = b'"index":0'

_LONGEST_REST = 512
"""Bytes behind a chunk's text that may differ (OpenAI pads its chunks there, against those who guess from lengths)."""

_TELLING = (b'"error"', b'"usage":{', b'"usage": {', b'"finish_reason"', b'"choices"', b'"model"', b'"base_resp"')
"""What such bytes must not say."""

_MARK = 14
"""Bytes before their texts at which chunks are parted: a short mark is found sooner."""

_UNKNOWN = b"\x00no chunk\x00"

_without_suffix = bytes.removesuffix

# Numbers: to seek bytes takes ten times as long.
_QUOTE, _LINE_FEED = b'"\n'

_MOST_MISSES = 16
"""Chunks in a row by which no other was recognised: such a stream has nothing to be learned from."""


class ChunkTemplate:
    """What the chunks of one stream have in common. A chunk that it recognises has text in its one choice, which is
    not over, and says nothing else.

    :ivar head: what they begin with, up to their text; what no chunk begins with before one was learned.
    :ivar end: what they end with, from the end of their text on.
    :ivar head_size: bytes of it, and so *end_size*.
    :ivar spoken: whether their text is what the model says, not what it thinks.
    """

    __slots__ = (
        "_between", "_core", "_hits", "_mark", "_misses", "end", "end_size", "head", "head_size", "spoken",
    )  # fmt: skip

    def __init__(self) -> None:
        self._core = b""
        self._mark = _UNKNOWN
        self._hits = False
        self._misses = 0
        self._between = repeat(b"")
        self.head = self.end = _UNKNOWN
        self.head_size = self.end_size = len(_UNKNOWN)
        self.spoken = True

    def parted(self, data: bytes) -> tuple[list[bytes], bytes] | None:
        """The texts in *data*, which begins and ends as such chunks do, as they stand in JSON: each, and all of them
        joined; None if there is anything else between.
        """
        parts = data[: -self.end_size].split(self._mark)
        last = parts.pop()
        texts = list(map(_without_suffix, parts[1:], self._between))
        texts.append(last)
        said = b"".join(texts)
        # The sizes tell: behind each text but the last as much was taken away as stands there in each such chunk.
        if len(said) + len(texts) * (self.head_size + self.end_size) != len(data):
            return None
        if (_QUOTE in said or _LINE_FEED in said) and _has_more(b" ".join(texts)):
            return None
        self._hits = True
        return texts, said

    def run_from(self, data: bytes, start: int) -> tuple[bytes, list[bytes], bytes] | None:
        """The beginning of *data* from *start* on that is such chunks, if it is so up to the last of them, and their
        texts as :meth:`parted` gives them; else None.
        """
        end = data.rfind(self.end) if data.startswith(self.head, start) else -1
        if end < start + self.head_size:
            return None
        run = data[start : end + self.end_size]
        parted = self.parted(run)
        return None if parted is None else (run, *parted)

    def joined(self, texts: list[bytes], head: bytes) -> bytes:
        """Chunks that begin with *head*, from the first of the *texts* to the last."""
        return (self.end + head).join(texts)

    def text_in_one(self, event: bytes) -> int:
        """Bytes of text in *event*, if it is such a chunk; else -1."""
        if not event.startswith(self.head):
            return -1
        if not event.endswith(self.end):
            return self._with_other_rest(event)
        text = event[self.head_size : -self.end_size]
        if _has_more(text):
            return -1
        self._hits = True
        return len(text)

    def worked(self) -> None:
        """Note that a chunk was known again by what was learned."""
        self._hits = True

    def learn(self, event: bytes, field: str, said: str) -> None:
        """Know others by *event*, a chunk that says nothing but one text.

        :param field: of the text; *said*: the text.
        """
        # What is not written as it is read may stand there in another way, too.
        if self._misses >= _MOST_MISSES or not said.isascii() or not said.isprintable() or '"' in said or "\\" in said:
            return
        name, text = b'"%b"' % field.encode(), said.encode()
        start = event.find(name) + len(name)
        at = event.find(text, start)
        if start < len(name) or at < 0 or event[start:at].replace(b" ", b"") != b':"':
            return
        head, end = event[:at], event[at + len(text) :]
        if b"\\" in head or b"\\" in end or not end.startswith(b'"') or head.count(name) != 1:
            return
        self._misses = 0 if self._hits else self._misses + 1
        self._hits = False
        self.head, self.end, self.spoken = head, end, field in SPOKEN
        self.head_size, self.end_size = len(head), len(end)
        self._mark = head[-_MARK:]
        self._between = repeat(end + head[:-_MARK])
        no_finish = end.find(_NO_FINISH)
        core = no_finish + len(_NO_FINISH) if no_finish >= 0 else 1 if _NO_FINISH in head else len(end)
        # Where the number of the choice stands behind the text, another's does so, too.
        index = end.find(_INDEX)
        self._core = end[: core if index < 0 else max(core, index + len(_INDEX))]

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


def _has_more(text: bytes) -> bool:
    """Whether *text*, as it stands in JSON, has an end in it, so that something else follows."""
    return _LINE_FEED in text or (_QUOTE in text and _QUOTE in text.replace(b"\\\\", b"").replace(b'\\"', b""))
