"""The first content of a stream: which events say something, and which only that the provider is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skyproxy.formats.openai.bodies import finish_reason_of
from skyproxy.formats.openai.event_names import HEARTBEATS, PREAMBLE, PREFIX

# What an event has around what it says.
_ENVELOPE = frozenset(
    {
        "choices",
        "created",
        "id",
        "model",
        "object",
        "prompt_filter_results",
        "provider",
        "service_tier",
        "system_fingerprint",
        "time_info",
        "timings",
        "type",
        "usage",
        "x_groq",
    }
)

_SAID_WITHOUT_CHOICES = ("content", "text", "delta", "message", "output", "data")

_AROUND_HEARTBEATS = "[]: \t"
"""What may stand around a text that is one, such as ``[PING]``."""

# What a delta, or a part of its content, has beside what it says.
_LABELS = frozenset({"role", "type", "name", "id", "index"})

_LEVELS = 4
"""Of a field of a delta in which something is looked for."""


def says_something(value: Any, name: bytes = b"") -> bool:
    """Whether an event has content, or an end that stands for one.

    Comments, pings, events without data, chunks with nothing but a role, and lists of choices without one are no
    content. Tool calls, refusals and reasoning are: the model is at work.

    :param value: the JSON of the event's data.
    :param name: of the event.
    """
    if name and name.decode("latin-1").lower() in HEARTBEATS:
        return False
    if isinstance(value, str):
        return bool(value) and value.strip(_AROUND_HEARTBEATS).lower() not in HEARTBEATS
    if not isinstance(value, dict):
        return value is not None and not isinstance(value, bool | int | float) and bool(value)
    choices = value.get("choices")
    if isinstance(choices, list) and choices:
        return any(map(_says_or_is_over, choices))
    kind = value.get("type")
    if isinstance(kind, str):
        if kind.startswith(PREFIX):
            return kind not in PREAMBLE and value.get("delta") != ""
        if kind.lower() in HEARTBEATS:
            return False
    if "choices" in value:
        # Whatever else is told of an answer, there is none of its choices yet.
        return any(value.get(field) for field in _SAID_WITHOUT_CHOICES)
    return any(each for field, each in value.items() if field not in _ENVELOPE)


def _says_or_is_over(choice: Any) -> bool:
    if not isinstance(choice, dict):
        return choice is not None
    return finish_reason_of(choice) is not None or choice_says(choice)


def choice_says(choice: Mapping[str, Any]) -> bool:
    """Whether a choice of a chunk, or of an answer, has content."""
    if choice.get("text"):
        return True
    for place in ("delta", "message"):
        said = choice.get(place)
        if isinstance(said, dict):
            for field, each in said.items():
                if field not in _LABELS and _is_said(field, each):
                    return True
    return False


def _is_said(field: str, value: Any, levels: int = _LEVELS) -> bool:
    """Whether *field* of a delta has something in it. Some servers send a content of parts whose texts are empty, a
    number beside it (Together's ``token_id``), or fields in which there is nothing (LiteLLM's
    ``provider_specific_fields``).
    """
    if isinstance(value, str):
        return value != ""
    if isinstance(value, bool | int | float):
        # Cloudflare writes digits of a text so.
        return field == "content" and not isinstance(value, bool)
    if isinstance(value, list):
        return any(not _is_empty_text(part) for part in value)
    if isinstance(value, dict) and levels:
        return any(_is_said(name, each, levels - 1) for name, each in value.items())
    return bool(value)


def _is_empty_text(part: Any) -> bool:
    if not isinstance(part, dict):
        return not part
    return part.get("type") in ("text", "output_text") and not part.get("text")
