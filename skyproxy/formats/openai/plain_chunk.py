"""Chunks as nearly all are: one choice, with one text or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skyproxy.formats.openai.bad_ends import bad_end_in
from skyproxy.formats.openai.event_names import PREFIX

TEXTS = ("content", "reasoning_content", "reasoning")
"""Fields of a delta that are the text which a model wrote."""

SPOKEN = frozenset({"content", "text", "delta"})
"""Fields of any event whose text is for the reader."""


def plain_chunk(value: Mapping[str, Any]) -> tuple[str, str, str | None] | None:
    """What a chunk says, if it is one choice, the first, and at most one text in it, and neither error nor usage.

    :param value: the JSON of an event's data.
    :return: the field of the text, the text, and the finish_reason, each empty where there is none; None: it says
        anything else, for which it must be read in another way.
    """
    choices = value.get("choices")
    if type(choices) is not list or len(choices) != 1 or value.get("error") or value.get("usage"):
        return None
    if "x_groq" in value or "base_resp" in value:
        return None
    kind, choice = value.get("type"), choices[0]
    if (kind is not None and not _is_of_chats(kind)) or type(choice) is not dict:
        return None
    reason, delta = choice.get("finish_reason"), choice.get("delta")
    if (
        "message" in choice
        or choice.get("error")
        or choice.get("usage")
        or choice.get("index", 0) != 0
        or not (reason is None or _is_good(reason, choice))
    ):
        return None
    if delta is None:
        field, text = "text", choice.get("text")
        return (field, text or "", reason) if text is None or type(text) is str else None
    return None if choice.get("text") else _only_text(delta, reason)


def _only_text(delta: Any, reason: str | None) -> tuple[str, str, str | None] | None:
    field = text = ""
    for name, said in delta.items() if type(delta) is dict else (("", True),):
        if said and name != "role":
            if field or type(said) is not str or name not in TEXTS:
                return None
            field, text = name, said
    return field, text, reason


def _is_of_chats(kind: Any) -> bool:
    return type(kind) is str and kind != "error" and not kind.startswith(PREFIX)


def _is_good(reason: Any, choice: Mapping[str, Any]) -> bool:
    return type(reason) is str and reason != "null" and bad_end_in(choice) is None
