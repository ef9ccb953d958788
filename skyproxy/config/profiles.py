"""``profiles:``, named sets of what serves the slots, between which a player switches while the game runs."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from skyproxy.config import rules
from skyproxy.config.fields import Checked, Name, frozen
from skyproxy.config.model_names import parse_model_name
from skyproxy.config.problems import Problem
from skyproxy.config.sections import Section
from skyproxy.config.variables import Variables
from skyproxy.util.close_matches import nearest

NO_PROFILE = "off"
"""Stands for what ``model_slots:`` says itself."""

TOKEN_VARIABLE = "SKYPROXY_PROFILE_TOKEN"
"""Holds what a game's hotkey brings to switch profiles."""

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,200}")
_NAME = re.compile(r"[^/\x00-\x1f]{1,100}")


class Profile(Checked):
    """One profile.

    :ivar slots: by slot, the ``provider:model`` that serves it.
    """

    slots: Annotated[Mapping[str, Name], AfterValidator(frozen)]


def read_profiles(
    section: Section, slots: Collection[str], providers: Collection[str], problems: list[Problem]
) -> dict[str, Profile]:
    """The profiles of *section*; what is wrong with it is added to *problems*."""
    profiles = {}
    for name in section.values:
        if name == NO_PROFILE or not _NAME.fullmatch(name):
            problems.append(
                section.problem((name,), f"cannot be a profile's name: {NO_PROFILE} means none, and no / may be in it")
            )
            continue
        entry = section.part(name, problems)
        if entry is None:
            continue
        found = {}
        for slot, served in entry.values.items():
            problem = _wrong(entry, slot, served, slots, providers)
            if problem is None:
                found[slot] = served
            else:
                problems.append(problem)
        profiles[name] = Profile(slots=found)
    return profiles


def _wrong(
    entry: Section, slot: str, served: object, slots: Collection[str], providers: Collection[str]
) -> Problem | None:
    if slot not in slots:
        suggestion = nearest(slot, slots)
        return entry.problem((slot,), "names no slot that stands under model_slots:", suggestion)
    if not isinstance(served, str) or not parse_model_name(served).is_complete:
        return entry.problem((slot,), "must be provider:model, such as ollama:llama3.1:8b")
    try:
        rules.name(served)
    except ValueError as error:
        return entry.problem((slot,), str(error))
    provider = parse_model_name(served).provider
    if provider not in providers:
        suggestion = nearest(provider, providers)
        return entry.problem((slot,), "names no provider that stands under providers:", suggestion)
    return None


def read_token(variables: Variables, problems: list[Problem]) -> SecretStr | None:
    """The token of profiles; None: there is none."""
    place, line, value = variables.get(TOKEN_VARIABLE)
    if not value:
        return None
    if not _TOKEN.fullmatch(value):
        words = "must have 16 or more letters, digits, - . _ ~ and nothing else, for it stands in an address"
        problems.append(Problem(place, line, TOKEN_VARIABLE, words))
        return None
    return SecretStr(value)
