"""Takes what a model thought out of what it says: reasoning fields, and text between tags such as `<think>`."""

from __future__ import annotations

import re
from typing import Any

import orjson

from skyproxy.sse import as_object, boundary_before, payloads

# Where providers put reasoning beside the content: DeepSeek, Groq, OpenRouter (https://openrouter.ai/docs/use-cases/
# reasoning-tokens), llama.cpp and vLLM (`--reasoning-format`), Ollama.
_FIELDS = ("reasoning", "reasoning_content", "reasoning_details", "thinking")

_TAGS = ("think", "thinking", "thought", "reasoning")
_OPEN = {f"<{tag}>": f"</{tag}>" for tag in _TAGS}
_OPENING = re.compile("|".join(map(re.escape, _OPEN)))
_LONGEST_TAG = max(map(len, _OPEN)) + 1


class TagStripper:
    """Takes tagged reasoning out of a text that comes in pieces, cut anywhere.

    White space between the reasoning and what is said goes with it. A tag that is never closed hides the rest.
    """

    __slots__ = ("_blank", "_closing", "_held", "_said", "_stripped")

    def __init__(self) -> None:
        self._held = self._blank = ""
        self._closing: str | None = None
        self._said = False
        self._stripped = False

    def feed(self, text: str) -> str:
        """The next piece of the text; what of it, and of what was held, can be said now."""
        text = self._held + text
        self._held = ""
        said = []
        while text:
            if self._closing is not None:
                end = text.find(self._closing)
                if end < 0:
                    self._held = text[-(len(self._closing) - 1) :]
                    break
                text = text[end + len(self._closing) :]
                self._closing = None
                self._stripped = True
                continue
            found = _OPENING.search(text)
            if found is None:
                keep = _begun_tag(text)
                said.append(self._spoken(text[: len(text) - keep]))
                self._held = text[len(text) - keep :]
                break
            said.append(self._spoken(text[: found.start()]))
            self._closing = _OPEN[found.group()]
            text = text[found.end() :]
        return "".join(said)

    def flush(self) -> str:
        """The text has ended: what was held because it might have been a tag."""
        held, self._held = self._held, ""
        if self._closing is not None:
            return ""
        said = self._spoken(held)
        blank, self._blank = self._blank, ""
        return said if self._stripped else said + blank

    def _spoken(self, text: str) -> str:
        if self._said:
            return text
        # Whether the white space at the beginning goes is not known before the first word.
        text = self._blank + text
        if not text.strip():
            self._blank = text
            return ""
        self._said = True
        self._blank = ""
        return text.lstrip() if self._stripped else text


def _begun_tag(text: str) -> int:
    """How many characters at the end of *text* may be the beginning of a tag."""
    start = text.rfind("<", max(0, len(text) - _LONGEST_TAG))
    if start < 0:
        return 0
    begun = text[start:]
    return len(begun) if any(tag.startswith(begun) for tag in _OPEN) else 0


def strip_answer(value: dict[str, Any]) -> None:
    """Take reasoning out of a whole answer, in place."""
    for choice in _choices(value):
        message = choice.get("message")
        if isinstance(message, dict):
            for name in _FIELDS:
                message.pop(name, None)
            content = message.get("content")
            if isinstance(content, str):
                message["content"] = _strip_text(content)
        if isinstance(choice.get("text"), str):
            choice["text"] = _strip_text(choice["text"])


def _strip_text(text: str) -> str:
    # Some templates open the tag in the prompt: then the answer has its end only.
    for opening, closing in _OPEN.items():
        before, found, after = text.partition(closing)
        if found and opening not in before:
            text = after.lstrip()
    stripper = TagStripper()
    return stripper.feed(text) + stripper.flush()


class StreamStripper:
    """Takes reasoning out of a stream of chat chunks. Events that have none pass as they are."""

    def __init__(self) -> None:
        self._rest = b""
        self._strippers: dict[Any, TagStripper] = {}

    def feed(self, data: bytes) -> bytes:
        """The next bytes of the stream; what of them goes on."""
        data = self._rest + data
        end = boundary_before(data, len(data))
        self._rest = data[end:]
        return b"".join(self._edit(event) for event in split_events(data[:end]))

    def flush(self) -> bytes:
        """The stream has ended: what was held because its event was not complete."""
        rest, self._rest = self._rest, b""
        return rest

    def _edit(self, event: bytes) -> bytes:
        data = b"".join(payloads(event))
        if not data.startswith(b"{"):
            return event
        value = as_object(data)
        changed = left = False
        for choice in _choices(value):
            delta = choice.get("delta")
            if not isinstance(delta, dict):
                left = True
                continue
            changed = self._edit_delta(choice, delta) or changed
            left = left or bool(delta) or choice.get("finish_reason") is not None
        if not changed:
            return event
        if not left and not value.get("usage"):
            return b""
        return b"data: " + orjson.dumps(value) + b"\n\n"

    def _edit_delta(self, choice: dict[str, Any], delta: dict[str, Any]) -> bool:
        changed = False
        for name in _FIELDS:
            if name in delta:
                del delta[name]
                changed = True
        stripper = self._strippers.setdefault(choice.get("index"), TagStripper())
        content = delta.get("content")
        said = stripper.feed(content) if isinstance(content, str) else ""
        if choice.get("finish_reason") is not None:
            said += stripper.flush()
        if said != (content or ""):
            changed = True
            if said:
                delta["content"] = said
            else:
                del delta["content"]
        elif changed and not content and "content" in delta and "role" not in delta:
            del delta["content"]
        return changed


def split_events(data: bytes) -> list[bytes]:
    """Complete events, each with the blank line that ends it."""
    return [event for event in re.split(rb"(?<=\n\n)|(?<=\r\n\r\n)|(?<=\r\r)", data) if event]


def _choices(value: dict[str, Any]) -> list[dict[str, Any]]:
    choices = value.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
