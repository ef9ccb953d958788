"""Either parser of PyYAML: the same is read, and the same is said of what cannot be."""

from __future__ import annotations

import random
from importlib.resources import files
from typing import Any
from unittest import skipIf

import yaml
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import composing as module
from skyproxy.config.document import Document, parse
from skyproxy.config.editing import NotEditable, edited
from skyproxy.config.problems import Problem

ALL = (
    "a: [1, 'x y', {b: \"c\\n\"}]\nd: |\n  text\n  more\ne: >-\n  folded\n\n  x\nf: &x {g: 1e3}\nh: *x\ni: {<<: *x}\n"
    "j: 0,7\nk:\n- l\n-\n  m: 'n\n\n    o'\np: caf\u00e9 # \U0001f600\n"
)
PIECES = (
    "\n", "\r\n", "\t", " ", ":", ": ", "-", "- ", ",", "[", "]", "{", "}", "#", " #", "&a ", "*x", "!", "!!str ", "|",
    ">#", "|2\n", "'", '"', "%", "@", "`", "?", "? ", "\\", "\\x41", "---\n", "...\n", "<<: ", "\u00a0", "\ufeff",
    "\u2028", "\u201c", "\U0001f600", "\ud83d", "\x07", "0x1", "~",
)  # fmt: skip


def read(text: str) -> tuple[Document, list[Problem]]:
    problems: list[Problem] = []
    return parse("f", text, problems), problems


def outcome_of(text: str, path: tuple[str, ...]) -> str:
    """*text* with another value at *path*, or why it cannot have one."""
    try:
        return edited(text, path, "x: y")
    except NotEditable as error:
        return str(error)


class ComposingTests(SynchronousTestCase):
    @skipIf(module._IN_C is None, "PyYAML was built without it")
    def test_both_parsers_read_the_same(self) -> None:
        sample = files("skyproxy.config").joinpath("sample/routes.yaml").read_text("utf-8")
        chance = random.Random(7)
        for _ in range(1500):
            text = chance.choice((ALL, sample[:600], sample[-600:]))
            for _ in range(chance.randint(1, 3)):
                at, until = sorted(chance.randrange(len(text) + 1) for _ in range(2))
                text = text[:at] + chance.choice(PIECES) + text[min(until, at + chance.choice((0, 0, 1, 5))) :]
            fast = read(text)
            with self.subTest(text):
                patch = self.patch(module, "_IN_C", None)
                self.assertEqual(fast, read(text))
                patch.restore()

    @skipIf(module._IN_C is None, "PyYAML was built without it")
    def test_both_parsers_find_the_same_places(self) -> None:
        sample = files("skyproxy.config").joinpath("sample/routes.yaml").read_text("utf-8")
        changed = [
            (sample, ("model_slots", slot, key)) for slot in ("default", "memory") for key in ("model", "priority")
        ]
        for text, path in [
            *changed,
            *((ALL, (key,)) for key in "dehjp"),
            (ALL, ("f", "g")),
            (ALL, ("f", "new")),
            ("a: {b: , c: }", ("a", "b")),
        ]:
            fast = outcome_of(text, path)
            patch = self.patch(module, "_IN_C", None)
            self.assertEqual(fast, outcome_of(text, path))
            patch.restore()

    def test_a_change_is_parsed_fast(self) -> None:
        self.patch(yaml, "compose", None)
        self.assertIn("{g: 2}", edited(ALL, ("f", "g"), 2))

    def test_a_text_is_parsed_once(self) -> None:
        parsed: list[str] = []
        own = yaml.parse

        def parse_noted(text: str, Loader: Any) -> Any:
            parsed.append(text)
            return own(text, Loader=Loader)

        self.patch(yaml, "parse", parse_noted)
        self.patch(yaml, "compose", None)
        self.assertEqual(read(ALL)[0].data["h"], {"g": "1e3"})
        self.assertEqual(parsed, [ALL])
