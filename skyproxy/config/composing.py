"""From a text of YAML to its nodes.

The text is parsed once. Where PyYAML has its parser in C, that one does it, a tenth of the time: it finds the same in
what both read alike. All else, and what is wrong, is for the one in Python: in whichever way PyYAML was built, the same
files are read, and the same is said of those that cannot be.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Any

import yaml
from yaml.nodes import Node

DEEPEST = 32
MOST_VALUES = 50_000

_IN_C: Any = getattr(yaml, "CSafeLoader", None)

# Tabs, question marks, tags, marks of the byte order, ends of lines that nobody types, and a comment right behind the
# sign of a block: these they read in two ways. Half a surrogate pair cannot be given to the one in C. Together they
# would take three times as long, in which no other thread has its turn.
_ODD = re.compile(r"[^\n\r\x20\x22-\x3e\x40-\x7e\xa0-\u2027\u202a-\ud7ff\U00010000-\U0010ffff]")
_ODD_COMMENT = re.compile(r"[|>][-+0-9]*#")


class TooMuch(Exception):
    """The text is more than a configuration can be.

    :ivar line: where that shows.
    """

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def compose(text: str) -> Node | None:
    """The node of all of *text*; None: it has none.

    :raise TooMuch: it is nested too deep, or has too many values.
    :raise yaml.YAMLError: it is no YAML.
    """
    node: Node | None = _Composer(_events(text)).get_single_node()
    return node


def line_of(part: Node | yaml.Event) -> int:
    """The line where *part* begins, counted from 1."""
    return int(part.start_mark.line) + 1 if part.start_mark is not None else 1


def _events(text: str) -> deque[yaml.Event]:
    if _IN_C is not None and not _ODD.search(text) and not _ODD_COMMENT.search(text):
        try:
            return _checked(yaml.parse(text, Loader=_IN_C))
        except yaml.YAMLError:
            pass  # the other one has words for it that we explain
    return _checked(yaml.parse(text, Loader=yaml.SafeLoader))


def _checked(events: Iterable[yaml.Event]) -> deque[yaml.Event]:
    """*events*, unless composing would recurse into them too deep. The parser below it does not recurse."""
    found: deque[yaml.Event] = deque()
    depth = 0
    for count, event in enumerate(events):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        if depth > DEEPEST:
            raise TooMuch("is nested too deep", line_of(event))
        if count > 2 * MOST_VALUES:
            raise TooMuch("holds too many values", line_of(event))
        found.append(event)
    return found


class _Composer(yaml.SafeLoader):
    """PyYAML's own, of events that are known."""

    def __init__(self, events: deque[yaml.Event]) -> None:
        super().__init__("")
        self._events = events

    def check_event(self, *choices: Any) -> bool:
        return bool(self._events) and (not choices or isinstance(self._events[0], choices))

    def peek_event(self) -> yaml.Event:
        return self._events[0]

    def get_event(self) -> yaml.Event:
        return self._events.popleft()
