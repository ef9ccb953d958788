"""Reasoning that stands between tags in a text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

TAGS: Mapping[str, str] = MappingProxyType(
    {
        # DeepSeek, Qwen and most others (https://docs.vllm.ai/en/latest/features/reasoning_outputs.html).
        "<think>": "</think>",
        "<thinking>": "</thinking>",
        "<thought>": "</thought>",
        "<reasoning>": "</reasoning>",
        # Mistral's Magistral (https://huggingface.co/mistralai/Magistral-Small-2509).
        "[THINK]": "[/THINK]",
        # ByteDance's Seed (https://huggingface.co/ByteDance-Seed/Seed-OSS-36B-Instruct).
        "<seed:think>": "</seed:think>",
        # MiniMax's M3 (https://github.com/ikawrakow/ik_llama.cpp/pull/2008).
        "<mm:think>": "</mm:think>",
        # Meituan's LongCat (https://github.com/ml-explore/mlx-lm/pull/810).
        "<longcat_think>": "</longcat_think>",
        # Apertus (https://github.com/sgl-project/sglang/pull/25100).
        "<|inner_prefix|>": "<|inner_suffix|>",
        # OpenAI's gpt-oss, from servers that do not read its channels (https://github.com/ml-explore/mlx-lm/pull/1867).
        "<|channel|>analysis<|message|>": "<|channel|>final<|message|>",
        # Google's Gemma 4 (https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/2013).
        "<|channel>thought": "<channel|>",
        # Cohere's Command A (https://huggingface.co/CohereLabs/command-a-reasoning-08-2025).
        "<|START_THINKING|>": "<|END_THINKING|>",
        # Moonshot's Kimi-VL (https://huggingface.co/moonshotai/Kimi-VL-A3B-Thinking).
        "\u25c1think\u25b7": "\u25c1/think\u25b7",
    }
)
"""What stands around reasoning: the tags that begin it, and those that end it."""

FIRST = frozenset(tag[0] for tag in TAGS)
"""What tags begin with."""

_ALL = (*TAGS, *TAGS.values())
_TAG = re.compile("|".join(map(re.escape, _ALL)))
_LONGEST_TAG = max(map(len, _ALL))

_MOST_BLANK = 4096
"""Characters of white space that are pending until it is known whether they go."""


class TagStripper:
    """Takes tagged reasoning out of a text that comes in parts, cut anywhere.

    White space between the reasoning and what is said goes with it. A tag that is never closed hides the rest; of one
    that was never opened only the tag itself goes.
    """

    __slots__ = ("_blank", "_closing", "_pending", "_said", "_stripped")

    def __init__(self) -> None:
        self._pending = self._blank = ""
        self._closing: str | None = None
        self._said = False
        self._stripped = False

    @property
    def passive(self) -> bool:
        """Whether the next part goes on as it is if it has none of :data:`FIRST`."""
        return self._said and self._closing is None and not self._pending

    def feed(self, text: str) -> str:
        """The next part of the text; what of it, and of what is pending, can be said now."""
        text = self._pending + text
        self._pending = ""
        said = []
        start, end = 0, len(text)
        while start < end:
            if self._closing is not None:
                closed = text.find(self._closing, start)
                if closed < 0:
                    self._pending = text[max(start, end - len(self._closing) + 1) :]
                    break
                start = closed + len(self._closing)
                self._closing = None
                self._stripped = True
                continue
            found = _TAG.search(text, start)
            if found is None:
                kept = end - _begun_tag(text, start)
                said.append(self._spoken(text[start:kept]))
                self._pending = text[kept:]
                break
            said.append(self._spoken(text[start : found.start()]))
            self._closing = TAGS.get(found.group())
            self._stripped = self._stripped or self._closing is None
            start = found.end()
        return "".join(said)

    def flush(self) -> str:
        """The text has ended: what was pending because it might have been a tag."""
        pending, self._pending = self._pending, ""
        if self._closing is not None:
            return ""
        said = self._spoken(pending)
        blank, self._blank = self._blank, ""
        return said if self._stripped else said + blank

    def _spoken(self, text: str) -> str:
        if self._said:
            return text
        # Whether the white space at the beginning goes is not known before the first word.
        text = self._blank + text
        if len(text) <= _MOST_BLANK and not text.strip():
            self._blank = "" if self._stripped else text
            return ""
        self._said = True
        self._blank = ""
        return text.lstrip() if self._stripped else text


def _begun_tag(text: str, first: int) -> int:
    """How many characters at the end of *text*, from *first* on, may be the beginning of a tag."""
    near = text[max(first, len(text) - _LONGEST_TAG + 1) :]
    for start, character in enumerate(near):
        if character in FIRST and any(tag.startswith(near[start:]) for tag in _ALL):
            return len(near) - start
    return 0


def strip_text(text: str) -> str:
    """A whole *text* without tagged reasoning, that too whose beginning is in the prompt."""
    for opening, closing in TAGS.items():
        before, found, after = text.partition(closing)
        if found and opening not in before:
            text = after.lstrip()
    stripper = TagStripper()
    return stripper.feed(text) + stripper.flush()
