"""The JSON Schema of the configuration, for editors. It is of draft 7, the last that all of them know
(https://github.com/redhat-developer/yaml-language-server/issues/856).

It is made from the models that check the configuration, so that it names what they take. Where it is laxer than they
are, for an editor shows no reasons, ``skyproxy check`` tells.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from skyproxy.config.access import AccessSettings, ClientConfig
from skyproxy.config.meanings import meanings_of
from skyproxy.config.prices import Price
from skyproxy.config.proxy_settings import Address, ProxySettings
from skyproxy.config.schema import ProviderConfig, ProviderDefaults, SlotConfig

DRAFT = "http://json-schema.org/draft-07/schema#"
FILE_NAME = "skyproxy.schema.json"
"""Of the file beside a configuration."""

_OPEN = ("additionalProperties", True)

NOT_WRITTEN = frozenset(
    {"name", "api_key", "api_keys", "key_missing", "ca_certificates", "header_secrets", "via"}
)  # fmt: skip
"""Fields that are made when the configuration is read."""


class _Generator(GenerateJsonSchema):
    """Says what may be written, where that is more than what comes of it: ``60s`` for 60.0, one name for a list."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 (pydantic's own name)

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """What a function makes of what is written is seldom what is written: any scalar or list may be."""
        made = self.generate_inner(schema["schema"])
        return _widened(made)

    def custom_error_schema(self, schema: core_schema.CustomErrorSchema) -> JsonSchemaValue:
        """As what it wraps."""
        return self.generate_inner(schema["schema"])


def _widened(made: JsonSchemaValue) -> JsonSchemaValue:
    kind = made.get("type")
    if kind in ("number", "integer"):
        # A duration or a size: 60, 60s, 10MB.
        return {"anyOf": [made, {"type": "string"}]}
    if kind == "boolean":
        return {"anyOf": [made, {"enum": ["on", "off"]}]}
    if kind == "array":
        return {"anyOf": [made, {"type": "string"}, {"type": "integer"}, {"type": "null"}]}
    if "enum" in made:
        return {"anyOf": [made, {"type": ["string", "boolean"]}]}
    return {} if kind is None else {"anyOf": [made, {"type": ["string", "boolean", "null"]}]}


def json_schema() -> dict[str, Any]:
    """The schema of a ``skyproxy.yaml``, and of each of the original's two files."""
    definitions: dict[str, Any] = {}

    def of(model: type[BaseModel], title: str) -> dict[str, Any]:
        made = model.model_json_schema(schema_generator=_Generator, ref_template="#/definitions/{model}")
        definitions.update(made.pop("$defs", {}))
        meanings = meanings_of(model)
        properties = {
            name: {**_plain(value), "description": meanings[name]}
            for name, value in made["properties"].items()
            if name not in NOT_WRITTEN
        }
        required = [name for name in made.get("required", ()) if name in properties and name != "provider"]
        return {
            "title": title,
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    proxy, address = of(ProxySettings, "skyproxy itself"), of(Address, "where to listen")
    proxy["properties"].update(address["properties"])
    provider, slot = of(ProviderConfig, "a provider"), of(SlotConfig, "a model slot")
    return {
        "$schema": DRAFT,
        "title": "skyproxy.yaml",
        "type": "object",
        "properties": {
            "proxy": proxy,
            "defaults": of(ProviderDefaults, "for all providers"),
            "providers": {"type": "object", "minProperties": 1, "additionalProperties": provider},
            "model_slots": {"type": "object", "additionalProperties": slot},
            "profiles": {
                "type": "object",
                "additionalProperties": {
                    "title": "a profile",
                    "description": "By slot, the provider:model that serves it.",
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                },
            },
            "prices": {"type": "object", "additionalProperties": of(Price, "a price")},
            "rates": {
                "title": "rates of currencies",
                "description": "What one unit of a currency is worth in another, such as EUR/USD: 1.08.",
                "type": "object",
                "additionalProperties": {"type": "number", "exclusiveMinimum": 0},
            },
            "clients": {"type": "object", "additionalProperties": of(ClientConfig, "a client")},
            "access": of(AccessSettings, "who must bring a key"),
        },
        # The original's two files have one each.
        "anyOf": [{"required": ["providers"]}, {"required": ["model_slots"]}],
        "additionalProperties": False,
        "definitions": definitions,
    }


def schema_text() -> str:
    """The schema as a file."""
    return json.dumps(json_schema(), indent=1) + "\n"


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the title that repeats the key, and that other members may be, as newer versions of pydantic say."""
    return {key: value for key, value in schema.items() if key != "title" and (key, value) != _OPEN}
