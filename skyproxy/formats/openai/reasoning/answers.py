"""Reasoning in whole answers, and in what whole answers and events of streams are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skyproxy.formats.openai.bodies import choices_of
from skyproxy.formats.openai.event_names import REASONING_PREFIX
from skyproxy.formats.openai.reasoning.tags import strip_text

# Where providers put reasoning beside the content: DeepSeek, Groq, OpenRouter (https://openrouter.ai/docs/use-cases/
# reasoning-tokens), llama.cpp and vLLM (`--reasoning-format`), Ollama; LiteLLM (https://docs.litellm.ai/docs/
# reasoning_content); GitHub Copilot; Perplexity, of what it does while it searches.
_FIELDS = (
    *("reasoning", "reasoning_content", "reasoning_details", "thinking", "thinking_blocks"),
    *("reasoning_text", "reasoning_opaque", "reasoning_steps", "reasoningContentBlocks"),
)

_BESIDE = "provider_specific_fields"
"""LiteLLM's, for the same once more."""

# Parts of a content: Mistral (https://docs.mistral.ai/capabilities/reasoning/), Anthropic. The Responses API's items
# and parts all have types that begin with `reasoning`.
_THINKING = ("thinking", "redacted_thinking")


def strip_answer(value: dict[str, Any]) -> list[str]:
    """Take reasoning out of a whole answer of any endpoint, in place; the members in which there was some."""
    changed = False
    for choice in choices_of(value):
        changed = drop_fields(choice) or changed
        changed = _strip_at(choice, "text") or changed
        message = choice.get("message")
        if isinstance(message, dict):
            changed = drop_fields(message) or changed
            changed = strip_content(message) or changed
    names = ["choices"] if changed else []
    if strip_output(value):
        names += [name for name in ("output", "output_text") if name in value]
    return names


def strip_output(response: dict[str, Any]) -> bool:
    """Take reasoning out of an answer of the Responses API, in place; whether there was any."""
    changed = _strip_at(response, "output_text")
    output = response.get("output")
    if not isinstance(output, list):
        return changed
    kept = [item for item in output if not is_thought(item)]
    if len(kept) < len(output):
        response["output"] = kept
        changed = True
    for item in kept:
        if isinstance(item, dict):
            changed = strip_content(item) or changed
    return changed


def strip_content(message: dict[str, Any], strip: Callable[[str], str] = strip_text) -> bool:
    """Take reasoning out of the content of *message*, a text or a list of parts; whether there was any."""
    content = message.get("content")
    if not isinstance(content, list):
        return _strip_at(message, "content", strip)
    kept, changed = strip_parts(content, strip)
    if changed:
        message["content"] = kept
    return changed


def strip_parts(parts: list[Any], strip: Callable[[str], str]) -> tuple[list[Any], bool]:
    """Those of *parts* that are no reasoning, with their texts as *strip* leaves them; whether that is a change."""
    kept = [part for part in parts if not is_thought(part)]
    changed = len(kept) < len(parts)
    for part in kept:
        if isinstance(part, dict):
            changed = _strip_at(part, "text", strip) or changed
    return kept, changed


def strip_part(part: dict[str, Any]) -> bool:
    """Take reasoning out of the text of *part*; whether there was any."""
    return _strip_at(part, "text")


def drop_fields(message: dict[str, Any]) -> bool:
    """Drop the fields that hold reasoning; whether there was one."""
    beside = message.get(_BESIDE)
    holders = (message, beside) if isinstance(beside, dict) else (message,)
    return any([each.pop(name, _MISSING) is not _MISSING for each in holders for name in _FIELDS])


def is_thought(value: Any) -> bool:
    """Whether *value*, an item or a part, is nothing but reasoning."""
    kind = value.get("type") if isinstance(value, dict) else None
    return isinstance(kind, str) and (kind.startswith("reasoning") or kind in _THINKING)


def brings_thoughts(event: Mapping[str, Any]) -> bool:
    """Whether *event*, of a stream, brings what a model thinks."""
    kind = event.get("type")
    if isinstance(kind, str) and kind.startswith(REASONING_PREFIX):
        return bool(event.get("delta"))
    return any(map(_choice_thinks, choices_of(event)))


def _choice_thinks(choice: Mapping[str, Any]) -> bool:
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return False
    content = delta.get("content")
    return any(delta.get(name) for name in _FIELDS) or (isinstance(content, list) and any(map(is_thought, content)))


def _strip_at(values: dict[str, Any], name: str, strip: Callable[[str], str] = strip_text) -> bool:
    text = values.get(name)
    if not isinstance(text, str):
        return False
    said = strip(text)
    if said == text:
        return False
    values[name] = said
    return True


_MISSING = object()
