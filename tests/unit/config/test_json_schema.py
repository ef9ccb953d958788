"""The schema, what carries its name, and what it takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import jsonschema
import yaml
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.init.importing import imported
from skyproxy.command.init.writing import CONFIG, SCHEMA, Chosen, config_text
from skyproxy.config import ConfigError
from skyproxy.config.json_schema import FILE_NAME, json_schema, schema_text
from skyproxy.config.known import CLOUD, LOCAL, SLOTS
from tests.unit.config.support import ConfigTestCase

CONFIGS = Path(__file__).resolve().parents[3] / "skyproxy" / "config"
SAMPLES = [CONFIGS / "default.yaml", *sorted((CONFIGS / "sample").glob("*.yaml"))]

_LINE = re.compile(r"# yaml-language-server: \$schema=(\S+)")


class SchemaTests(SynchronousTestCase):
    """json_schema"""

    def setUp(self) -> None:
        schema = json_schema()
        jsonschema.Draft7Validator.check_schema(schema)
        self.validator = jsonschema.Draft7Validator(schema)

    def assertFits(self, text: str) -> None:
        """It is taken."""
        self.assertEqual([error.message for error in self.validator.iter_errors(yaml.safe_load(text))], [])

    def schema_named_in(self, text: str) -> str:
        found = _LINE.fullmatch(text.splitlines()[0])
        assert found is not None, text[:100]
        return found[1]

    def test_samples(self) -> None:
        self.assertEqual(len(SAMPLES), 3)
        for path in SAMPLES:
            text = path.read_text("utf-8")
            self.assertFits(text)
            schema = path.parent / self.schema_named_in(text)
            # Not byte for byte: older versions of pydantic write 0.0 for 0.
            written = json.loads(schema.read_text("utf-8"))
            self.assertEqual(written, json.loads(schema_text()), f"write it anew: skyproxy schema, into {schema.name}")

    def test_what_init_writes(self) -> None:
        self.assertEqual(SCHEMA, FILE_NAME)
        odd = dict.fromkeys(SLOTS, "@cf/odd: name #1")
        for main in (*CLOUD, *LOCAL):
            text = config_text(Chosen(main, odd), [Chosen(LOCAL[0], odd)])
            self.assertFits(text)
            self.assertEqual(self.schema_named_in(text), SCHEMA)

    def test_what_init_imports(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        litellm = folder / "config.yaml"
        litellm.write_text(
            "model_list:\n  - {model_name: default, litellm_params: {model: groq/llama, api_key: gsk_x, timeout: 3}}\n"
            "  - {model_name: default, litellm_params: {model: openai/x, api_base: 'http://127.0.0.1:1/v1'}}\n"
        )
        for source in (litellm, CONFIGS / "sample"):
            text = imported(source)[0][CONFIG]
            self.assertFits(text)
            self.assertEqual(self.schema_named_in(text), SCHEMA)

    def test_what_it_refuses(self) -> None:
        for text in (
            "{}", "{proxy: {listen: 1}}", "{providers: {}}", "{providers: {x: {}}}", "{providers: 3}",
            "{providers: {x: {base_url: 'http://x'}}, modelslots: {}}",
            "{providers: {x: {base_url: 'http://x', max_concurent: 1}}}",
            "{model_slots: {default: {provider: x}}, provider: {}}",
        ):  # fmt: skip
            self.assertTrue(list(self.validator.iter_errors(yaml.safe_load(text))), text)


class OddValueTests(ConfigTestCase):
    """Each key, with what it can hardly be."""

    def test_all_is_told_in_words_of_skyproxys_own(self) -> None:
        foreign = re.compile(r"constrained|literal\[|function-|union|should|validat|tuple|dict\[|nullable|'NoneType'")
        keys = list(_keys(json.loads(schema_text())))
        self.assertGreater(len(keys), 120)
        for key in keys:
            for value in ("xyz", "", [], [[1]], {"a": {"b": 1}}, -(10**30), True):
                whole: dict[str, Any] = {
                    "providers": {"NAME": {"base_url": "http://127.0.0.1:9/v1"}},
                    "model_slots": {"NAME": {"provider": "NAME", "model": "m"}},
                }
                place = whole
                for step in key[:-1]:
                    place = place.setdefault(step, {})
                place[key[-1]] = value
                try:
                    self.load_text(json.dumps(whole))
                except ConfigError as error:
                    lines = [each.replace(str(self.cwd), "") for each in str(error).splitlines()]
                    self.assertEqual([each for each in lines if foreign.search(each)], [], (key, value))


def _keys(schema: dict[str, Any], node: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all keys that *schema* knows."""
    node = schema if node is None else node
    while "$ref" in node:
        _, kind, name = node["$ref"].split("/")
        node = schema[kind][name]
    for each in (*node.get("anyOf", ()), *node.get("allOf", ())):
        yield from _keys(schema, each, path)
    for key, value in node.get("properties", {}).items():
        yield (*path, key)
        yield from _keys(schema, value, (*path, key))
    if isinstance(node.get("additionalProperties"), dict):
        yield from _keys(schema, node["additionalProperties"], (*path, "NAME"))
