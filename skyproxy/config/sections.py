"""Mappings of the configuration on their way from files to checked values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from skyproxy.config.document import Document, KeyPath
from skyproxy.config.problems import Problem
from skyproxy.util.close_matches import nearest

SECTIONS = ("proxy", "defaults", "providers", "model_slots", "profiles", "prices", "rates", "clients", "access")

_ENTRIES: dict[KeyPath, str] = {("providers",): "provider", ("model_slots",): "slot"}
_OF_ENTRIES = ("base_url", "api_key_env", "provider", "model")
"""Keys that only such an entry has."""

_OF_LITELLM = ("model_list", "litellm_settings", "general_settings", "router_settings")
_A_KEY = "unknown key: keys go into .env beside this file, as NAME=key"

_M = TypeVar("_M", bound=BaseModel)

_TEXT = "must be a text (a number, or a word such as yes or no, takes quotes)"
_MAPPING = "must be a mapping of keys to values"
_LIST = "must be a list, such as [one, two]"
_MESSAGES = {
    "missing": "is required",
    "string_type": _TEXT,
    "is_instance_of": _TEXT,
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "frozen_set_type": _LIST,
    "tuple_type": _LIST,
    "dict_type": f"{_MAPPING}, such as {{{{name: value}}}}",
    "mapping_type": f"{_MAPPING}, such as {{{{name: value}}}}",
    "model_type": _MAPPING,
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be above {gt:g}",
    "literal_error": "must be one of {expected}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than_equal": "must be {le:.15g} or less",
}
_NEVER = re.compile(r"(?!)")
_BARE = {
    "int_type": re.compile(r"0|[1-9][0-9]*"),
    "bool_type": re.compile("true|false|yes|no|on|off", re.IGNORECASE),
    "float_type": re.compile(r"[0-9.]+"),
}
"""What would be right if it stood without quotes."""
_QUOTED = re.compile(r"'([^']*)'")
_NO_SPACE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*:[^ ]")
_URL = re.compile(r"https?://")


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping of the configuration: one of its sections, or an entry of one.

    :ivar document: where it stands, or its first part.
    :ivar path: of the mapping.
    :ivar values: by key.
    :ivar places: where each key stands.
    """

    document: Document
    path: KeyPath
    values: Mapping[str, Any]
    places: Mapping[str, Document]

    def problem(self, path: KeyPath, message: str, suggestion: str | None = None) -> Problem:
        """A problem with the value at *path* below this mapping."""
        document = self.places.get(path[0], self.document) if path else self.document
        return document.problem((*self.path, *path), message, suggestion)

    def part(self, key: str, problems: list[Problem]) -> Section | None:
        """The mapping at *key*; nothing there is an empty one. None if something else is there."""
        value = self.values[key]
        document = self.places[key]
        if value is not None and not isinstance(value, dict):
            kind = _ENTRIES.get(self.path)
            if kind is not None and key in _OF_ENTRIES:
                message = (
                    f"this belongs to a {kind}, which takes a name: put the name and a colon in a line above, and "
                    "indent this one"
                )
            else:
                message = _no_mapping(value, slot=self.path == ("model_slots",))
            problems.append(self.problem((key,), message))
            return None
        values = value or {}
        if self.path in _ENTRIES and key in SECTIONS and values and not any(each in values for each in _OF_ENTRIES):
            problems.append(self.problem((key,), "is a section: begin its line at the left edge"))
            return None
        return Section(document, (*self.path, key), values, dict.fromkeys(values, document))

    def replaced(self, values: Mapping[str, Any], document: Document) -> Section:
        """This mapping with *values*, which stand in *document*, over its own."""
        places = {**self.places, **dict.fromkeys(values, document)}
        return Section(self.document, self.path, {**self.values, **values}, places)

    def refuse_unknown(
        self, known: Sequence[str], problems: list[Problem], meant: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Add a problem for each key that is not in *known*.

        :param meant: what to do, for keys that stand elsewhere.
        """
        for key in self.values:
            # In { } a space may be missing behind the colon.
            name = key if key in meant else key.partition(":")[0]
            if name in meant and name not in known:
                problems.append(self.problem((key,), meant[name]))
            elif key not in known:
                problems.append(self._unknown((key,), known))

    def check(self, model: type[_M], keys: Sequence[str], problems: list[Problem], /, **given: Any) -> _M | None:
        """*model* of the values at *keys*, over what is *given*; None if *problems* had to be added.

        A key without a value is the same as no key.
        """
        own = {key: self.values[key] for key in keys if self.values.get(key) is not None}
        try:
            return model(**{**given, **own})
        except ValidationError as error:
            problems.extend(self._problem_of(each, model, given) for each in error.errors(include_url=False))
            return None

    def _unknown(self, path: KeyPath, known: Iterable[str]) -> Problem:
        if path[-1].partition(":")[0] in known:
            return self.problem(path, "unknown key: put a space after the colon")
        suggestion = nearest(path[-1], known)
        message = "unknown key" if suggestion else f"unknown key; known here are {', '.join(known)}"
        return self.problem(path, message, suggestion)

    def _problem_of(self, error: ErrorDetails, model: type[BaseModel], given: Mapping[str, Any]) -> Problem:
        path = tuple(str(step) for step in error["loc"] if step != "[key]")
        if path[0] in given and path[0] not in self.values:
            path = path[1:]  # the name, which is the key of the mapping itself
        context = error.get("ctx", {})
        if error["type"] == "value_error":
            return self.problem(path, str(context["error"]))
        if error["type"] == "extra_forbidden":
            return self._unknown(path, _fields_at(model, path[:-1]))
        suggestion = None
        if error["type"] == "literal_error" and isinstance(error["input"], str):
            suggestion = nearest(error["input"], _QUOTED.findall(context["expected"]))
        message = _MESSAGES.get(error["type"], error["msg"])
        given_as = error["input"]
        if isinstance(given_as, str) and _BARE.get(error["type"], _NEVER).fullmatch(given_as):
            message += ", without quotes"
        elif error["type"] == "int_type" and isinstance(given_as, str) and given_as.isdecimal():
            message += ", without a 0 at its beginning"
        elif error["type"] == "string_type" and isinstance(given_as, (list, dict)):
            message = f"must be one text, not a {'list' if isinstance(given_as, list) else 'mapping of keys to values'}"
            if "fallbacks" in path:
                message += ": write provider:model, without a space behind the colon"
        elif error["type"] == "model_type":
            message += f", with keys such as {', '.join(list(_fields_at(model, path))[:3])}"
        return self.problem(path, message.format(**context) if "{" in message else message, suggestion)


def _no_mapping(value: Any, *, slot: bool = False) -> str:
    """What to do about *value*, which is something else.

    :param slot: whether it stands in the place of a slot.
    """
    if isinstance(value, list):
        return f"{_MAPPING}, not a list: leave out the dashes"
    if isinstance(value, str) and _URL.match(value):
        return f"{_MAPPING}: put base_url: before it, in a line of its own below the name"
    if isinstance(value, str) and slot and not value.startswith(("provider:", "model:")):
        return f"{_MAPPING}: write provider: and model: in two lines below it"
    if isinstance(value, str) and _NO_SPACE.match(value):
        return f"{_MAPPING}: put a space after the colon"
    return _MAPPING


def _fields_at(model: type[BaseModel], path: KeyPath) -> Iterable[str]:
    """The keys of the mapping at *path* in *model*."""
    keys = iter(path)
    for key in keys:
        kinds = list(_kinds_in(model.model_fields[key].annotation))
        if any(get_origin(kind) is Mapping for kind in kinds):
            next(keys, None)  # the name of one of several
        # Before Python 3.11 `Mapping[str, X]` passes for a class.
        classes = [each for each in kinds if isinstance(each, type) and get_origin(each) is None]
        model = next(each for each in classes if issubclass(each, BaseModel))
    return model.model_fields


def _kinds_in(kind: Any) -> Iterator[Any]:
    """*kind*, and what it is made of."""
    yield kind
    for each in get_args(kind):
        yield from _kinds_in(each)


def section_named(documents: Sequence[Document], name: str, problems: list[Problem]) -> Section:
    """The section *name* of all *documents* together."""
    first = documents[0]
    values: dict[str, Any] = {}
    places: dict[str, Document] = {}
    for document in documents:
        value = document.data.get(name)
        if value is None:
            continue
        if not isinstance(value, dict):
            problems.append(document.problem((name,), _no_mapping(value)))
            continue
        if not values:
            first = document
        for key, each in value.items():
            if key in places:
                problems.append(document.problem((name, key), f"also stands in {places[key].name}"))
            else:
                values[key] = each
                places[key] = document
    return Section(first, (name,), values, places)


def refuse_unknown_sections(
    documents: Sequence[Document], problems: list[Problem], homes: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Add a problem for each key at the top of a document that is no section.

    :param homes: what to do with keys that belong into one.
    """
    for document in documents:
        whole = Section(document, (), document.data, {})
        of_litellm = next((key for key in _OF_LITELLM if key in document.data), None)
        if of_litellm is not None and "model_slots" not in document.data:
            text = "this is a file of LiteLLM's: skyproxy init --import reads it"
            problems.append(whole.problem((of_litellm,), text))
            continue
        keys = {**homes}
        keys |= {key: _A_KEY for key in document.data if key.isupper() and key.endswith(("_KEY", "_TOKEN"))}
        keys |= {key: words for key, value in document.data.items() if (words := _by_its_form(key, value)) is not None}
        whole.refuse_unknown(SECTIONS, problems, keys)


def _by_its_form(key: str, value: Any) -> str | None:
    """Where *value*, which stands at the top as *key*, belongs by what it holds, unless the name tells."""
    if not isinstance(value, dict):
        return None
    for section, telling in (("providers", "base_url"), ("model_slots", "provider")):
        if nearest(key, SECTIONS) == section:
            return None
        if telling in value:
            return f"unknown key: put it under `{section}:`, indented"
        if value and all(isinstance(each, dict) and telling in each for each in value.values()):
            return f"unknown key: write {section}"
    return None
