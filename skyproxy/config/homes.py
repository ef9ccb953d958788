"""Where keys belong that stand in another section than theirs, and other programs' names for some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skyproxy.config.proxy_settings import Address, ProxySettings
from skyproxy.config.resilience import BreakerSettings
from skyproxy.config.schema import ProviderConfig, ProviderDefaults, SlotConfig
from skyproxy.config.sections import SECTIONS

OF_BODY = (
    "temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "stop", "seed", "presence_penalty",
    "frequency_penalty", "repetition_penalty", "reasoning", "reasoning_effort", "thinking", "logit_bias",
    "response_format",
)  # fmt: skip
"""Fields of a request's body that people put beside the model."""

MADE_OF_PROVIDER = ("name", "api_key", "api_keys", "key_missing", "ca_certificates", "header_secrets", "via")
"""What a provider has that is made by skyproxy, and not written in a file."""

TIMEOUTS: Mapping[str, str] = dict.fromkeys(
    ("timeout", "request_timeout", "timeout_ms"), "unknown key: write default_timeout"
)
"""Other programs' names for what a provider, or a slot, has."""


def _all(keys: Iterable[str], words: str) -> dict[str, str]:
    return dict.fromkeys(keys, f"unknown key here: {words}")


_KEYS = ("api_key", "apiKey", "apikey", "api-key", "token", "secret", "password")

HOMES: Mapping[str, str] = {
    **_all(_KEYS, "a key goes into .env, as NAME=key, and api_key_env at the provider names it"),
    **_all(OF_BODY, "put it under `params:` of a slot"),
    "ttl": "unknown key here: put it under `cache:`",
    **_all(BreakerSettings.model_fields, "put it under `breaker:`"),
    **_all(
        (key for key in SlotConfig.model_fields if key != "name"), "put it at a slot, which stands under `model_slots:`"
    ),
    **_all(
        (key for key in ProviderConfig.model_fields if key not in MADE_OF_PROVIDER),
        "put it at the provider, which stands under `providers:`",
    ),
    **_all(ProviderDefaults.model_fields, "put it under `defaults:`, or at a provider"),
    **_all((*Address.model_fields, *ProxySettings.model_fields), "put it under `proxy:`"),
    **_all(SECTIONS, "this is a section: begin its line at the left edge"),
}
"""What to do with each key, where it is not known. Of several places the last one here is told."""

OF_SLOTS: Mapping[str, str] = {
    **HOMES,
    **dict.fromkeys(OF_BODY, "unknown key: put it under `params:`"),
    "stream": "unknown key: leave it out, for each client says whether it wants a stream",
    **TIMEOUTS,
}

_MEANT = (("host", "listen_address"), ("port", "listen_port"), ("cors", "cors_origins"), ("budget", "purse"))
OF_PROXY: Mapping[str, str] = {
    **HOMES,
    **{key: f"unknown key: write {meant}" for key, meant in _MEANT},
    **dict.fromkeys(TIMEOUTS, "unknown key: write default_timeout under `defaults:`, or at a provider"),
}

OF_DEFAULTS: Mapping[str, str] = {**HOMES, **TIMEOUTS}
