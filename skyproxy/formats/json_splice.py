"""JSON texts in which members of an object are changed while every other byte stays as it came.

What was read and written again is not the same: 1e-400 becomes 0.0, an integer of 20 digits the nearest float, and
numbers that JSON does not know, which some servers write, become null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from skyproxy.errors import InvalidRequest

_MODEL = b'"model"'
_BYTE_ORDER_MARK = "\ufeff"

_FEW = 16
"""Members each of which is looked for by itself: for more, all that stand there are read once."""

_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(rb'[ \t\n\r]*:[ \t\n\r]*("[^"\\]*(?:\\.[^"\\]*)*"|[^\s,"\[\]{}]+)')
_read_at = json.JSONDecoder(strict=False, parse_int=str, parse_float=str).raw_decode


class _Member(NamedTuple):
    """Where a member of an object stands: its name from *start* on, its value from *value* to *end*."""

    start: int
    value: int
    end: int


def with_members(data: bytes, object_: Mapping[str, Any], changes: Mapping[str, bytes | None]) -> bytes:
    """*data*, which says *object_*, with some members changed.

    :param changes: JSON by name; None: the member goes.
    :raise InvalidRequest: *data* has too many levels.
    """
    if len(changes) > _FEW:
        return _with_members_of_any(data, object_, changes)
    found: list[tuple[_Member, bytes | None]] = []
    added: list[tuple[str, bytes]] = []
    for name, new in changes.items():
        if name in object_:
            member = _only(data, name)
            if member is None:
                return _with_members_of_any(data, object_, changes)
            found.append((member, new))
        elif new is not None:
            added.append((name, new))
    if len(found) > 1:
        found.sort(reverse=True)
    for member, new in found:
        data = _without(data, member) if new is None else data[: member.value] + new + data[member.end :]
    return _with_more(data, added) if added else data


def with_model(data: bytes, model: bytes, object_: Mapping[str, Any] | None = None) -> bytes:
    """*data*, a JSON object, with *model*, as JSON, for its model and that of a response in it, where they have one.

    :param object_: what *data* says, if that is known: then it takes less time.
    """
    if object_ is not None:
        if "model" in object_:
            member = _only(data, "model")
            if member is not None:
                return data[: member[1]] + model + data[member[2] :]
        elif not isinstance(object_.get("response"), dict):
            return data
    else:
        start = data.find(_MODEL)
        if start >= 0 and _is_outermost(data, start):
            value = _SCALAR.match(data, start + len(_MODEL))
            if value is not None:
                begin, end = value.span(1)
                return data[:begin] + model + data[end:]
    text = _text(data)
    try:
        found = [place for _, place in _models(text)]
    except (ValueError, IndexError, InvalidRequest):
        return data
    parts, at = [], 0
    for member in found:
        parts.append(text[at : member.value])
        at = member.end
    return _text(model).join([*parts, text[at:]]).encode("utf-8", "surrogateescape")


def _is_outermost(data: bytes, start: int) -> bool:
    """Whether what stands at *start* is a member of the outermost object, since no other has begun before it."""
    return data.find(b"[", 0, start) < 0 and data.find(b"{", data.find(b"{") + 1, start) < 0


def _models(text: str) -> Iterator[tuple[str, _Member]]:
    for name, member in _members(text):
        if name == "model":
            yield name, member
        elif name == "response" and text[member.value] == "{":
            yield from [each for each in _members(text, member.value) if each[0] == "model"]


def _only(data: bytes, name: str) -> _Member | None:
    """The member *name*, which the outermost object has, if it is the only one of its name and no list or object."""
    if not name.isascii():
        return None
    key = _key(name)
    start = data.find(key)
    if start < 0 or data.find(key, start + len(key)) >= 0:
        return None
    # With letters of it escaped it may stand there once more, or this one may be another object's. One byte is sought
    # in a tenth of the time that four take, and most texts have no escape with a number.
    escape = data.find(b"\\")
    if escape >= 0 and data.find(b"\\u00", escape) >= 0 and any(each in data for each in _escapes(name)):
        return None
    value = _SCALAR.match(data, start + len(key))
    return None if value is None else _Member(start, *value.span(1))


@lru_cache(maxsize=256)
def _escapes(name: str) -> tuple[bytes, ...]:
    """How escapes of the letters of *name*, which are ASCII's, begin. There are few: a text is searched for each."""
    return tuple({b"\\u00%x" % (ord(letter) >> 4) for letter in name})


def _with_members_of_any(data: bytes, object_: Mapping[str, Any], changes: Mapping[str, bytes | None]) -> bytes:
    """As :func:`with_members`, whatever *data* looks like, for about the time that it takes to read it."""
    text = _text(data)
    parts: list[str] = []
    at, end = 0, text.index("{") + 1  # up to where *text* is in *parts*, and where the last member ends that stays
    goes: int | None = None  # where those begin that go
    last = end
    for name, member in _members(text):
        last = member.end
        if name in changes and changes[name] is None:
            goes = member.start if goes is None else goes
            continue
        if goes is not None:
            parts.append(text[at:goes])
            at, goes = member.start, None
        new = changes.get(name)
        if new is not None:
            parts += (text[at : member.value], _text(new))
            at = member.end
        end = member.end
    if goes is not None:
        # The comma before them goes, too.
        parts.append(text[at:end])
        at = _after_space(text, last)
    parts.append(text[at:])
    added = [(name, new) for name, new in changes.items() if name not in object_ and new is not None]
    return _with_more("".join(parts).encode("utf-8", "surrogateescape"), added)


def _members(text: str, start: int = 0) -> Iterator[tuple[str, _Member]]:
    """The members of the object that begins in *text* at *start*, as often as they stand there.

    :raise ValueError: there is none.
    """
    at = _after_space(text, start + text.startswith(_BYTE_ORDER_MARK, start))
    if text[at] != "{":
        raise ValueError("no object")
    at = _after_space(text, at + 1)
    try:
        while text[at] != "}":
            begin = at
            name, at = _read_at(text, at)
            value = _after_space(text, _after_space(text, at) + 1)
            _, at = _read_at(text, value)
            yield name, _Member(begin, value, at)
            at = _after_space(text, at)
            if text[at] == ",":
                at = _after_space(text, at + 1)
    except RecursionError:
        raise InvalidRequest("The body has too many levels.") from None


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _without(data: bytes, member: _Member) -> bytes:
    """*data* without *member*, and without the comma that parts it from the next, or else from the one before it."""
    before, after = data[: member.start], data[member.end :].lstrip(b" \t\n\r")
    if after.startswith(b","):
        return before + after[1:].lstrip(b" \t\n\r")
    return before.rstrip(b" \t\n\r").removesuffix(b",") + after


def _with_more(data: bytes, members: list[tuple[str, bytes]]) -> bytes:
    if not members:
        return data
    before = data[: data.rindex(b"}")].rstrip(b" \t\n\r")
    more = b",".join([_name(name) + new for name, new in members])
    return before + (more if before.endswith(b"{") else b"," + more) + data[len(before) :]


@lru_cache(maxsize=256)
def _key(name: str) -> bytes:
    return b'"%b"' % name.encode()


@lru_cache(maxsize=256)
def _name(name: str) -> bytes:
    return json.dumps(name).encode() + b":"
