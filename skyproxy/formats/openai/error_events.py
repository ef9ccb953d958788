"""Errors in event streams that clients would not take for any, as events in which they look for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from skyproxy.formats.error_body import shaped
from skyproxy.formats.openai.bad_ends import bad_end_of
from skyproxy.formats.openai.bodies import choices_of, error_of, is_of_error, read_answer, text_length, write_as_read
from skyproxy.formats.openai.event_names import TERMINAL
from skyproxy.formats.reported import reported
from skyproxy.formats.sse import Event, lines_by_lf, read_event

_LINES_THAT_SAY_NOTHING = re.compile(rb"(?:(?::[^\r\n]*)?(?:\r\n|\n|\r))+")

_FIELD = b"error:"
"""Of no event stream, but of those of llama.cpp's server until late 2025
(https://github.com/coddy-project/coddy-agent/pull/106), and of Crane's as data
(https://github.com/lucasjinreal/Crane/pull/121)."""


def read_any_event(event: bytes) -> tuple[bytes, Event]:
    """*event*, or what is left of a stream, and what it says. One without data that is an error all the same, in a
    field that is none, or in JSON alone, as Google's (https://github.com/vercel/ai/issues/5217), becomes one with it.
    """
    said = read_event(event)
    bare = _bare_error(event) if said.data is None else None
    if said.data is not None and not said.name and said.data.startswith(_FIELD):
        bare = _told_after_field(said.data)
    return (event, said) if bare is None else (b"%bdata: %b\n\n" % (_before(event), bare), Event(b"", bare))


def _bare_error(event: bytes) -> bytes | None:
    text = lines_by_lf(event[len(_before(event)) :]).strip()
    if text.startswith((b"{", b"[")):
        value = read_answer(text)
        if not isinstance(value, dict) or error_of(value) is None:
            return None
        if value.get("object") == "response" or text_length(value):
            # An answer that is called a stream, and has failed.
            return None
        # An event's data stands in one line.
        return _written(value) if b"\n" in text else text
    for line in text.split(b"\n") if _FIELD in text else ():
        if line.startswith(_FIELD) and (told := _told_after_field(line)) is not None:
            return told
    return None


def _told_after_field(line: bytes) -> bytes | None:
    said = read_answer(line[len(_FIELD) :].strip())
    return _written({"error": said}) if said else None


def read_data(data: bytes, name: bytes) -> Any:
    """What *data*, of an event of this *name*, says; of an error in words an object with them."""
    value = read_answer(data)
    if isinstance(value, dict) or not is_of_error(name):
        return value
    return {"message": value if isinstance(value, str) else data.decode("utf-8", "replace")}


def with_error(event: bytes, name: bytes, data: bytes, value: Mapping[str, Any], error: Mapping[str, Any]) -> bytes:
    """*event*, which tells of *error*, so that clients see that: in OpenAI's shape, as error answers go down.

    :param name: of the event; *data*: its data; *value*: what that says.
    """
    kind = value.get("type")
    told = value.get("error")
    # Of one that is a text, OpenAI's own libraries see that it is one, and not what it says.
    seen = told and not isinstance(told, str) and not data.lstrip().startswith(b"[")
    ended = any(bad_end_of(choice.get("finish_reason")) for choice in choices_of(value))
    if seen or ended or kind == "error" or kind in TERMINAL or value.get("object") == "response":
        # The end of a choice, or an event of the Responses API, tells of it, too.
        return event
    if error != value:
        data = _written({**value, "error": error})
    head = b"event: %b\n" % name if name else b""
    return b"%b%bdata: %b\n\n" % (_before(event), head, shaped(data, b"", reported(error).status, str))


def _before(event: bytes) -> bytes:
    """Comments and blank lines before *event*, which may have gone on already, if it came in two parts."""
    before = _LINES_THAT_SAY_NOTHING.match(event)
    return b"" if before is None else before.group()


def _written(value: Mapping[str, Any]) -> bytes:
    try:
        return write_as_read(value)
    except RecursionError:
        return orjson.dumps({"error": {"message": "The provider sent an error that cannot be read."}})
