"""What an answer of a model says, whole or in a chunk of a stream (https://platform.openai.com/docs/api-reference)."""

from __future__ import annotations

from typing import Any

import orjson

TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
"""Types of the Responses API's events that end its streams
(https://platform.openai.com/docs/api-reference/responses-streaming).
"""

# Where a chunk or an answer has text.
_SAID = frozenset({"content", "reasoning_content", "reasoning", "tool_calls"})
_NESTED = frozenset({"content", "text", "summary", "function", "arguments", "name"})
_DEEPEST = 6


def as_object(data: bytes) -> dict[str, Any]:
    """The JSON object of an event's data; empty if it is none."""
    try:
        value = orjson.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def finish_reason_of(event: dict[str, Any]) -> str | None:
    """The finish_reason of any choice in a chunk."""
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        reason = choice.get("finish_reason") if isinstance(choice, dict) else None
        if isinstance(reason, str):
            return reason
    return None


def error_of(event: dict[str, Any]) -> dict[str, Any] | None:
    """What a provider reports inside a stream: `{"error": …}`, or the Responses API's error event."""
    error = event.get("error")
    if isinstance(error, dict):
        return error
    if error:
        return {"message": str(error)[:500]}
    return event if event.get("type") == "error" else None


def usage_of(event: dict[str, Any]) -> dict[str, Any] | None:
    """The token counts of a chunk, of a whole answer, or within a Responses event."""
    usage = event.get("usage")
    if not isinstance(usage, dict):
        response = event.get("response")
        usage = response.get("usage") if isinstance(response, dict) else None
    return usage if isinstance(usage, dict) else None


def text_length(value: dict[str, Any]) -> int:
    """Bytes of what a model said, thought or called, in a chunk or in a whole answer."""
    choices = value.get("choices")
    if isinstance(choices, list):
        return sum(map(_choice_length, choices))
    delta = value.get("delta")
    return _length(delta if isinstance(delta, str) else value.get("output"))  # of the Responses API


def _choice_length(choice: Any) -> int:
    if not isinstance(choice, dict):
        return 0
    said = choice.get("delta") or choice.get("message")
    if not isinstance(said, dict):
        return _length(choice.get("text"))
    length = 0
    for name, value in said.items():
        if name in _SAID:
            length += _length(value)
    return length


def _length(value: Any) -> int:
    """Of a text, or of the texts in it."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    todo, length = [value], 0
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for each in todo:
            if isinstance(each, str):
                length += len(each.encode())
            elif isinstance(each, list):
                inner += each
            elif isinstance(each, dict):
                inner += [each[name] for name in _NESTED & each.keys()]
        todo = inner
    return length
