"""Keys without which slots cannot be served."""

from __future__ import annotations

from collections.abc import Mapping

from skyproxy.config import Config
from skyproxy.config.hints import no_key


def missing_keys(config: Config) -> Mapping[str, str]:
    """The variables that hold no key, by their providers: those that a slot asks first."""
    used = {slot.provider for slot in config.model_slots.values()}
    return {
        name: provider.key_missing
        for name, provider in config.providers.items()
        if name in used and provider.key_missing is not None
    }


def of_missing_keys(config: Config) -> tuple[str, ...]:
    """The warnings of *config* that say so, with what to type."""
    beginnings = tuple(map(no_key, missing_keys(config)))
    return tuple(warning for warning in config.warnings if warning.startswith(beginnings))
