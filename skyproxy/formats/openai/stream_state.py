"""What is known of an answer, a stream or a whole one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from skyproxy.errors import UpstreamReported
from skyproxy.formats.reported import reported

NO_USAGE: Mapping[str, Any] = MappingProxyType({})
"""What a provider says that says nothing."""


class Asked(NamedTuple):
    """What a client asked for that a stream shows at its end.

    :ivar choices: how many.
    :ivar usage: token counts.
    """

    choices: int = 1
    usage: bool = False


JUST_TEXT = Asked()
"""One choice, and no token counts."""


class StreamState(NamedTuple):
    """What is known of an answer, a stream or a whole one.

    :ivar complete: it has said that it is over: by `[DONE]`, a terminal event of the Responses API, or a finish_reason
        of every choice that has begun.
    :ivar done: it ended with `[DONE]`.
    :ivar cannot_be_cut: all that was asked for has come, so that nothing is missing wherever it ends.
    :ivar finish_reason: the last one given; if a filter has cut one of the choices short, that one's.
    :ivar error: what the provider reported inside the answer.
    :ivar usage: token counts, if the provider gave them.
    :ivar generated: bytes of text that were generated, about.
    :ivar dialect: of the provider.
    :ivar empty: its choices are over, and none of them has said anything.
    :ivar thought: it is a stream, and has brought what the model thought.
    """

    complete: bool = False
    done: bool = False
    finish_reason: str | None = None
    error: Mapping[str, Any] | None = None
    usage: Mapping[str, Any] = NO_USAGE
    generated: int = 0
    dialect: str = "openai"
    cannot_be_cut: bool = False
    empty: bool = False
    thought: bool = False

    @property
    def failure(self) -> UpstreamReported | None:
        """The :attr:`error`, with its kind."""
        return None if self.error is None else reported(self.error, self.dialect)
