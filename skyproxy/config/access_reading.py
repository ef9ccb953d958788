"""``clients:`` and ``access:``, as they stand in a configuration."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from skyproxy.config.access import AccessSettings, ClientConfig
from skyproxy.config.budgets import check_step_down
from skyproxy.config.document import Document
from skyproxy.config.problems import Problem
from skyproxy.config.sections import Section, section_named
from skyproxy.util.close_matches import nearest

_WILD = re.compile(r"[*?\[]")

CLIENT_KEYS = tuple(key for key in ClientConfig.model_fields if key != "name")
_ACCESS_KEYS = tuple(AccessSettings.model_fields)
_MEANT = {
    "key": "unknown key: only the key's hash stands here, as key_hash; `skyproxy keys hash` makes it",
    "api_key": "unknown key: only the key's hash stands here, as key_hash; `skyproxy keys hash` makes it",
    "rpm": "unknown key: write requests_per_minute",
    "tpm": "unknown key: write tokens_per_minute",
    "models": "unknown key: write slots",
}


def read_access(
    documents: Sequence[Document],
    folder: Path,
    slots: Mapping[str, Any],
    providers: Collection[str],
    problems: list[Problem],
) -> tuple[AccessSettings, dict[str, ClientConfig]]:
    """``access:`` and ``clients:``; what is wrong with them is added to *problems*.

    :param folder: where relative paths begin.
    """
    section = section_named(documents, "access", problems)
    section.refuse_unknown(_ACCESS_KEYS, problems)
    settings = section.check(AccessSettings, _ACCESS_KEYS, problems) or AccessSettings()
    if settings.store is not None:
        settings = settings.model_copy(update={"store": folder / settings.store})
    if settings.jwt is not None and "://" not in settings.jwt.jwks:
        placed = settings.jwt.model_copy(update={"jwks": str(folder / settings.jwt.jwks)})
        settings = settings.model_copy(update={"jwt": placed})
    if settings.jwt is not None and find_spec("joserfc") is None:
        problems.append(section.problem(("jwt",), 'needs what is not installed: pip install "skyproxy[jwt]"'))
    clients = section_named(documents, "clients", problems)
    return settings, _clients(clients, settings, slots, providers, problems)


def _clients(
    section: Section,
    access: AccessSettings,
    slots: Mapping[str, Any],
    providers: Collection[str],
    problems: list[Problem],
) -> dict[str, ClientConfig]:
    clients: dict[str, ClientConfig] = {}
    owners = {each: "access.admin" for each in access.admin.key_hash} if access.admin else {}
    owners |= {each: "access.metrics" for each in access.metrics.key_hash} if access.metrics else {}
    # Many clients have the same patterns.
    patterns: dict[str, tuple[str, str | None] | None] = {}
    for name in section.values:
        entry = section.part(name, problems)
        if entry is None:
            continue
        entry.refuse_unknown(CLIENT_KEYS, problems, _MEANT)
        client = entry.check(ClientConfig, CLIENT_KEYS, problems, name=name)
        if client is None:
            continue
        for each in client.key_hash:
            if each in owners:
                problems.append(entry.problem(("key_hash",), f"is also that of {owners[each]}: one key, one client"))
            owners[each] = name
        for number, pattern in enumerate(client.slots):
            if pattern not in patterns:
                patterns[pattern] = wrong_pattern(pattern, slots, providers)
            why = patterns[pattern]
            if why is not None:
                problems.append(entry.problem(("slots", str(number)), *why))
        wrong = check_step_down(entry, ("on_budget",), client.on_budget, slots)
        if wrong is not None:
            problems.append(wrong)
        clients[name] = client
    return clients


def wrong_pattern(pattern: str, slots: Collection[str], providers: Collection[str]) -> tuple[str, str | None] | None:
    """Why no request can match *pattern*, and the slot that was perhaps meant; None: one can."""
    provider, colon, _ = pattern.partition(":")
    if pattern == "*" or pattern in slots or any(fnmatchcase(slot, pattern) for slot in slots):
        return None
    if colon and (_WILD.search(provider) or provider in providers):
        return None
    if _WILD.search(pattern):
        return "matches no slot that stands under model_slots:", None
    return "names no slot that stands under model_slots:", nearest(pattern, slots)
