from __future__ import annotations

from typing import Any, Literal

import jsonschema
from pydantic import BaseModel, Field
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.demo.instances import NoInstance, instance_of

LINE = "Halt! Nobody brings a mammoth through this gate without a permit."


class Weapon(BaseModel):
    kind: Literal["sword", "bow"]
    weight: float = Field(gt=0, le=0.5)


class Person(BaseModel):
    name: str = Field(min_length=3, max_length=10)
    age: int = Field(ge=18, lt=200, multiple_of=5)
    mood: str | None
    weapons: list[Weapon] = Field(min_length=2, max_length=3)
    friends: list[Person]
    armour: Weapon | None = None
    born: str = Field(json_schema_extra={"format": "date"})


TREE = {"$defs": {"node": {"type": "object", "properties": {"left": {"$ref": "#/$defs/node"}, "value": {"const": 3}},
                           "required": ["value"]}}, "$ref": "#/$defs/node"}  # fmt: skip

VALID: tuple[Any, ...] = (
    True,
    {},
    {"type": "object"},
    {"type": ["null", "string"]},
    {"type": "null"},
    {"enum": [3, "x"]},
    {"type": "string", "maxLength": 4},
    {"type": "string", "minLength": 200},
    {"type": "string", "minLength": 3, "maxLength": 3, "pattern": "^[a-z0-9]+$"},
    {"type": "string", "pattern": "^[A-Z]"},
    {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"},
    *({"type": "string", "format": name} for name in ("date-time", "date", "time", "email", "uuid", "ipv4", "ipv6")),
    {"type": "integer", "minimum": 7, "multipleOf": 4},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "integer", "multipleOf": 1.5, "minimum": 1},
    {"type": "integer", "maximum": -3},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "multipleOf": 0.25, "minimum": 0.3},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3},
    {"type": "array", "maxItems": 0},
    {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "boolean"}], "items": False, "minItems": 2},
    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False},
    {"type": "object", "properties": {"a": {}, "b": {}}, "maxProperties": 1},
    {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    {"anyOf": [False, {"type": "string", "pattern": "^guard$"}]},
    {"oneOf": [{"type": "integer"}, {"type": "string"}]},
    {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"required": ["b"]}], "type": "object"},
    {"properties": {"x": {"type": "string"}}},
    TREE,
    {"type": "object", "properties": {"a/b": {"$ref": "#/$defs/x~1y"}}, "$defs": {"x/y": {"type": "boolean"}}},
    {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]},
    Person.model_json_schema(),
)

NONE: tuple[tuple[Any, str], ...] = (
    (False, "no value"),
    (7, "no schema"),
    ({"type": "orc"}, "'orc' is no type"),
    ({"type": "string", "pattern": "^x{9}y$"}, "no text"),
    ({"type": "string", "pattern": "("}, "no pattern"),
    ({"type": "string", "minLength": 10**12}, "minLength"),
    ({"type": "integer", "minimum": 3, "maximum": 2}, "between its bounds"),
    ({"type": "integer", "minimum": "3"}, "no number"),
    ({"not": {}}, "'not'"),
    ({"$ref": "https://example.org/x"}, "another document"),
    ({"$ref": "#/nothing"}, "refers to nothing"),
    ({"$ref": "#"}, "circle"),
    ({"type": "array", "minItems": 10**12}, "without an end"),
    ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "too many levels"),
    ({"type": "object", "properties": 3}, "no schema"),
    ({"type": "array", "items": {"type": "boolean"}, "minItems": 3, "uniqueItems": True}, "differ"),
)


class InstanceTests(SynchronousTestCase):
    """skyproxy.demo.instances"""

    def test_what_is_made_is_valid(self) -> None:
        for schema in VALID:
            made = instance_of(schema, LINE)
            jsonschema.Draft202012Validator(
                schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
            ).validate(made)

    def test_properties_come_in_their_order_with_the_text(self) -> None:
        schema = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "array"}}, "required": ["a"]}
        self.assertEqual(list(instance_of(schema, LINE).items()), [("b", LINE), ("a", [LINE])])

    def test_where_there_is_none_it_says_why(self) -> None:
        for schema, words in NONE:
            with self.assertRaises(NoInstance) as caught:
                instance_of(schema, LINE)
            self.assertIn(words, str(caught.exception), str(schema))
