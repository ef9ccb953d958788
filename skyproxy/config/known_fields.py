"""The fields of a body that a provider takes who refuses what it does not know.

SkyrimNet sends fields of OpenRouter's (``provider``, ``reasoning``, ``route``), to which OpenAI, Google, Mistral and
Groq answer 400 or 422.
"""

from __future__ import annotations

from importlib.resources import files

import yaml


def fields_of(provider: str) -> tuple[str, ...]:
    """Those of *provider*, a name in the sample, which has the pages that tell them; empty: it ignores what it does not
    know, as OpenRouter does, or the sample has no such provider.
    """
    if provider == "openrouter":
        return ()
    sample = yaml.safe_load(files("skyproxy.config").joinpath("sample/providers.yaml").read_text("utf-8"))
    return tuple(sample["providers"].get(provider, {}).get("allowed_fields", ()))
