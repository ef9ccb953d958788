"""When the first sentence of a stream has come: from then on a voice can speak.

A stream is looked at until that is known, and no longer. Nothing is parsed: the texts of its chunks are found by the
bytes before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from skyproxy.formats.openai.reasoning.tags import FIRST, TAGS

_TEXTS = re.compile(rb'"(?:content|text|delta)":\s*"([^"\\]*(?:\\.[^"\\]*)*)"')
"""The texts in some events. What a model thinks has other names in most."""

_CONTENTS = re.compile(rb'"content":\s*"([^"\\]*(?:\\.[^"\\]*)*)"')
"""Those that are said in any event."""

_NOT_SAID = re.compile(rb'(?<!\\)"(?:reasoning|thinking|response\.(?!output_text\.))')
"""In events with texts that are not: thoughts as Mistral, OpenRouter and the Responses API send them, or arguments of a
tool.
"""

_SO_FAR = re.compile(rb'"message":\s*\{(?:[^{}"]|"[^"\\]*(?:\\.[^"\\]*)*")*\}')
"""All that was said so far, which Perplexity repeats beside each delta."""

_MOST_OTHERS = 8
"""Objects of that name that are no such thing, after which none is looked for: each is read until that is known."""

_EVENT_END = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)")

_SIGNS = frozenset({b".", b"!", b"?"})

_MESSAGE = b'"message":'
_CONTENT, _QUOTE = b'"content":"', b'"'
_BACKSLASH, _STOP, _SHOUT, _QUESTION = b"\\.!?"
_CONTENT_SIZE = len(_CONTENT)

_FULL_WIDTH = "\u3002\uff01\uff1f"
_OTHERS = "\u2026\u061f\u06d4\u0964"
"""An ellipsis; the signs of Arabic, Urdu and Hindi."""

_MAY_END = re.compile(
    b"[.!?]|" + b"|".join(sign.encode() for sign in _FULL_WIDTH + _OTHERS)
    + b"|(?i:" + b"|".join(b"\\\\u%04x" % ord(sign) for sign in _FULL_WIDTH + _OTHERS) + b")"
)  # fmt: skip
"""Where a sentence may end, before escapes of JSON are undone."""
_MAY_END_IN_ASCII = re.compile(b"[.!?]")
"""Likewise, in a text of ASCII's without escapes: it is found sooner."""

# No more signs in a row than anybody needs: of a long row each would be tried with all that follow it.
_QUOTES = "\"'\u201c\u201d\u2018\u2019\u00ab\u00bb\u2039\u203a\u300d\u300f"
"""With which a quotation ends in some language."""
_ENDS = re.compile(f"[.!?{_OTHERS}{_FULL_WIDTH}](?:(?<=[{_FULL_WIDTH}])|[.!?{_OTHERS}]{{0,7}}(?=[\\s{_QUOTES}*)]))")
"""One set of signs comes first: a text is searched for those in a third of the time that two choices take."""
_TWO_WORDS = re.compile(r"\W*\w\S*\s+[^\w\s]*\w")
_ABBREVIATIONS = frozenset({"mr", "mrs", "ms", "dr", "st", "prof", "vs", "etc", "e.g", "i.e"})
_ABBREVIATED = frozenset(each.encode() for each in _ABBREVIATIONS)
_LONGEST_ABBREVIATION = 5
"""Characters."""

_THOUGHT = re.compile(rf"\s*({'|'.join(map(re.escape, TAGS))})")
_TAG_BEGINS = tuple(sign for first in FIRST for sign in (first.encode(), b"\\u%04x" % ord(first)))
"""What stands in a text that may begin a thought, before escapes of JSON are undone."""

_MOST_BYTES = 2048
"""Of text: what has no sentence until then is a list, or code; or thoughts, at whose end nobody knows."""

_MOST_WORDS = 300
"""Likewise."""


class FirstSentence:
    """Watches one stream.

    :ivar over: whether the sentence has come, or is not looked for any more.
    """

    __slots__ = ("_ends", "_left", "_may_end", "_size", "_texts", "over")

    def __init__(self) -> None:
        self._texts: list[bytes] = []
        self._left = _MOST_WORDS
        self._size = 0
        self._may_end = self._ends = False
        self.over = False

    def feed(self, data: bytes) -> bool:
        """Look at the next events.

        :return: whether the first sentence has come with them.
        """
        if _MESSAGE in data and b'"delta":' in data:
            data = _without_so_far(data)
        start = data.find(_CONTENT)
        if start < 0:
            return self._search(data, 0)
        while start >= 0:
            start += _CONTENT_SIZE
            text = data[start : data.find(_QUOTE, start)]
            if _BACKSLASH in text:
                return self._search(data, start - _CONTENT_SIZE)
            if self.hear(text):
                return True
            if self.over:
                return False
            start = data.find(_CONTENT, start)
        return False

    def hear(self, text: bytes) -> bool:
        """Look at the next *text* as it stands in JSON, of one chunk or of some.

        :return: whether the first sentence has come with it.
        """
        # Most chunks say one word, which ends nothing.
        if text[1:].isalnum() and text[0] != _BACKSLASH and not self._may_end:
            self._texts.append(text)
            self._left = left = self._left - 1
            self.over = left < 0
            return False
        return self._take(text)

    def _search(self, data: bytes, start: int) -> bool:
        """The same from *start* on, for texts that are written in any way."""
        if b'"reasoning' in data or b'"thinking' in data or b'"response.' in data:
            texts = _said_in(data[start:])
        else:
            texts = _TEXTS.finditer(data, start)
        for found in texts:
            if self._take(found[1]):
                return True
            if self.over:
                break
        return False

    def _take(self, text: bytes) -> bool:
        texts = self._texts
        if self._ends and text[:1] == b" ":
            self.over = True
            return True
        # Most sentences end with a sign of its own behind a word that is no abbreviation, and the next word tells.
        self._ends = (
            text in _SIGNS
            and len(texts) > 1
            and len(before := texts[-1].strip()) > 1
            and before.lower() not in _ABBREVIATED
            and not any(sign in texts[0] for sign in _TAG_BEGINS)
        )
        texts.append(text)
        self._size += len(text)
        if self._ends:
            self._may_end = True
            return False
        expected = self._may_end
        if not expected and _is_plain(text):
            self.over = self._size > _MOST_BYTES
            return False
        pattern = _MAY_END_IN_ASCII if text.isascii() and _BACKSLASH not in text else _MAY_END
        found, may_end = False, pattern.search(text)
        self._may_end = may_end is not None
        # What ends with its chunk is known for an end by what follows, but for signs that can be nothing else.
        if expected or (may_end is not None and (may_end.end() < len(text) or text[-1] > 127)):
            said = plain(b"".join(self._texts))
            found = has_sentence(said, len(said) - len(text) - 8)
        self.over = found or self._size > _MOST_BYTES
        return found

    @property
    def said_something(self) -> bool:
        """Whether there was any text: if nothing more comes, it is the first sentence."""
        return bool(self._texts)


def _without_so_far(data: bytes) -> bytes:
    parts, at, others = [], 0, 0
    start = data.find(_MESSAGE)
    while start >= 0 and others < _MOST_OTHERS:
        found = _SO_FAR.match(data, start)
        if found is None:
            others += 1
            start = data.find(_MESSAGE, start + 1)
        else:
            parts.append(data[at:start])
            at = found.end()
            start = data.find(_MESSAGE, at)
    return b"".join([*parts, data[at:]])


def _is_plain(text: bytes) -> bool:
    """Whether *text* has nothing in it that may end a sentence: to seek four bytes is much less work than a pattern."""
    return not (_STOP in text or _SHOUT in text or _QUESTION in text or _BACKSLASH in text) and text.isascii()


def _said_in(data: bytes) -> Iterator[re.Match[bytes]]:
    """The texts in *data*, events of which some may have others."""
    for event in _EVENT_END.split(data):
        yield from (_TEXTS if _NOT_SAID.search(event) is None else _CONTENTS).finditer(event)


def has_sentence(text: str, start: int = 0) -> bool:
    """Whether *text* begins with a whole sentence, of two words or more, and something behind it.

    :param start: from where on its end is looked for.
    """
    begin = 0
    if (thought := _THOUGHT.match(text)) is not None:
        closing = TAGS[thought[1]]
        over = text.find(closing, thought.end())
        if over < 0:
            return False
        begin = over + len(closing)
    words = _TWO_WORDS.match(text, begin)
    enough = len(text) if words is None else words.end()
    for end in _ENDS.finditer(text, max(begin, start)):
        at = end.start()
        if end[0] in _FULL_WIDTH:
            if at > begin:
                return True
        elif at >= enough and not _is_abbreviated(text, at):
            return True
    return False


def _is_abbreviated(text: str, at: int) -> bool:
    """Whether the full stop at *at* is that of an abbreviation, or of an initial."""
    before = text[max(0, at - _LONGEST_ABBREVIATION - 1) : at]
    word = before[before.rfind(" ") + 1 :].lstrip("\"'\u201c(*")
    return text[at] == "." and (word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isupper() and word != "I"))


def plain(text: bytes) -> str:
    """*text* without the escapes of JSON that matter here."""
    read = text.decode("utf-8", "replace")
    if "\\" not in read:
        return read
    read = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), read)
    return read.replace("\\n", "\n").replace('\\"', '"')
