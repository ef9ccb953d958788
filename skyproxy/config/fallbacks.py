"""What a slot falls back to: other slots, and models of providers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from skyproxy.config.model_names import parse_model_name
from skyproxy.config.problems import Problem
from skyproxy.config.schema import SlotConfig
from skyproxy.config.sections import Section
from skyproxy.util.close_matches import nearest


def names_model(name: str, providers: Collection[str]) -> bool:
    """Whether *name* is ``provider:model`` of one of *providers*."""
    named = parse_model_name(name)
    return named.is_complete and named.provider in providers


def check_fallbacks(
    section: Section, slots: Mapping[str, SlotConfig], providers: Collection[str], problems: list[Problem]
) -> None:
    """Add a problem for each fallback that names nothing, and for each that leads back to its own slot.

    :param section: the section of the slots.
    :param slots: those without other problems.
    """
    for name, slot in slots.items():
        for index, fallback in enumerate(slot.fallbacks):
            if fallback not in section.values and not names_model(fallback, providers):
                known = [each for each in (*section.values, *(f"{each}:" for each in providers)) if each != name]
                message, suggestion = "names neither a slot nor provider:model", nearest(fallback, known)
                provider = parse_model_name(fallback).provider
                if provider in providers:
                    message, suggestion = "names a provider but no model of it: write provider:model", None
                elif ":" in fallback and (suggestion is None or suggestion.endswith(":")):
                    message = "names no provider that stands under providers:"
                    suggestion = nearest(provider, providers)
                    if suggestion is None and "/" in provider:
                        message = "names a model without its provider: write provider:model"
                problems.append(section.problem((name, "fallbacks", str(index)), message, suggestion))
    followed = {name: [each for each in slot.fallbacks if each in slots] for name, slot in slots.items()}
    while (cycle := _cycle_of(followed)) is not None:
        first, second, *_ = cycle
        index = slots[first].fallbacks.index(second)
        message = f"leads back to its own slot: {' -> '.join(cycle)}"
        problems.append(section.problem((first, "fallbacks", str(index)), message))
        followed[first].remove(second)


def _cycle_of(followed: Mapping[str, Sequence[str]]) -> list[str] | None:
    """A way from a slot back to it, from that of its slots that stands first; None if there is no such way."""
    try:
        TopologicalSorter(followed).prepare()
    except CycleError as error:
        cycle = error.args[1][:0:-1]
        start = cycle.index(min(cycle, key=list(followed).index))
        return [*cycle[start:], *cycle[: start + 1]]
    return None
