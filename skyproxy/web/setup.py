"""``/api/setup``: what the configuration has and lacks, for who begins. No value of a key is in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from skyproxy.config import Config, ProviderConfig
from skyproxy.config.hosts import is_loopback
from skyproxy.config.known import BY_NAME, SLOTS
from skyproxy.pipeline.proxy import Runtime
from skyproxy.pipeline.router import Candidate
from skyproxy.telemetry.reloads import Reloads
from skyproxy.telemetry.requests.words import job
from skyproxy.telemetry.usage import Tokens

VERSION = 1

_MANY = 1000
"""Tokens whose cost tells the price of a million: too few for the prices of long prompts."""


class Setup:
    """What is configured.

    :param runtime: gives the current runtime.
    :param url: of the API.
    :param needs_key: whether clients need keys.
    """

    def __init__(
        self,
        runtime: Callable[[], Runtime],
        reloads: Reloads,
        url: Callable[[], str],
        needs_key: Callable[[], bool] = bool,
    ) -> None:
        self._runtime = runtime
        self._reloads = reloads
        self._url = url
        self._needs_key = needs_key

    def facts(self) -> dict[str, Any]:
        """What ``GET /api/setup`` answers."""
        runtime = self._runtime()
        config = runtime.config
        slots = {name: runtime.router.configured(name) for name in config.model_slots}
        needed = {each.provider.name for candidates in slots.values() for each in candidates}
        found = config.found
        return {
            "v": VERSION,
            "url": self._url(),
            "needs_key": self._needs_key(),
            "configuration": config.source,
            "demo": config.is_demo,
            "env_file": str(found.env_files[0]) if found is not None and found.env_files else None,
            "providers": [_provider(each, each.name in needed) for each in config.providers.values()],
            "slots": [_slot(name, candidates) for name, candidates in slots.items()],
            "unserved": _unserved(config),
            "problems": list(self._reloads.problems),
            "warnings": list(config.warnings),
        }


def _unserved(config: Config) -> list[str]:
    """The names that SkyrimNet asks for, too, where the configuration is for it: requests for these are refused."""
    missing = [name for name in SLOTS if name not in config.model_slots]
    served = config.proxy.fallback_to_default or len(missing) == len(SLOTS)
    return [] if served else missing


def _provider(config: ProviderConfig, needed: bool) -> dict[str, Any]:
    host = urlsplit(config.base_url).hostname or ""
    found = {key.variable: key.place for key in config.api_keys}
    return {
        "name": config.name,
        "base_url": config.base_url,
        "local": is_loopback(host),
        "demo": config.base_url.startswith("embedded:"),
        "needed": needed,
        "key_page": BY_NAME[config.name].key_page if config.name in BY_NAME else "",
        "keys": [
            {"variable": name, "found": name in found, "place": found.get(name)} for name in config.api_key_env or ()
        ],
    }


def _slot(name: str, candidates: tuple[Candidate, ...]) -> dict[str, Any]:
    first = candidates[0]
    return {
        "name": name,
        "job": job(name),
        "candidates": [f"{each.provider.name}:{each.model}" for each in candidates],
        "price": _price(first),
    }


def _price(candidate: Candidate) -> dict[str, Any] | None:
    """Of a million tokens; None: it is not known."""
    prompt, completion = (
        candidate.prices.cost(candidate.provider.name, candidate.model, tokens)
        for tokens in (Tokens(_MANY, 0), Tokens(0, _MANY))
    )
    if prompt.amount is None or completion.amount is None:
        return None
    per_million = 1_000_000 / _MANY
    return {
        "prompt": round(prompt.amount * per_million, 9),
        "completion": round(completion.amount * per_million, 9),
        "currency": prompt.currency,
        "source": prompt.source,
    }
