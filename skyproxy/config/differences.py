"""What another configuration changes, in words for the log: never a key, and no value that may be one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from skyproxy.config.masking import masker
from skyproxy.config.problems import printable
from skyproxy.config.schema import Config, ProviderConfig

_LONGEST = 80
"""Characters of a value that are shown."""

_MOST = 50
"""Changes that are listed one by one."""

_KEYS = ("api_keys", "api_key", "key_missing", "ca_certificates", "header_secrets")
_HIDDEN = ("headers", "auth_header", "key_hash", "admin", "metrics")
_SECRET = re.compile(r"key|token(?!s)|secret|passw|credential|auth", re.IGNORECASE)


def changes(old: Config, new: Config) -> dict[str, list[str]]:
    """Names of providers and slots that are in one of the two only, and under ``changes`` one line for each value that
    is another, for a log record; nothing that is empty.
    """
    found: dict[str, list[str]] = {}
    lines = [*_of_model("proxy", old.proxy, new.proxy), *_of_model("access", old.access, new.access)]
    sections: tuple[tuple[str, Mapping[str, Any], Mapping[str, Any]], ...] = (
        ("provider", old.providers, new.providers),
        ("slot", old.model_slots, new.model_slots),
        ("price", old.prices, new.prices),
        ("profile", old.profiles, new.profiles),
        ("client", old.clients, new.clients),
    )
    for what, before, after in sections:
        found[f"{what}s_added"] = [name for name in after if name not in before]
        found[f"{what}s_removed"] = [name for name in before if name not in after]
        for name in after:
            if name in before and before[name] != after[name]:
                lines += _of_model(f"{what} {name}", before[name], after[name])
    if len(lines) > _MOST:
        lines = [*lines[:_MOST], f"and {len(lines) - _MOST} more"]
    mask = masker([secret for each in (old, new) for secret in each.secrets])
    found["changes"] = [mask(line) for line in lines]
    return {key: names for key, names in found.items() if names}


def _of_model(what: str, old: BaseModel, new: BaseModel) -> Iterator[str]:
    if isinstance(old, ProviderConfig) and isinstance(new, ProviderConfig):
        yield from _of_keys(what, old, new)
        if old.ca_certificates != new.ca_certificates:
            yield f"{what}: other certificates in ca_file"
    for key in type(new).model_fields:
        if key not in _KEYS:
            yield from _of_value(what, key, getattr(old, key, None), getattr(new, key))


def _of_keys(what: str, old: ProviderConfig, new: ProviderConfig) -> Iterator[str]:
    before, after = ({key.variable: key.secret for key in each.api_keys} for each in (old, new))
    for variable in dict.fromkeys((*before, *after)):
        if variable not in before:
            yield f"{what}: {variable} has a key now"
        elif variable not in after:
            yield f"{what}: {variable} has no key any more, or is not asked for"
        elif before[variable] != after[variable]:
            yield f"{what}: another key in {variable}"


def _of_value(what: str, key: str, before: Any, after: Any) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, BaseModel) and type(before) is type(after):
        for name in type(after).model_fields:
            yield from _of_value(what, f"{key}.{name}", getattr(before, name), getattr(after, name))
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys((*before, *after)):
            yield from _of_value(what, f"{key}.{name}", before.get(name), after.get(name))
    elif key.partition(".")[0] in _HIDDEN or ("." in key and (_SECRET.search(key) or _is_nested(before, after))):
        yield f"{what}: {printable(key)} changed"
    else:
        yield f"{what}: {printable(key)} {_shown(before)} → {_shown(after)}"


def _is_nested(*values: Any) -> bool:
    """Whether some of *values* hold names within, any of which may be a secret's."""
    return any(
        isinstance(value, Mapping) or (isinstance(value, (list, tuple)) and _is_nested(*value)) for value in values
    )


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple, frozenset)):
        each = sorted(map(_shown, value)) if isinstance(value, frozenset) else map(_shown, value)
        text = ", ".join(each) or "none"
    else:
        text = printable(str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
