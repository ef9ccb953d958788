"""Providers that a configuration can be proposed for, as data. Each entry names the page that says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

Use = Literal["talk", "judge", "see", "work"]
"""What a slot is for: talk (a player waits for the first word), judge (short and often), see (pictures), work (long, in
the background)."""

SLOTS: Mapping[str, Use] = {
    "default": "talk",
    "combat": "talk",
    "action_evaluation": "judge",
    "meta": "judge",
    "vision": "see",
    "gamemaster_evaluation": "judge",
    "memory": "work",
    "AgentDefault": "work",
    "DiaryGeneration": "work",
    "CharacterProfileGeneration": "work",
    "UniversalTranslator": "judge",
}
"""The names that SkyrimNet asks for."""


@dataclass(frozen=True, slots=True)
class Known:
    """A provider.

    :ivar title: its name for people.
    :ivar variable: that holds its key; None: it wants none.
    :ivar key: the form of its keys; None: they have none of their own.
    :ivar key_page: where keys are made.
    :ivar models: for each use, in the order of preference; patterns that are searched for in the names of the models
        that it has.
    """

    name: str
    title: str
    base_url: str
    variable: str | None = None
    key: re.Pattern[str] | None = None
    key_page: str = ""
    models: Mapping[Use, tuple[str, ...]] = field(default_factory=dict)


CLOUD: tuple[Known, ...] = (
    Known(
        "openrouter", "OpenRouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY",
        re.compile(r"sk-or-v1-[0-9a-f]{64}"), "https://openrouter.ai/settings/keys",
        {
            "talk": (r"^mistralai/mistral-small-3\.2", r"^mistralai/mistral-small", r"^google/gemini-2\.5-flash$"),
            "judge": (r"^google/gemini-2\.5-flash-lite$", r"^google/gemini-.*flash-lite", r"^openai/gpt-4o-mini$"),
            "see": (r"^google/gemini-2\.5-flash$", r"^google/gemini-.*flash", r"^openai/gpt-4o-mini$"),
            "work": (r"^deepseek/deepseek-chat-v3\.1$", r"^deepseek/deepseek-chat", r"^google/gemini-2\.5-flash$"),
        },
    ),
    Known(
        "openai", "OpenAI", "https://api.openai.com/v1", "OPENAI_API_KEY",
        re.compile(r"sk-(proj-|svcacct-)?(?!or-|ant-)[A-Za-z0-9_-]{40,}"), "https://platform.openai.com/api-keys",
        {
            "talk": (r"^gpt-4\.1-mini$", r"^gpt-4o-mini$", r"^gpt-4"),
            "judge": (r"^gpt-4\.1-nano$", r"^gpt-4o-mini$", r"^gpt-4"),
            "see": (r"^gpt-4\.1-mini$", r"^gpt-4o-mini$", r"^gpt-4"),
            "work": (r"^gpt-4\.1$", r"^gpt-4o$", r"^gpt-4"),
        },
    ),
    Known(
        "google", "Google AI Studio", "https://generativelanguage.googleapis.com/v1beta/openai", "GOOGLE_API_KEY",
        re.compile(r"AIza[0-9A-Za-z_-]{35}"), "https://aistudio.google.com/apikey",
        {
            "talk": (r"gemini-2\.5-flash$", r"gemini-.*flash$", r"gemini"),
            "judge": (r"gemini-2\.5-flash-lite$", r"gemini-.*flash-lite", r"gemini-.*flash", r"gemini"),
            "see": (r"gemini-2\.5-flash$", r"gemini-.*flash$", r"gemini"),
            "work": (r"gemini-2\.5-flash$", r"gemini-.*flash$", r"gemini"),
        },
    ),
    Known(
        "mistral", "Mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY",
        None, "https://console.mistral.ai/api-keys",
        {
            "talk": (r"^mistral-small-latest$", r"^mistral-small", r"^mistral-medium"),
            "judge": (r"^ministral-8b-latest$", r"^ministral", r"^mistral-small"),
            "see": (r"^mistral-small-latest$", r"^pixtral", r"^mistral-small"),
            "work": (r"^mistral-medium-latest$", r"^mistral-medium", r"^mistral-large", r"^mistral-small"),
        },
    ),
    Known(
        "groq", "Groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY",
        re.compile(r"gsk_[A-Za-z0-9]{40,}"), "https://console.groq.com/keys",
        {
            "talk": (r"^llama-3\.3-70b-versatile$", r"^llama.*70b", r"^llama"),
            "judge": (r"^llama-3\.1-8b-instant$", r"^llama.*8b", r"^llama"),
            "see": (r"^meta-llama/llama-4-scout", r"^meta-llama/llama-4", r"^llama"),
            "work": (r"^llama-3\.3-70b-versatile$", r"^llama.*70b", r"^llama"),
        },
    ),
    Known(
        "zai", "z.ai", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY",
        re.compile(r"[0-9a-f]{32}\.[A-Za-z0-9]{16}"), "https://z.ai/manage-apikey/apikey-list",
        {
            "talk": (r"^glm-4\.5-air$", r"^glm-4\.5-airx$", r"^glm"),
            "judge": (r"^glm-4\.5-flash$", r"^glm-4\.5-air$", r"^glm"),
            "see": (r"^glm-4\.5v$", r"^glm-.*v$", r"^glm"),
            "work": (r"^glm-4\.6$", r"^glm-4\.5$", r"^glm"),
        },
    ),
)  # fmt: skip
"""In the order in which they are offered. Keys' forms are those of the pages where keys are made."""

LOCAL: tuple[Known, ...] = (
    # https://docs.ollama.com/api/openai-compatibility
    Known("ollama", "Ollama", "http://127.0.0.1:11434/v1"),
    # https://lmstudio.ai/docs/developer/openai-compat
    Known("lmstudio", "LM Studio", "http://127.0.0.1:1234/v1"),
    # https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
    Known("llamacpp", "llama.cpp", "http://127.0.0.1:8080/v1"),
    # https://github.com/LostRuins/koboldcpp/wiki
    Known("koboldcpp", "KoboldCpp", "http://127.0.0.1:5001/v1"),
)
"""Servers that may run on this machine."""

_OUR_KEY = re.compile(r"sky-[A-Za-z0-9]{40,}")

BY_NAME: Mapping[str, Known] = {each.name: each for each in (*CLOUD, *LOCAL)}


def of_key(key: str) -> Known | None:
    """Whose key *key* is, by its form; None: that cannot be told."""
    return next((each for each in CLOUD if each.key is not None and each.key.fullmatch(key)), None)


def of_another(key: str, base_url: str) -> str | None:
    """Whose key *key* is by its form, where it is to go to another provider's address; None: that cannot be told."""
    host = urlsplit(base_url).hostname
    here = next((each for each in CLOUD if urlsplit(each.base_url).hostname == host), None)
    if here is None or here.key is None or here.key.fullmatch(key):
        return None
    if _OUR_KEY.fullmatch(key):
        return "skyproxy's own, which its clients bring"
    other = of_key(key)
    return None if other is None else f"{other.title}'s"


def trouble_with(key: str, provider: Known) -> str | None:
    """What is wrong with *key* as it was typed; None: nothing that can be seen. It never repeats the key."""
    if not key:
        return "it is empty"
    if key.lower().startswith("bearer "):
        return "leave out 'Bearer': the key alone is wanted"
    if provider.variable is not None and re.match(rf"(?:export\s+|set\s+|\$env:)?{provider.variable}\s*=", key, re.I):
        return f"leave out '{provider.variable}=': the key alone is wanted"
    if "\x16" in key or key == "\xe0R":
        # What getpass makes of Ctrl-V, and of Shift and Insert: https://github.com/python/cpython/issues/81607
        return "these keys do not paste here: click the right mouse button, or press Ctrl, Shift and V"
    if any(letter.isspace() for letter in key):
        return "it has a space or a line break in it"
    if not key.isascii() or not key.isprintable():
        return "it has characters that no key has (curly quotes of a text editor?)"
    if key[0] in "'\"" or key[-1] in "'\"":
        return "leave out the quotes"
    other = of_key(key)
    if other is not None and other.name != provider.name and provider.key is not None:
        return f"it has the form of a key of {other.title}"
    return None


def propose(provider: Known, models: list[str]) -> dict[str, str]:
    """A model of *models*, which *provider* has, for each slot; without models, nothing.

    Where nobody knows which of its models is for what, as on a server of one's own, the first one does everything;
    those that only make vectors, sounds or pictures are left out.
    """
    chat = [each for each in models if not _NO_CHAT.search(each.lower())] or models
    if not chat:
        return {}
    chosen: dict[str, str] = {}
    for slot, use in SLOTS.items():
        patterns = provider.models.get(use, ())
        found = (next((each for each in chat if re.search(pattern, each)), None) for pattern in patterns)
        chosen[slot] = next((each for each in found if each is not None), chat[0])
    return chosen


_NO_CHAT = re.compile(r"embed|whisper|tts|dall-e|moderation|rerank|image|audio|realtime|transcri|guard|ocr|clip|bge-")
