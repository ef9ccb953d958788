"""One YAML file: its values, and the line of each.

YAML is composed into nodes and the values are made from them here: only nodes have lines, YAML's own
constructor lets a repeated key win silently, and aliases can blow a small file up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from skyproxy.config.composing import DEEPEST, MOST_VALUES, TooMuch, compose, line_of
from skyproxy.config.doubts import doubt, doubt_of_key
from skyproxy.config.problems import Problem
from skyproxy.config.syntax import explain

KeyPath = tuple[str, ...]

_KEYS_ARE_TEXTS = "must be a text to be a key here: put it in quotes"
_AT_TOP = "must be a mapping of keys to values at its top"
_A_TAG = "begins with !, which YAML takes for a tag, and nobody knows this one: put it in quotes"
_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read.

    :ivar name: as messages show it.
    :ivar data: plain values; the keys of all mappings are texts.
    :ivar lines: from a value's path (items of a list by their index) to its line, counted from 1.
    :ivar doubts: what can be read, but was hardly meant so.
    """

    name: str
    data: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    doubts: tuple[Problem, ...] = ()

    def problem(self, path: KeyPath, message: str, suggestion: str | None = None) -> Problem:
        """A problem with the value at *path*, at its line or that of the nearest mapping around it."""
        line = None
        for length in range(len(path), 0, -1):
            line = self.lines.get(path[:length])
            if line is not None:
                break
        return Problem(self.name, line, ".".join(path), message, suggestion)


def parse(name: str, text: str, problems: list[Problem]) -> Document:
    """The document in *text*; what is wrong with it as YAML is added to *problems*."""
    try:
        node = compose(text)
    except TooMuch as refusal:
        problems.append(Problem(name, refusal.line, "", str(refusal)))
        return Document(name)
    except yaml.YAMLError as error:
        problems.append(_of_yaml(name, text, error))
        return Document(name)
    if node is None or node.tag == _NULL:
        problems.append(Problem(name, None, "", "the file is empty"))
        return Document(name)
    if not isinstance(node, MappingNode):
        page = isinstance(node, ScalarNode) and str(node.value).startswith("<")
        words = "is a page of the web, and no YAML: save the file itself" if page else _AT_TOP
        problems.append(Problem(name, line_of(node), "", words))
        return Document(name)
    return _Reading(name, text, problems).read(node)


def _of_yaml(name: str, text: str, error: yaml.YAMLError) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        line, message = explain(text, error)
        return Problem(name, line, "", message)
    position = getattr(error, "position", 0)
    return Problem(
        name,
        text.count("\n", 0, position) + 1,
        "",
        "is not valid YAML: it has a control character, which cannot be seen: delete it",
    )


class _Reading:
    """Makes values of nodes, noting their lines."""

    def __init__(self, name: str, text: str, problems: list[Problem]) -> None:
        self._name = name
        self._text = text
        self._problems = problems
        self._scalars = SafeConstructor()
        self._lines: dict[KeyPath, int] = {}
        self._doubts: list[Problem] = []
        self._values = 0

    def read(self, node: MappingNode) -> Document:
        try:
            data = self._mapping(node, ())
        except TooMuch as refusal:
            self._problems.append(Problem(self._name, refusal.line, "", str(refusal)))
            data = {}
        return Document(self._name, data, self._lines, tuple(self._doubts))

    def _value(self, node: Node, path: KeyPath) -> Any:
        self._values += 1
        if self._values > MOST_VALUES:
            raise TooMuch("holds too many values, counting aliases", line_of(node))
        # An alias can stand within what it names.
        if len(path) > DEEPEST:
            raise TooMuch("is nested too deep", line_of(node))
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self._item(item, (*path, str(index))) for index, item in enumerate(node.value)]
        doubtful = doubt(node, path, self._text) if isinstance(node, ScalarNode) else None
        if doubtful is not None:
            self._doubts.append(Problem(self._name, line_of(node), ".".join(path), doubtful))
        return self._scalar(node, path)

    def _item(self, node: Node, path: KeyPath) -> Any:
        self._lines[path] = line_of(node)
        return self._value(node, path)

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        own: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                data.update(self._merged(value_node, path))
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self._key(key_node, path)
            if key is None:
                continue
            if key in own:
                # Whole sections are pasted from guides.
                section = not path and isinstance(value_node, MappingNode)
                advice = ": put the lines of both below that one" if section else ""
                self._add(key_node, (*path, key), f"stands here twice; the first is in line {own[key]}{advice}")
                continue
            place = (*path, key)
            own[key] = self._lines[place] = line_of(key_node)
            alone = isinstance(value_node, ScalarNode) and not value_node.value and not value_node.style
            doubtful = doubt_of_key(key, path, alone=alone)
            if doubtful is not None:
                self._doubts.append(Problem(self._name, line_of(key_node), ".".join(place), doubtful))
            data[key] = self._value(value_node, place)
        return data

    def _merged(self, node: Node, path: KeyPath) -> dict[str, Any]:
        """What ``<<`` brings: of one mapping, or of several, the first of which wins.

        https://yaml.org/type/merge.html
        """
        data: dict[str, Any] = {}
        for source in reversed(node.value if isinstance(node, SequenceNode) else [node]):
            if not isinstance(source, MappingNode):
                self._add(source, (*path, "<<"), "must name a mapping, or a list of them")
                continue
            # One level down, so that a mapping that merges itself ends.
            for name, value in self._value(source, (*path, "<<")).items():
                place = (*path, name)
                self._lines[place] = line_of(source)
                data[name] = value
        return data

    def _key(self, node: Node, path: KeyPath) -> str | None:
        key = self._scalar(node, path) if isinstance(node, ScalarNode) else None
        before = self._text[max(0, node.start_mark.index - 2) : node.start_mark.index]
        # 08 is a text, for it is no number to the base of 8.
        decimal = str(key).isdecimal() and before[:1].isdigit() and before.endswith(",")
        if isinstance(key, str) and not decimal:
            return key
        shown = (*path, node.value) if isinstance(node, ScalarNode) else path
        words = "has a comma in a number: write 0.7, not 0,7" if decimal else _KEYS_ARE_TEXTS
        self._add(node, shown, words)
        return None

    def _scalar(self, node: Node, path: KeyPath) -> Any:
        try:
            value = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, AttributeError, LookupError, ArithmeticError):
            # PyYAML takes an explicit tag at its word: `!!timestamp x`, `!!int ''`, `!!bool x`.
            words = (
                _A_TAG
                if node.tag.startswith("!")
                else "looks like a date, a number or the like, and is none: put it in quotes"
            )
            self._add(node, path, words)
            return None
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            self._add(node, path, "must be a whole number within 64 bits: write a smaller one")
            return None
        if isinstance(value, str) and not _is_unicode(value):
            self._add(node, path, "contains half of a surrogate pair, which is no character")
            return None
        return value

    def _add(self, node: Node, path: KeyPath, message: str) -> None:
        self._problems.append(Problem(self._name, line_of(node), ".".join(path), message))


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
