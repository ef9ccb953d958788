"""What is doubtful about the keys that providers have: each with its place, and never the key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skyproxy.config.known import of_another
from skyproxy.config.schema import ProviderConfig
from skyproxy.config.variables import Variables, doubt_of_key


def doubts_of_keys(providers: Iterable[ProviderConfig], variables: Variables) -> Iterator[str]:
    """One sentence for each."""
    for provider in providers:
        for key in provider.api_keys:
            place, line, value = variables.get(key.variable)
            words = doubt_of_key(value) or _of_another(value, provider)
            if words is not None:
                where = place if line is None else f"{place}:{line}"
                yield f"{where}: {key.variable} {words}."
            hidden = variables.hidden(key.variable)
            if hidden is not None:
                file, line = hidden
                words = "has another value in the environment, which goes before this file"
                yield f"{file}:{line}: {key.variable} {words}."


def _of_another(value: str, provider: ProviderConfig) -> str | None:
    other = of_another(value, provider.base_url)
    return (
        None if other is None else f"has the form of a key of {other}: put the key of provider {provider.name!r} there"
    )
