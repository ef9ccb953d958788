"""How an answer is to look to the client that gets it."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from skyproxy.formats.openai.stream_state import JUST_TEXT, Asked
from skyproxy.http.common.headers import Field


class Presentation(NamedTuple):
    """How the answer of one candidate to one request is to look.

    :ivar in_json: whether it is a JSON object, or a stream of them; otherwise it may be anything, audio say.
    :ivar asked: what the client wants of a stream, by which it is known when that is over.
    :ivar strip_reasoning: whether what the model thought is left out.
    :ivar secrets: the provider's keys, which errors shall not show.
    :ivar fields: that go with it.
    """

    in_json: bool = True
    asked: Asked = JUST_TEXT
    strip_reasoning: bool = False
    secrets: Collection[str] = ()
    fields: tuple[Field, ...] = ()
