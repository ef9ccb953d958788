"""Which dialect of the API a provider speaks, where the configuration does not say."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

Dialect = Literal["openai", "openrouter", "zai", "mistral", "google", "groq", "local"]

_BY_NAME: dict[str, Dialect] = {
    "openai": "openai",
    "openrouter": "openrouter",
    "zai": "zai",
    "zhipu": "zai",
    "bigmodel": "zai",
    "mistral": "mistral",
    "mistralai": "mistral",
    "google": "google",
    "gemini": "google",
    "groq": "groq",
    "local": "local",
    "ollama": "local",
    "llamacpp": "local",
    "lmstudio": "local",
    "koboldcpp": "local",
    "vllm": "local",
}

_BY_DOMAIN: dict[str, Dialect] = {
    "openai.com": "openai",
    "openrouter.ai": "openrouter",
    "z.ai": "zai",
    "bigmodel.cn": "zai",
    "mistral.ai": "mistral",
    "generativelanguage.googleapis.com": "google",
    "groq.com": "groq",
    # Never registered in the public DNS (RFC 6761, 6762, 8375; ICANN reserves .internal).
    "localhost": "local",
    "local": "local",
    "home.arpa": "local",
    "internal": "local",
}

_WORD = re.compile(r"[a-z0-9]+")


def guess(name: str, base_url: str) -> Dialect:
    """The dialect that a provider's *name* tells, else the host of its *base_url*, else OpenAI's."""
    words = _WORD.findall(name.lower())
    # `z.ai` and `llama.cpp` are one word here, and `openrouter-cheap` is known by its first.
    for word in ("".join(words), *words[:1]):
        if word in _BY_NAME:
            return _BY_NAME[word]
    host = urlsplit(base_url).hostname
    if host is None:
        return "local"
    try:
        # Covers loopback and link-local addresses too.
        return "local" if ip_address(host).is_private else "openai"
    except ValueError:
        labels = host.rstrip(".").split(".")
    for start in range(len(labels)):
        dialect = _BY_DOMAIN.get(".".join(labels[start:]))
        if dialect is not None:
            return dialect
    return "local" if len(labels) == 1 else "openai"
