"""Reasoning in the chunks of chat completions and of completions."""

from __future__ import annotations

from typing import Any

from skyproxy.formats.openai.bodies import choices_of
from skyproxy.formats.openai.reasoning.answers import drop_fields, strip_content, strip_parts
from skyproxy.formats.openai.reasoning.tags import TagStripper, strip_text

MOST_TEXTS = 256
"""Texts of one stream that are distinguished. Nobody asks for as many choices; those beyond are taken for one."""


class Chunks:
    """Takes reasoning out of one stream's chunks. Each choice is a text of its own."""

    def __init__(self) -> None:
        self._texts: dict[tuple[bool, int | None], TagStripper] = {}
        self._last: dict[str, Any] = {}

    @property
    def passive(self) -> bool:
        """Whether a chunk goes on as it is if it has nothing that begins a tag, and no field or part for reasoning."""
        return bool(self._texts) and all(text.passive for text in self._texts.values())

    def edit(self, value: dict[str, Any]) -> list[dict[str, Any]] | None:
        """What goes on in place of the chunk *value*, which may be changed for it; None: as it came."""
        changed = left = False
        for choice in choices_of(value):
            changed = drop_fields(choice) or changed
            delta, message = choice.get("delta"), choice.get("message")
            if isinstance(message, dict):
                changed, left = _edit_message(choice, message) or changed, True
            if isinstance(delta, dict):
                changed = self._edit_delta(choice, delta) or changed
                left = left or bool(delta)
            elif isinstance(choice.get("text"), str):
                changed = self._edit_text(choice) or changed
                left = left or bool(choice["text"])
            else:
                left = True
            left = left or choice.get("finish_reason") is not None
            self._last = value
        if not changed:
            return None
        return [value] if left or value.get("usage") or value.get("error") else []

    def rest(self) -> list[dict[str, Any]]:
        """The stream has ended: chunks with what was pending because it might have been a tag."""
        frame = {name: each for name, each in self._last.items() if name not in ("choices", "usage")}
        chunks = []
        for (in_delta, index), text in self._texts.items():
            if said := text.flush():
                place = {"delta": {"content": said}} if in_delta else {"text": said}
                chunks.append({**frame, "choices": [{"index": index, **place, "finish_reason": None}]})
        return chunks

    def _edit_delta(self, choice: dict[str, Any], delta: dict[str, Any]) -> bool:
        changed = drop_fields(delta)
        text = self._text_of(choice, in_delta=True)
        content = delta.get("content")
        if isinstance(content, list):
            return self._edit_parts(choice, delta, content, text) or changed
        if content is not None and not isinstance(content, str):
            # A number, as Cloudflare writes digits (https://github.com/decolua/9router/issues/1645).
            return changed
        said = text.feed(content) if isinstance(content, str) else ""
        if choice.get("finish_reason") is not None:
            said += text.flush()
        if said != (content or ""):
            changed = True
            if said:
                delta["content"] = said
            else:
                del delta["content"]
        elif changed and not content and "content" in delta and "role" not in delta:
            del delta["content"]
        return changed

    def _edit_parts(self, choice: dict[str, Any], delta: dict[str, Any], content: list[Any], text: TagStripper) -> bool:
        kept, changed = strip_parts(content, text.feed)
        if choice.get("finish_reason") is not None and (said := text.flush()):
            kept.append({"type": "text", "text": said})
            changed = True
        if changed:
            delta["content"] = kept = [part for part in kept if part != {"type": "text", "text": ""}]
            if not kept:
                del delta["content"]
        return changed

    def _edit_text(self, choice: dict[str, Any]) -> bool:
        text = self._text_of(choice, in_delta=False)
        said = text.feed(choice["text"])
        if choice.get("finish_reason") is not None:
            said += text.flush()
        if said == choice["text"]:
            return False
        choice["text"] = said
        return True

    def _text_of(self, choice: dict[str, Any], *, in_delta: bool) -> TagStripper:
        index = choice.get("index")
        key = (in_delta, index if isinstance(index, int) else None)
        text = self._texts.get(key)
        if text is None:
            key = key if len(self._texts) < MOST_TEXTS else (in_delta, None)
            text = self._texts.setdefault(key, TagStripper())
        return text


def _edit_message(choice: dict[str, Any], message: dict[str, Any]) -> bool:
    """Of all that was said so far, which Perplexity repeats in each chunk, and MiniMax in the last."""
    so_far = choice.get("finish_reason") is None
    changed = drop_fields(message)
    return strip_content(message, (lambda text: TagStripper().feed(text)) if so_far else strip_text) or changed
