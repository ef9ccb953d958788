"""A small value that is valid by a JSON Schema, as a model writes one for a tool call or a ``response_format``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Any
from urllib.parse import unquote

Schema = Mapping[str, Any]

_DEEPEST = 16
"""Levels of a value. A schema that refers to itself has no end; what it does not require ends here."""

_ALL_PROPERTIES = 4
"""Levels down to which objects get the properties too that they need not have."""

_MOST_VALUES = 10_000
"""Of one instance, tries among them: a small schema can ask for very many."""

_LONGEST_TEXT = 100_000
"""Characters that a schema may ask for."""

_LONGEST_MATCHED = 24
"""Characters of a text that is tried on a pattern: on a long one, some patterns take for ever."""

_UNKNOWN = ("not", "if", "patternProperties", "propertyNames", "dependentRequired", "dependentSchemas", "contains",
            "unevaluatedProperties", "unevaluatedItems", "dependencies")  # fmt: skip

_FORMATS = {
    "date-time": "0201-08-17T06:30:00Z",
    "date": "0201-08-17",
    "time": "06:30:00Z",
    "duration": "P1D",
    "email": "guard@whiterun.example",
    "idn-email": "guard@whiterun.example",
    "hostname": "whiterun.example",
    "idn-hostname": "whiterun.example",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://whiterun.example/gate",
    "iri": "https://whiterun.example/gate",
    "uri-reference": "/gate",
    "iri-reference": "/gate",
    "uuid": "6f1d2a3c-0b4e-4c5d-8e9f-a0b1c2d3e4f5",
    "json-pointer": "/gate",
    "regex": "^Halt",
}

_SHORT = ("guard", "Guard", "GUARD", "Halt!", "guard_1", "a", "A", "", "0", "1", "42", "100", "1234", "12345", "1.0",
          "a1", "#a0b1c2", "2001-08-17", "06:30", "en", "en-US", "https://whiterun.example")  # fmt: skip


class NoInstance(Exception):
    """None is found; the text says by which part of the schema."""


def instance_of(schema: Any, text: str) -> Any:
    """A value that is valid by *schema*, with *text* in its strings where they may be so.

    :raise NoInstance: none is found: the schema is none, contradicts itself, or asks for what this does not know.
    """
    try:
        return _Maker(schema, text).value(schema, 0)
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        raise NoInstance("a part of it is no schema") from None


class _Maker:
    """Makes one instance.

    :param root: the schema to which references lead.
    :param text: for strings.
    """

    def __init__(self, root: Any, text: str) -> None:
        self._root = root
        self._text = text
        self._left = _MOST_VALUES

    def value(self, schema: Any, depth: int) -> Any:
        """A value by *schema*, *depth* levels down."""
        self._left -= 1
        if depth > _DEEPEST or self._left < 0:
            raise NoInstance("it asks for a value of too many levels, or without an end")
        if schema is True:
            return self._text
        if schema is False or not isinstance(schema, Mapping):
            raise NoInstance("a part of it allows no value, or is no schema")
        schema = self._merged(schema, 0)
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][0]
        for name in ("anyOf", "oneOf"):
            if name in schema:
                return self._one_of(schema, name, depth)
        for name in _UNKNOWN:
            if name in schema:
                raise NoInstance(f"it has {name!r}, which the demo does not know")
        return self._by_type(schema, depth)

    def _merged(self, schema: Schema, references: int) -> Schema:
        """*schema* with what it refers to, and with all of ``allOf``."""
        parts = list(_list(schema.get("allOf")))
        if "$ref" in schema:
            if references > _DEEPEST:
                raise NoInstance("its references go in a circle")
            parts.insert(0, self._target(schema["$ref"]))
        if not parts:
            return schema
        merged: dict[str, Any] = {name: value for name, value in schema.items() if name not in ("$ref", "allOf")}
        for part in parts:
            if not isinstance(part, Mapping):
                raise NoInstance("a part of it is no schema")
            part = self._merged(part, references + 1)
            both = {
                "properties": {**part.get("properties", {}), **merged.get("properties", {})},
                "required": [*part.get("required", ()), *merged.get("required", ())],
            }
            merged = {**part, **merged, **{name: value for name, value in both.items() if value}}
        return merged

    def _target(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise NoInstance(f"{reference!r} refers to another document")
        found = self._root
        for step in unquote(reference[1:]).split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and step.isdigit() and int(step) < len(found):
                found = found[int(step)]
            elif isinstance(found, Mapping) and step in found:
                found = found[step]
            else:
                raise NoInstance(f"{reference!r} refers to nothing")
        return found

    def _one_of(self, schema: Schema, name: str, depth: int) -> Any:
        """A value by the first branch that has one."""
        rest = {key: value for key, value in schema.items() if key != name}
        problem = NoInstance(f"{name!r} has no branch")
        for branch in _list(schema[name]):
            try:
                return self.value({**rest, "allOf": [branch]}, depth + 1)
            except NoInstance as error:
                problem = error
        raise problem

    def _by_type(self, schema: Schema, depth: int) -> Any:
        kind = schema.get("type", _implied_type(schema))
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return self._string(schema)
        if kind in ("integer", "number"):
            return _number(schema, whole=kind == "integer")
        if kind == "boolean":
            return True
        if kind == "null":
            return None
        raise NoInstance(f"{kind!r} is no type")

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = list(dict.fromkeys(_list(schema.get("required"))))
        more = schema.get("additionalProperties", True)
        made = {name: self.value(properties.get(name, more), depth + 1) for name in required}
        most = schema.get("maxProperties", len(required) + len(properties))
        for name in properties if depth < _ALL_PROPERTIES else ():
            if name not in made and len(made) < most:
                try:
                    made[name] = self.value(properties[name], depth + 1)
                except NoInstance:
                    # It need not be there.
                    continue
        for number in range(schema.get("minProperties", 0) - len(made)):
            made[f"more_{number + 1}"] = self.value(more, depth + 1)
        return {name: made[name] for name in (*properties, *made) if name in made}

    def _array(self, schema: Schema, depth: int) -> list[Any]:
        first = _list(schema.get("prefixItems"))
        items = schema.get("items", True)
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        wanted = max(least, min(max(1, len(first)), 1 << 30 if most is None else most))
        made: list[Any] = []
        for number in range(wanted):
            try:
                made.append(self.value(first[number] if number < len(first) else items, depth + 1))
            except NoInstance:
                if number < least:
                    raise
                break
        return self._unique(schema, made, items) if schema.get("uniqueItems") is True else made

    def _unique(self, schema: Schema, made: list[Any], items: Any) -> list[Any]:
        """*made* with each value once; an enum gives the further ones."""
        resolved = self._merged(items, 0) if isinstance(items, Mapping) else {}
        different: list[Any] = []
        for value in (*made, *_list(resolved.get("enum"))):
            if value not in different and len(different) < len(made):
                different.append(value)
        if len(different) < schema.get("minItems", 0):
            raise NoInstance("it wants several items that differ")
        return different

    def _string(self, schema: Schema) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if least > _LONGEST_TEXT:
            raise NoInstance(f"its minLength is over {_LONGEST_TEXT}")
        for text in self._strings(schema):
            fitted = text if most is None else text[:most]
            if len(fitted) < least:
                fitted += "." * (least - len(fitted))
            if "format" in schema and schema["format"] in _FORMATS and fitted != text:
                continue
            if "pattern" not in schema or (len(fitted) <= _LONGEST_MATCHED and _matches(schema["pattern"], fitted)):
                return fitted
        raise NoInstance(f"the demo knows no text for {schema.get('pattern') or schema.get('format')!r}")

    def _strings(self, schema: Schema) -> Iterator[str]:
        if schema.get("format") in _FORMATS:
            yield _FORMATS[schema["format"]]
            return
        yield self._text
        yield from _SHORT


def _number(schema: Schema, *, whole: bool) -> float:
    low, high = schema.get("minimum"), schema.get("maximum")
    step = schema.get("multipleOf", 1)
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    bounds = (low, high, above, below, step)
    if any(isinstance(bound, bool) or not isinstance(bound, (int, float)) for bound in bounds if bound is not None):
        raise NoInstance("a bound of a number is no number")
    if not step > 0:
        raise NoInstance("multipleOf is not over zero")
    if whole:
        # The whole multiples of 3/2 are those of 3.
        step = Fraction(str(step)).numerator

    def fits(value: float) -> bool:
        return not (
            (low is not None and value < low)
            or (high is not None and value > high)
            or (above is not None and value <= above)
            or (below is not None and value >= below)
        )

    edges = [bound for bound in (low, above, high, below) if bound is not None]
    near = [step * (round_(edge / step) + more) for edge in edges for round_ in (floor, ceil) for more in (-1, 0, 1)]
    between = [] if whole or "multipleOf" in schema or len(edges) < 2 else [sum(edges) / len(edges)]
    for value in (step, 0, *near, *between):
        if fits(value):
            return int(value) if whole or value == int(value) else value
    raise NoInstance("no number is between its bounds")


def _implied_type(schema: Schema) -> str:
    """The type that a schema without one is about."""
    for kind, names in (
        ("object", ("properties", "required", "additionalProperties", "minProperties")),
        ("array", ("items", "prefixItems", "minItems")),
        ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
    ):
        if any(name in schema for name in names):
            return kind
    return "string"


def _matches(pattern: Any, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except (re.error, TypeError):
        raise NoInstance(f"{pattern!r} is no pattern that the demo knows") from None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
