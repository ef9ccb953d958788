"""Values that name variables of the environment: ``${NAME}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from skyproxy.config import key_rules, rules
from skyproxy.config.problems import Problem
from skyproxy.config.sections import Section
from skyproxy.config.variables import Variables

_PLACE = re.compile(r"\$\{([^{}]*)\}?")
_SECRET = re.compile(r"key|token|secret|passw|credential|auth(?!or(?!i))", re.IGNORECASE)
_LONG = 16
"""Characters of one word from which on it is taken for a secret, whatever it is called."""
_SHORTEST = 8
"""Characters from which on a word is taken for a secret by the name of its header alone."""


def fill_headers(
    entry: Section, variables: Variables, problems: list[Problem]
) -> tuple[Section, tuple[SecretStr, ...]]:
    """*entry*, a provider, with the variables that its ``headers`` name filled in.

    :param problems: get those that hold nothing, by name.
    :return: it, and those of the values that are not to be shown.
    """
    headers = entry.values.get("headers")
    if not isinstance(headers, Mapping):
        return entry, ()
    secrets: list[SecretStr] = []
    filled: dict[str, Any] = {}
    for name, value in headers.items():
        filled[name] = value
        if not isinstance(value, str) or "${" not in value:
            if isinstance(value, str) and (word := _secret_word(name, value)) is not None:
                secrets.append(SecretStr(word))
            continue
        found: dict[str, str] = {}
        for variable in _PLACE.findall(value):
            message = _look_up(variable, name, variables, found)
            if message is not None:
                problems.append(entry.problem(("headers", name), message))
        filled[name] = _PLACE.sub(lambda match: found.get(match[1], ""), value)  # noqa: B023 (used at once)
        secrets += [SecretStr(text) for variable, text in found.items() if _is_secret(name, variable, text)]
    return entry.replaced({"headers": filled}, entry.places["headers"]), tuple(secrets)


def fill_telemetry(proxy: Section, variables: Variables, problems: list[Problem]) -> Section:
    """*proxy*, the section, with the variables that the headers of its ``telemetry`` name filled in."""
    if not isinstance(proxy.values.get("telemetry"), Mapping):
        return proxy
    entry = proxy.part("telemetry", problems)
    if entry is None:
        return proxy
    filled, _ = fill_headers(entry, variables, problems)
    return proxy.replaced({"telemetry": dict(filled.values)}, proxy.places["telemetry"])


def fill_store(proxy: Section, variables: Variables, problems: list[Problem]) -> Section:
    """*proxy*, the section, with the variables filled in that its ``shared`` and ``cache.address`` name.

    A variable that is all of it holds a URL. One in a URL holds a part as it is: a password may have any character.
    """

    def filled(url: str, *path: str) -> str | None:
        found: dict[str, str] = {}
        messages = [_look_up(variable, "", variables, found) for variable in _PLACE.findall(url)]
        wrong = [message for message in messages if message is not None]
        problems.extend(proxy.problem(path, message) for message in wrong)
        # What is wrong is told; what is left without it is not looked at.
        return None if wrong else _with_variables(url, found)

    for key in ("shared", "cache"):
        value = proxy.values.get(key)
        if key == "shared" and isinstance(value, str) and "${" in value:
            proxy = proxy.replaced({key: filled(value, key)}, proxy.places[key])
        elif isinstance(value, dict) and isinstance(url := value.get("address"), str) and "${" in url:
            new = {**value, "address": filled(url, key, "address")}
            proxy = proxy.replaced({key: new}, proxy.places[key])
    return proxy


def _with_variables(url: str, found: Mapping[str, str]) -> str:
    alone = _PLACE.fullmatch(url)
    if alone is not None:
        return found[alone[1]]
    who, at, where = url.rpartition("@")
    who = _PLACE.sub(lambda match: quote(found[match[1]], safe=""), who)
    return who + at + _PLACE.sub(lambda match: found[match[1]], where)


def _look_up(variable: str, header: str, variables: Variables, found: dict[str, str]) -> str | None:
    """Add what *variable* holds to *found*; what is wrong with it, otherwise."""
    try:
        key_rules.variable(variable)
    except ValueError:
        return "has a ${…} that names no variable"
    *_, text = variables.get(variable)
    if text:
        found[variable] = text
        return None
    if "${" + variable + "}" == rules.KEY_PLACE:
        return f'gets no key here: that is what auth_header is for, as in `auth_header: "{header}: {rules.KEY_PLACE}"`'
    message = f"needs the variable {variable}, which holds nothing: set it in the environment or in .env"
    why = variables.hint(variable, ()).rstrip(".")
    return f"{message}.{why}" if why else message


def _secret_word(header: str, value: str) -> str | None:
    """What is secret of *value*, which stands in the file as it is; None: nothing. A header says by its name that it
    brings a key; before that may stand what kind of key it is (``Bearer``)."""
    word = value.split()[-1] if value.strip() else ""
    return word if _SECRET.search(header) and len(word) >= _SHORTEST else None


def _is_secret(header: str, variable: str, text: str) -> bool:
    named = _SECRET.search(header) or _SECRET.search(variable)
    return bool(named) or (len(text) >= _LONG and " " not in text)
