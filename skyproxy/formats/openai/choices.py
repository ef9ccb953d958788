"""The choices of a stream, or of an answer: which have begun, and which are over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skyproxy.formats.openai.bad_ends import bad_end_of
from skyproxy.formats.openai.bodies import choices_of, filter_of, finish_reason_of, index_of
from skyproxy.formats.openai.first_content import choice_says
from skyproxy.formats.openai.reasoning.answers import brings_thoughts

_MOST_CHOICES = 256
"""Choices that are distinguished. Nobody asks for as many."""


class Choices:
    """Which choices of an answer have begun, and which are over.

    :ivar doubtful: one that was over has said more, with a reason again: where each chunk has one (as Google's had),
        none is an end.
    :ivar last_reason: the last one given for an end; of one that a filter has cut short, that.
    :ivar said: whether any has said something.
    :ivar thought: whether what any thought has come.
    """

    __slots__ = ("_begun", "_finished", "doubtful", "last_reason", "said", "thought")

    def __init__(self) -> None:
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self.last_reason: str | None = None
        self.doubtful = self.said = self.thought = False

    def read(self, chunk: Mapping[str, Any]) -> None:
        """Note what *chunk* says of them."""
        if "choices" not in chunk:
            self.last_reason = filter_of(chunk) or self.last_reason
        self.thought = self.thought or brings_thoughts(chunk)
        again = self.repeated_by(chunk)
        for choice in choices_of(chunk):
            self.note(index_of(choice), finish_reason_of(choice), says=not again and choice_says(choice))

    def repeated_by(self, chunk: Mapping[str, Any]) -> bool:
        """Whether *chunk* says all once more that was said in parts: MiniMax ends its streams by a whole answer
        (https://github.com/GCWing/BitFun/pull/792).
        """
        if not self.said or chunk.get("object") != "chat.completion":
            return False
        return all("message" in choice and not choice.get("delta") for choice in choices_of(chunk))

    def note(self, index: int, reason: str | None, *, says: bool, thinks: bool = False) -> None:
        """Note that the choice *index* is over for *reason*, if there is one, or *says* or *thinks* something."""
        if len(self._begun) < _MOST_CHOICES:
            self._begun.add(index)
        self.said = self.said or says
        self.thought = self.thought or thinks
        if reason:
            self.doubtful = self.doubtful or (says and index in self._finished)
            self._finished.add(index)
            last = self.last_reason
            if last is None or (end := bad_end_of(last)) is None or not end.of_filter:
                self.last_reason = reason
        elif says:
            self._finished.discard(index)

    def complete(self, wanted: int) -> bool:
        """Whether all that have begun are over, and they are as many as *wanted*."""
        return len(self._finished) >= max(wanted, 1) and self._finished >= self._begun


def end_of(answer: Mapping[str, Any]) -> tuple[str | None, bool]:
    """The reason for which a whole *answer* is over, as :attr:`Choices.last_reason`, and whether it says something."""
    found = choices_of(answer)
    if len(found) == 1:
        # As nearly all have.
        return finish_reason_of(found[0]), choice_says(found[0])
    choices = Choices()
    choices.read(answer)
    return choices.last_reason, choices.said
