"""How providers differ from OpenAI's API, as data. Each entry names the page that says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

BodyFields = Mapping[str, Any]


class CacheField(Enum):
    """What becomes of the body field `cache` that SkyrimNet sends."""

    DROPPED = "dropped"
    """The provider does not know it, and refuses what it does not know or ignores it."""
    OBJECT = "object"
    """true becomes an object, false is dropped, an object stays."""
    BOOLEAN = "boolean"
    """An object becomes whether its type is random, a boolean stays."""


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How to switch reasoning off and on for the models whose name matches.

    :ivar models: searched for in the model's name, in lower case.
    """

    models: re.Pattern[str]
    off: BodyFields
    on: BodyFields


@dataclass(frozen=True, slots=True)
class Fix:
    """What models whose name matches want otherwise.

    :ivar rename: fields by another name.
    :ivar drop: fields that they refuse.
    """

    models: re.Pattern[str]
    rename: Mapping[str, str] = field(default_factory=dict)
    drop: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Dialect:
    """The rules of one provider's API.

    :ivar pages: where its documentation tells them.
    :ivar reasoning: the first entry that matches the model is used; none: the provider has no switch for it.
    :ivar key_path: below base_url, what tells of a key at no cost; None: only the list of models may.
    :ivar home: how addresses of the provider itself begin, who is stricter than others that speak the same.
    :ivar loading: what one says that is about to load its model, for the while that takes; None: none does.
    :ivar not_in_chat: fields of other endpoints that are refused there in a chat. SkyrimNet sends OpenRouter's.
    """

    name: str
    pages: tuple[str, ...]
    cache: CacheField = CacheField.DROPPED
    reasoning: tuple[Reasoning, ...] = ()
    fixes: tuple[Fix, ...] = ()
    key_path: str | None = None
    loading: re.Pattern[str] | None = None
    home: str = ""
    not_in_chat: frozenset[str] = frozenset()


REASONING_FIELDS = frozenset(
    {
        "reasoning",
        "reasoning_effort",
        "reasoning_format",
        "include_reasoning",
        "thinking",
        "enable_thinking",
        "prompt_mode",
        "chat_template_kwargs",
    }
)
"""The fields by which a client may ask for reasoning, in any dialect; a slot that forces it off removes them."""

SYNONYMS: BodyFields = MappingProxyType(
    {
        # "max_tokens and max_completion_tokens cannot both be set", says OpenAI.
        "max_tokens": "max_completion_tokens",
        "max_completion_tokens": "max_tokens",
        # Mistral's.
        "seed": "random_seed",
        "random_seed": "seed",
    }
)
"""Fields that are another's under another name: a request that has one does without the other."""

_ANY = re.compile("")
_OPENAI_REASONING = re.compile(r"^(o[1-9]|gpt-5)(?!.*chat)")

_OPENAI = Dialect(
    name="openai",
    pages=(
        "https://platform.openai.com/docs/api-reference/chat/create",
        "https://platform.openai.com/docs/guides/reasoning",
    ),
    reasoning=(
        Reasoning(re.compile(r"^gpt-5\.[1-9](?!.*chat)"), {"reasoning_effort": "none"}, {"reasoning_effort": "medium"}),
        Reasoning(re.compile(r"^gpt-5(?!.*chat)"), {"reasoning_effort": "minimal"}, {"reasoning_effort": "medium"}),
        Reasoning(re.compile(r"^o[1-9]"), {"reasoning_effort": "low"}, {"reasoning_effort": "medium"}),
    ),
    fixes=(
        # max_tokens is "not compatible with o-series models"; sampling parameters are refused by reasoning models.
        Fix(
            _OPENAI_REASONING,
            rename={"max_tokens": "max_completion_tokens"},
            drop=frozenset({"temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias"}),
        ),
    ),
    # "Unknown parameter: 'reasoning'." (https://github.com/dongri/openai-api-rs/issues/198)
    home="https://api.openai.com/",
    not_in_chat=frozenset({"reasoning"}),
)

_OPENROUTER = Dialect(
    name="openrouter",
    pages=(
        "https://openrouter.ai/docs/api-reference/parameters",
        "https://openrouter.ai/docs/use-cases/reasoning-tokens",
        "https://openrouter.ai/docs/api-reference/limits",
    ),
    # Its list of models is public, and says nothing of a key.
    key_path="/key",
    cache=CacheField.OBJECT,
    reasoning=(Reasoning(_ANY, {"reasoning": {"enabled": False}}, {"reasoning": {"enabled": True}}),),
)

_ZAI = Dialect(
    name="zai",
    pages=("https://docs.z.ai/api-reference/llm/chat-completion",),
    cache=CacheField.BOOLEAN,
    reasoning=(Reasoning(_ANY, {"thinking": {"type": "disabled"}}, {"thinking": {"type": "enabled"}}),),
)

_MISTRAL = Dialect(
    name="mistral",
    pages=("https://docs.mistral.ai/api/", "https://docs.mistral.ai/capabilities/reasoning/"),
    reasoning=(Reasoning(re.compile("magistral"), {"prompt_mode": None}, {"prompt_mode": "reasoning"}),),
    fixes=(Fix(_ANY, rename={"max_completion_tokens": "max_tokens", "seed": "random_seed"}),),
)

_GOOGLE = Dialect(
    name="google",
    pages=("https://ai.google.dev/gemini-api/docs/openai",),
    reasoning=(
        # Reasoning cannot be turned off for the Pro models and those of Gemini 3.
        Reasoning(re.compile(r"gemini-(2\.5-pro|3)"), {"reasoning_effort": "low"}, {"reasoning_effort": "medium"}),
        Reasoning(re.compile(r"gemini-2\.5"), {"reasoning_effort": "none"}, {"reasoning_effort": "medium"}),
    ),
)

_GROQ = Dialect(
    name="groq",
    pages=("https://console.groq.com/docs/api-reference#chat", "https://console.groq.com/docs/reasoning"),
    reasoning=(
        Reasoning(re.compile("gpt-oss"), {"reasoning_effort": "low"}, {"reasoning_effort": "medium"}),
        Reasoning(re.compile("qwen3"), {"reasoning_effort": "none"}, {"reasoning_effort": "default"}),
    ),
    # "property 'reasoning' is unsupported" (https://github.com/musistudio/llms/pull/64)
    home="https://api.groq.com/",
    not_in_chat=frozenset({"reasoning"}),
)

_LOCAL = Dialect(
    name="local",
    pages=(
        "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
        "https://docs.vllm.ai/en/latest/features/reasoning_outputs.html",
        "https://docs.ollama.com/api/openai-compatibility",
    ),
    reasoning=(
        Reasoning(
            _ANY,
            {"chat_template_kwargs": {"enable_thinking": False}, "reasoning": {"effort": "none"}},
            {"chat_template_kwargs": {"enable_thinking": True}},
        ),
    ),
    # llama.cpp's, by 503 (its README, GET /health)
    loading=re.compile("loading model", re.IGNORECASE),
)

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {each.name: each for each in (_OPENAI, _OPENROUTER, _ZAI, _MISTRAL, _GOOGLE, _GROQ, _LOCAL)}
)
"""All dialects by the names that the configuration uses."""
