"""A client's body in the provider's dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from skyproxy.formats.dialects import DIALECTS, REASONING_FIELDS, SYNONYMS, CacheField, Dialect, Reasoning
from skyproxy.pipeline.router import Candidate

# What makes a request a request, whatever a whitelist of optional fields says.
_ESSENTIAL = frozenset({"model", "messages", "prompt", "input", "stream", "voice"})

# https://openrouter.ai/docs and the founding proxy's own rule for `cache: true`.
_CACHE_ON = {"type": "random", "max_age": 300}


class Transformed(NamedTuple):
    """A body as the provider takes it.

    :ivar dropped: the client's fields that it does not take.
    :ivar added: fields that skyproxy adds of its own accord: with them it switches reasoning on or off.
    """

    body: dict[str, Any]
    dropped: tuple[str, ...]
    added: frozenset[str] = frozenset()


def transform(fields: Mapping[str, Any], candidate: Candidate) -> Transformed:
    """*fields* as *candidate*'s provider and slot want them.

    The whitelist concerns what the client sent. What the configuration adds is added in any case.
    """
    dialect = DIALECTS[candidate.provider.dialect]
    allowed = candidate.provider.allowed_fields
    if allowed is None:
        body = dict(fields)
    else:
        body = {name: value for name, value in fields.items() if name in allowed or name in _ESSENTIAL}
        if dialect.not_in_chat and "messages" in fields and candidate.provider.base_url.startswith(dialect.home):
            for name in dialect.not_in_chat & body.keys():
                del body[name]
    body["model"] = candidate.model
    added: frozenset[str] = frozenset()
    slot = candidate.settings
    if slot is not None and slot.params:
        body = {**{name: value for name, value in slot.params.items() if SYNONYMS.get(name) not in body}, **body}
    if "cache" in body:
        _translate_cache(body, dialect.cache)
    if dialect.fixes:
        _apply_fixes(body, dialect, candidate.model)
    if slot is not None:
        if slot.enable_reasoning is not None and "messages" in body:
            added = _set_reasoning(body, dialect, candidate.model, enabled=slot.enable_reasoning)
        if slot.force:
            for name in SYNONYMS.keys() & slot.force.keys():
                body.pop(SYNONYMS[name], None)
            body.update(slot.force)
            added -= slot.force.keys()
    if body.keys() >= fields.keys():
        return Transformed(body, (), added)
    return Transformed(body, tuple(name for name in fields if name not in body), added)


def _translate_cache(body: dict[str, Any], rule: CacheField) -> None:
    value = body.pop("cache")
    if rule is CacheField.OBJECT:
        if isinstance(value, dict):
            body["cache"] = value
        elif value is True:
            body["cache"] = dict(_CACHE_ON)
    elif rule is CacheField.BOOLEAN:
        if isinstance(value, bool):
            body["cache"] = value
        elif isinstance(value, dict):
            body["cache"] = value.get("type") == "random"


def _apply_fixes(body: dict[str, Any], dialect: Dialect, model: str) -> None:
    for fix in dialect.fixes:
        if not fix.models.search(model.lower()):
            continue
        for old, new in fix.rename.items():
            if old in body:
                value = body.pop(old)
                body.setdefault(new, value)
        for name in fix.drop & body.keys():
            del body[name]


def _set_reasoning(body: dict[str, Any], dialect: Dialect, model: str, *, enabled: bool) -> frozenset[str]:
    """The fields that were added for it."""
    switch = _switch(dialect, model)
    if enabled:
        # The client may say how much; only whether is the slot's to say.
        if switch is None or REASONING_FIELDS & body.keys():
            return frozenset()
        body.update(switch.on)
        return frozenset(switch.on)
    for name in REASONING_FIELDS & body.keys():
        del body[name]
    if switch is None:
        return frozenset()
    body.update(switch.off)
    return frozenset(switch.off)


def _switch(dialect: Dialect, model: str) -> Reasoning | None:
    return next((each for each in dialect.reasoning if each.models.search(model.lower())), None)
