"""Headers of a provider whose values name variables of the environment: ``${NAME}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from skyproxy.config import rules
from skyproxy.config.pieces import Piece
from skyproxy.config.problems import Problem
from skyproxy.config.variables import Variables

_PLACE = re.compile(r"\$\{([^{}]*)\}?")
_SECRET = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)
_LONG = 16
"""Characters of one word from which on it is taken for a secret, whatever it is called."""


def fill_headers(piece: Piece, variables: Variables, problems: list[Problem]) -> tuple[Piece, tuple[SecretStr, ...]]:
    """*piece*, a provider, with the variables that its ``headers`` name filled in.

    :param problems: get those that hold nothing, by name.
    :return: it, and those of the values that are not to be shown.
    """
    headers = piece.values.get("headers")
    if not isinstance(headers, Mapping):
        return piece, ()
    secrets: list[SecretStr] = []
    filled: dict[str, Any] = {}
    for name, value in headers.items():
        filled[name] = value
        if not isinstance(value, str) or "${" not in value:
            continue
        found: dict[str, str] = {}
        for variable in _PLACE.findall(value):
            message = _look_up(variable, name, variables, found)
            if message is not None:
                problems.append(piece.problem(("headers", name), message))
        filled[name] = _PLACE.sub(lambda match: found.get(match[1], ""), value)  # noqa: B023 (used at once)
        secrets += [SecretStr(text) for variable, text in found.items() if _is_secret(name, variable, text)]
    return piece.replaced({"headers": filled}, piece.places["headers"]), tuple(secrets)


def _look_up(variable: str, header: str, variables: Variables, found: dict[str, str]) -> str | None:
    """Add what *variable* holds to *found*; what is wrong with it, otherwise."""
    try:
        rules.variable(variable)
    except ValueError:
        return "has a ${…} that names no variable"
    *_, text = variables.get(variable)
    if text:
        found[variable] = text
        return None
    if "${" + variable + "}" == rules.KEY_PLACE:
        return f'gets no key here: that is what auth_header is for, as in `auth_header: "{header}: {rules.KEY_PLACE}"`'
    told = f"needs the variable {variable}, which holds nothing: set it in the environment or in .env"
    why = variables.hint(variable, ()).rstrip(".")
    return f"{told}.{why}" if why else told


def _is_secret(header: str, variable: str, text: str) -> bool:
    named = _SECRET.search(header) or _SECRET.search(variable)
    return bool(named) or (len(text) >= _LONG and " " not in text)
