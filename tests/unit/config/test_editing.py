from __future__ import annotations

import codecs
import re
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config.document import parse
from skyproxy.config.editing import NotEditable, edited, has, lines_for, written
from skyproxy.config.text_files import TextFile

SAMPLES = Path(__file__).resolve().parents[3] / "skyproxy" / "config"

ODD = """\
# comment: with a colon, and 'quotes'
base: &base {provider: a, model: "x"}   # flow
other: &other
    provider: a

    # deep
    model: |
      several
      lines
empty:
model_slots:
  one: {provider: 'a', model: "b:c", params: {stop: ["}", "{"]}}
  two:
      <<: *base
      model: *m2
  three:
    provider:    a    # far off
    model: &m2 "m # no comment"
    params:
      temperature: 0.70
  'quoted key':
    "model": it's
  nothing: {}
  dangling:
    params: {a: 1}
"""
ODD = ODD.replace("      model: *m2\n", "      hedge_after: 2s\n")


REST = ', model: "b:c", params: {stop: ["}", "{"]}}'


def values_of(text: str) -> Any:
    problems: list[Any] = []
    document = parse("x", text, problems)
    assert not problems, problems
    return document.data


def lines_of(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


class EditingTests(SynchronousTestCase):
    def check(self, text: str, path: tuple[str, ...], value: Any) -> str:
        """Replace, and see that nothing but the value is another, in the text and in what it says."""
        new = edited(text, path, value)
        expected = values_of(text)
        place = expected
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        self.assertEqual(values_of(new), expected, (path, value))
        before, after = lines_of(text), lines_of(new)
        same_head = next(
            (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
        )
        rest = len(before) - same_head - 1 if len(before) == len(after) else len(before) - same_head
        if before[-1].endswith("\n"):
            self.assertEqual(before[len(before) - rest :], after[len(after) - rest :], (path, value))
        self.assertLessEqual(abs(len(after) - len(before)), 1)
        return new

    def test_values_keep_their_style_and_their_comments(self) -> None:
        for path, value, line in (
            (("model_slots", "three", "provider"), "ollama", "    provider:    ollama    # far off"),
            (("model_slots", "three", "model"), "new", '    model: &m2 "new"'),
            (("model_slots", "one", "provider"), "o'b", "  one: {provider: 'o''b'" + REST),
            (("model_slots", "quoted key", "model"), "llama3.1:8b", '    "model": llama3.1:8b'),
            (("model_slots", "quoted key", "model"), "a: b # c", '    "model": "a: b # c"'),
            (("model_slots", "nothing", "model"), "m", "  nothing: {model: m}"),
            (("model_slots", "one", "hedge_after"), "2s", "  one: {hedge_after: 2s, provider: 'a'" + REST),
            (("model_slots", "three", "hedge_after"), 2.5, "    hedge_after: 2.5"),
            (("model_slots", "dangling", "model"), "m", "    model: m"),
            (("model_slots", "two", "provider"), "p", "      provider: p"),
        ):  # fmt: skip
            self.assertIn(line, self.check(ODD, path, value).splitlines(), path)

    def test_any_value_in_any_place(self) -> None:
        values = ["m", "on", "null", "12", "1e3", "a: b", "#x", "x #y", "é守", "it's", 'say "x"', "*a", "&a", "!x",
                  "{a}", "a,b", "- a", " a ", "\u2028", "a\\b", "~", "0x1f", "01:20", "@x", "%x", "`x`", 5, 0.25, True,
                  None, "\U0001f600", "\ue000", "llama3.1:8b", "meta/llama-3:free", "guard;chunks=3"]  # fmt: skip
        paths = [("model_slots", slot, key) for slot, key in product(
            ("one", "three", "quoted key", "nothing"), ("model", "priority")
        )]  # fmt: skip
        for ending in ("\n", "\r\n"):
            text = ODD.replace("\n", ending)
            for path, value in product(
                paths if ending == "\n" else paths[:3], values if ending == "\n" else values[:8]
            ):
                self.check(text, path, value)

    def test_what_cannot_be_replaced(self) -> None:
        for path, words in (
            (("other", "model"), "several lines"),
            (("model_slots", "one", "params"), "no single value"),
            (("model_slots", "four", "model"), "does not stand in it"),
            (("empty", "model"), "no mapping"),
        ):
            with self.assertRaises(NotEditable) as caught:
                edited(ODD, path, "x")
            self.assertIn(words, str(caught.exception))
        with self.assertRaises(NotEditable):
            edited("a: {b: '${X}x'}", ("a", "b"), "x")
        with self.assertRaises(NotEditable):
            edited("a: &x {b: c}\nd: *x\n", ("d", "b"), "x")
        self.assertEqual(edited("a: &x b\nd: {e: *x}\n", ("d", "e"), "f"), "a: &x b\nd: {e: f}\n")
        with self.assertRaises(NotEditable):
            edited("- a", ("a",), "x")
        with self.assertRaises(NotEditable):
            edited("a: b", ("c", "d"), "x")

    def test_the_end_of_the_file(self) -> None:
        self.assertEqual(edited("a:\n  b: c", ("a", "d"), 1), "a:\n  b: c\n  d: 1")
        self.assertEqual(edited("a:\r\n  b: c", ("a", "d"), 1), "a:\r\n  b: c\r\n  d: 1")
        self.assertEqual(edited("a:\n  b:\n    c: 1", ("a", "d"), 1), "a:\n  d: 1\n  b:\n    c: 1")
        self.assertEqual(edited("a: {b: }", ("a", "b"), 1), "a: {b: 1 }")
        self.assertEqual(edited("a:\n  b:\n  c: 1\n", ("a", "b"), 2), "a:\n  b: 2\n  c: 1\n")

    def test_the_samples(self) -> None:
        random = Random(7)
        files = [*(SAMPLES / "sample").glob("*.yaml"), SAMPLES / "default.yaml"]
        self.assertGreaterEqual(len(files), 3)
        for file in files:
            text = file.read_text("utf-8")
            data = values_of(text)
            for section in ("providers", "model_slots"):
                for name, owner in (data.get(section) or {}).items():
                    keys = [
                        key
                        for key, value in owner.items()
                        if not isinstance(value, (dict, list)) and "$" not in str(value)
                    ]
                    for key in (*random.sample(keys, 1), random.choice(["max_concurrent", "hedge_after"])):
                        self.check(text, (section, name, key), random.choice(["llama3.1:8b", 7, "2s"]))

    def test_lines_to_copy(self) -> None:
        lines = lines_for([(("model_slots", "a: b", "model"), "llama3.1:8b")])
        self.assertEqual(lines, ["model_slots:", '  "a: b":', "    model: llama3.1:8b"])
        self.assertEqual(yaml.safe_load("\n".join(lines)), {"model_slots": {"a: b": {"model": "llama3.1:8b"}}})
        several = {("model_slots", name, key): f"{name}-{key}" for key in ("provider", "model") for name in ("b", "a")}
        lines = lines_for([*several.items(), (("providers", "a", "max_concurrent"), 3)])
        self.assertEqual(len(lines), 10)
        slots = {name: {key: f"{name}-{key}" for key in ("model", "provider")} for name in ("a", "b")}
        found = yaml.safe_load("\n".join(lines))
        self.assertEqual(found, {"model_slots": slots, "providers": {"a": {"max_concurrent": 3}}})
        self.assertEqual(
            [written(each) for each in (True, None, 2.0, 2.5, "yes")], ["true", "null", "2", "2.5", '"yes"']
        )
        self.assertTrue(
            has(ODD, ("model_slots", "one")) and not has(ODD, ("model_slots", "x")) and not has(ODD, ("empty",))
        )


class TextFileTests(SynchronousTestCase):
    def test_each_encoding_is_written_as_it_was(self) -> None:
        text = "a: é守\r\n"
        for data in (
            text.encode(),
            codecs.BOM_UTF8 + text.encode(),
            codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
            codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
            "a: b\r\n".encode("utf-16-le"),
            "a: b\r\n".encode("utf-16-be"),
            b"",
        ):
            file = TextFile(data)
            self.assertEqual(file.encoded(file.text), data)
            self.assertFalse(file.text.startswith("\ufeff"))
        for data in (b"\xff\xfe\x00", b"a\0b\0\0c"):
            with self.assertRaises(ValueError):
                TextFile(data)
