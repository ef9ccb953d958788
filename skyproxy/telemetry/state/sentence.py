"""What is said of the state."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["good", "neutral", "warning", "bad"]


class Sentence(NamedTuple):
    """One sentence.

    :ivar code: for programs.
    :ivar about: the provider, the deployment or the slot; empty: all.
    :ivar advice: what to do.
    :ivar request_id: of the newest request that shows it; empty: none does.
    :ivar slot: that *use*, a ``provider:model``, could serve instead; both empty: there is none.
    """

    code: str
    level: Level
    text: str
    advice: str = ""
    about: str = ""
    request_id: str = ""
    slot: str = ""
    use: str = ""
