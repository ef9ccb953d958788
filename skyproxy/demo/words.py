"""What the guard says, and in how many pieces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from zlib import crc32

from skyproxy.demo.faults import Faults

LINES = (
    "Keep your hands off the cabbages. I counted them this morning — twice.",
    "I was a scholar of the seven schools once. Then the libraries closed early.",
    "Halt! Nobody brings a mammoth through this gate without a permit.",
    "Some say a dragon landed on the mill. Some say the mill started it.",
    "You smell of troll and good intentions. Move along.",
    "My brother guards the treasury. I guard the brother. It is a long story.",
    "If you hear shouting from the mountain, shout back. It is only polite.",
    "They gave me a helmet with no mouth and told me to be welcoming.",
    "Trouble? Not on my watch — my watch ended an hour ago.",
    "I have seen a giant weep over a lost goat. Changes how you hold a spear.",
    "The Jarl wants the snow swept. All of it. Ask me again in summer.",
    "Don't lick the soul gems, traveller. We had to post a sign.",
)

_PIECE = 8
"""Characters of a piece of JSON."""

THOUGHTS = ("A stranger ", "at this hour. ", "I had better ", "sound stern.")


@dataclass(frozen=True, slots=True)
class Said:
    """One answer, in the pieces in which a stream gives it.

    :ivar words: given again and again until there are `count` pieces.
    :ivar size: bytes of each piece, if they are to have one size.
    :ivar aloud: what precedes them.
    :ivar thoughts: what is given beside the content.
    :ivar function: the name of the function that is called with the content as its arguments; None: it is said.
    """

    words: tuple[str, ...]
    count: int
    size: int | None = None
    aloud: tuple[str, ...] = ()
    thoughts: tuple[str, ...] = ()
    function: str | None = None

    @property
    def tokens(self) -> int:
        """How long the answer is, in what stands for tokens here."""
        return len(self.thoughts) + len(self.aloud) + self.count

    def pieces(self) -> Iterator[str]:
        """The content, piece by piece."""
        yield from self.aloud
        for word in islice(cycle(self.words), self.count):
            yield word if self.size is None else _sized(word, self.size)

    def whole(self) -> str:
        """The content at once; `size` is then the size of all of it."""
        spoken = "".join(islice(cycle(self.words), self.count))
        return "".join(self.aloud) + (spoken if self.size is None else _sized(spoken, self.size))


def say(prompt: str, faults: Faults, number: int = 0) -> Said:
    """The answer to *prompt*: always the same one.

    :param number: of several answers to it, which differ.
    """
    return _said(line_for(prompt, faults, number), faults)


def line_for(prompt: str, faults: Faults, number: int = 0) -> str:
    """The text of the answer to *prompt*."""
    if faults.text is not None:
        return faults.text
    return LINES[(crc32(prompt.encode("utf-8", "replace")) + number) % len(LINES)]


def write_json(data: str, faults: Faults) -> Said:
    """An answer in JSON, given in pieces that end anywhere. A text, a number of pieces, a size go before it."""
    if faults.text is not None or faults.chunks is not None or faults.size is not None:
        return _said(data if faults.text is None else faults.text, faults)
    return replace(_said("", faults), words=(pieces := _in_pieces(data)), count=len(pieces))


def call(function: str, arguments: str, faults: Faults) -> Said:
    """The call of a function, its arguments in pieces that end anywhere."""
    pieces = _in_pieces(arguments)
    thoughts = THOUGHTS if faults.think == "field" else ()
    return Said(pieces, len(pieces), thoughts=thoughts, function=function)


def _said(text: str, faults: Faults) -> Said:
    words = tuple(re.findall(r"\s+|\S+\s*", text)) or ("",)
    count = len(words) if faults.chunks is None else faults.chunks
    if count > len(words):
        words = (*words[:-1], words[-1] + " ")
    return Said(
        words,
        count,
        faults.size,
        aloud=("<thi", "nk>", *THOUGHTS, "</th", "ink>") if faults.think == "" else (),
        thoughts=THOUGHTS if faults.think == "field" else (),
    )


def _in_pieces(data: str) -> tuple[str, ...]:
    return tuple(data[start : start + _PIECE] for start in range(0, len(data), _PIECE))


def estimated_tokens(text: str) -> int:
    """About how many tokens *text* is."""
    return len(text) // 4 + 1


def _sized(text: str, size: int) -> str:
    kept = text.encode()[:size].decode("utf-8", "ignore")
    return kept + "." * (size - len(kept.encode()))
