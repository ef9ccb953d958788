"""One value of a YAML text replaced or added, and nothing else touched: comments, quotes, anchors, ends of lines.

The text is composed into nodes, which have places, and the characters of the value are replaced at its place. Whether
the result means what it should is for the loader of the configuration to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from skyproxy.config.composing import compose
from skyproxy.config.document import KeyPath

_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*[ \t]+)+")
_ALIAS = re.compile(r"[ \t]*:[ \t]+(\*[^\s,\[\]{}]+)")
_END_OF_LINE = re.compile(r"\r\n|\n|\r")


class NotEditable(Exception):
    """The value cannot be replaced by its own characters. The text says why."""


def edited(text: str, path: KeyPath, value: Any) -> str:
    """*text* with *value*, a text, a number, a boolean or None, at *path*.

    :raise NotEditable: the mapping around it is not there, or shares its lines with others.
    """
    root = compose(text)
    if not isinstance(root, MappingNode):
        raise NotEditable("the file is no mapping")
    parent = root
    for step in path[:-1]:
        found = _entry(parent, step)
        if found is None:
            raise NotEditable(f"{'.'.join(path[:-1])} does not stand in it by its own name")
        key, node = found
        if _start(node) < _end(key):
            raise NotEditable(f"{step} is an alias of something that others use, too")
        if not isinstance(node, MappingNode):
            raise NotEditable(f"{step} is no mapping")
        parent = node
    own = _entry(parent, path[-1])
    if own is None:
        return _added(text, parent, path[-1], value)
    return _replaced(text, *own, value)


def has(text: str, path: KeyPath) -> bool:
    """Whether there is a mapping at *path* in *text*."""
    node = compose(text)
    for step in path:
        found = _entry(node, step) if isinstance(node, MappingNode) else None
        if found is None:
            return False
        node = found[1]
    return isinstance(node, MappingNode)


def lines_for(settings: Iterable[tuple[KeyPath, Any]]) -> list[str]:
    """The lines that say so, for people to copy: each key stands in its mapping once."""
    lines: list[str] = []
    before: KeyPath = ()
    for (*parents, last), value in sorted(settings, key=lambda each: each[0]):
        above = tuple(parents)
        same = next((at for at, step in enumerate(above) if above[: at + 1] != before[: at + 1]), len(above))
        lines += [f"{'  ' * depth}{written(step)}:" for depth, step in enumerate(above) if depth >= same]
        lines.append(f"{'  ' * len(above)}{last}: {written(value)}")
        before = above
    return lines


def written(value: Any) -> str:
    """*value* as YAML writes it: plain where it is read as the same, within braces, too."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return value if _is_plain(value) else _quoted(value)


def _quoted(value: str) -> str:
    """*value* in double quotes. What no editor shows is written by its number, some of which YAML takes for a line's
    end.
    """
    escaped = json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in escaped)


def _is_plain(value: str) -> bool:
    if not value or value != value.strip() or not value.isprintable():
        return False
    try:
        return bool(yaml.safe_load(f"{{k: {value}}}") == {"k": value} and yaml.safe_load(f"k: {value}") == {"k": value})
    except (yaml.YAMLError, ValueError):
        return False


def _entry(mapping: MappingNode, key: str) -> tuple[Node, Node] | None:
    return next(((k, v) for k, v in mapping.value if isinstance(k, ScalarNode) and k.value == key), None)


def _start(node: Node) -> int:
    return int(node.start_mark.index)


def _end(node: Node) -> int:
    return int(node.end_mark.index)


def _replaced(text: str, key: Node, node: Node, value: Any) -> str:
    alias = _ALIAS.match(text, _end(key)) if _start(node) < _end(key) else None
    if alias is not None:
        return text[: alias.start(1)] + written(value) + text[alias.end(1) :]
    if not isinstance(node, ScalarNode) or _start(node) < _end(key):
        raise NotEditable(f"{key.value} is no single value")
    start, end = _start(node), _end(node)
    if start == end:
        # Within braces each parser of PyYAML has another place for what is not there.
        start = end = text.index(":", _end(key)) + 1
    properties = _PROPERTIES.match(text, start, end)
    if properties is not None:
        start = properties.end()
    old = text[start:end]
    if "${" in old:
        raise NotEditable(f"{key.value} comes from a variable")
    if node.style in ("|", ">") or _END_OF_LINE.search(old):
        raise NotEditable(f"{key.value} goes over several lines")
    new = _in_style(value, node.style)
    return text[:start] + ("" if old else " ") + new + text[end:]


def _in_style(value: Any, style: str | None) -> str:
    if isinstance(value, str) and style == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, str) and style == '"':
        return _quoted(value)
    return written(value)


def _added(text: str, parent: MappingNode, key: str, value: Any) -> str:
    entry = f"{written(key)}: {written(value)}"
    if parent.flow_style:
        at = text.index("{", _start(parent)) + 1
        return text[:at] + entry + (", " if parent.value else "") + text[at:]
    if not parent.value:
        raise NotEditable("there is nothing beside which it could stand")
    first = parent.value[0][0]
    begins = max(text.rfind("\n", 0, _start(first)), text.rfind("\r", 0, _start(first))) + 1
    indentation = text[begins : _start(first)]
    if indentation.strip(" \ufeff"):
        raise NotEditable("the mapping does not begin on a line of its own")
    indentation = indentation.replace("\ufeff", "")
    # Behind the last value that ends where it begins, its comment included; else before all others.
    singles = [v for k, v in parent.value if _end(k) <= _start(v) and k.start_mark.line == v.end_mark.line]
    newline = _END_OF_LINE.search(text, _start(first)) or _END_OF_LINE.search(text)
    ending = newline.group() if newline else "\n"
    if not singles:
        at = _start(first)
        return text[:at] + entry + ending + indentation + text[at:]
    stop = _END_OF_LINE.search(text, _end(singles[-1]))
    at = stop.start() if stop else len(text)
    return text[:at] + ending + indentation + entry + text[at:]
