"""What an answer of a model says, whole or in a chunk of a stream (https://platform.openai.com/docs/api-reference)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

from skyproxy.formats.openai.bad_ends import bad_end_in, bad_end_of
from skyproxy.formats.openai.event_names import ENDED, FAILED, PREFIX

# Where a chunk or an answer has text.
_SAID = frozenset({"content", "reasoning_content", "reasoning", "thinking", "tool_calls", "function_call", "refusal"})
_SAID_WITHOUT_TEXT = ("refusal", "audio", "images")
_NESTED = frozenset({"content", "text", "summary", "function", "arguments", "name"})
_DEEPEST = 6
"""Levels of an answer in which text is looked for."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Some servers begin a body with it, and RFC 8259 (section 8.1) lets readers ignore it."""

_MOST_DIGITS = 4000
"""Of an integer."""

# What an answer of any endpoint has at least one of, and an error without that word has not.
_OF_AN_ANSWER = frozenset({"choices", "data", "output", "object", "response", "delta", "text", "content", "usage"})

_OF_AN_ERROR = ("detail", "errors", "error_msg", "error_message")
_CODES = ("code", "status", "status_code", "statusCode", "http_code", "error_code", "type", "error_type")


def read_leniently(data: bytes) -> Any:
    """The JSON that *data* is, or what Python's reader takes for it besides: lone surrogates and numbers such as
    ``-Infinity``, which some servers write; a byte order mark before it, and bytes in it that are no UTF-8, such as
    half a character, at which a model was stopped. What is none is a text.
    """
    try:
        return orjson.loads(data)
    except ValueError:
        if data.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"{"):
            with suppress(ValueError, RecursionError):
                return read_by_python(data)
    return data.decode("utf-8", "replace")


def read_answer(data: bytes) -> Any:
    """As :func:`read_leniently`; of a list that holds an error, as Google's do, the error."""
    value = read_leniently(data)
    first = value[0] if isinstance(value, list) and value else None
    return first if isinstance(first, dict) and error_of(first) is not None else value


def read_by_python(data: bytes) -> Any:
    """The JSON that *data* is, with integers as long as they are (of over 4,300 digits, Python makes none), and a
    replacement character for what is no UTF-8.

    :raise ValueError: it is none.
    :raise RecursionError: it has too many levels.
    """
    try:
        return json.loads(data, parse_int=_integer)
    except UnicodeDecodeError:
        return json.loads(data.removeprefix(BYTE_ORDER_MARK).decode("utf-8", "replace"), parse_int=_integer)


def write_as_read(value: Any, data: bytes = b"") -> bytes:
    """*value* as JSON, with lone surrogates, and numbers that JSON does not know.

    :param data: what it was read from, if that may have such numbers.
    :raise RecursionError: it has too many levels.
    """
    # orjson writes null for what is no number in JSON.
    if b"Infinity" not in data and b"NaN" not in data:
        with suppress(TypeError):
            return orjson.dumps(value)
    return json.dumps(value, separators=(",", ":")).encode()


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def choices_of(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The choices of an answer or a chunk."""
    choices = value.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def index_of(choice: Mapping[str, Any]) -> int:
    """The number of *choice*."""
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def finish_reason_of(choice: Mapping[str, Any]) -> str | None:
    """Why *choice* is over; None if it is not. Some servers write an empty reason into each chunk, or the word null."""
    reason = choice.get("finish_reason")
    return reason if isinstance(reason, str) and reason and reason != "null" else None


def filter_of(value: Mapping[str, Any]) -> str | None:
    """The reason for which an answer of the Responses API, whole or in its last event, is incomplete, if that is a
    filter; else None.
    """
    response = value.get("response") or value
    details = response.get("incomplete_details") if isinstance(response, dict) else None
    reason = details.get("reason") if isinstance(details, dict) else None
    return reason if (end := bad_end_of(reason)) is not None and end.of_filter else None


def error_of(value: Mapping[str, Any], name: bytes = b"", *, silent: bool = False) -> dict[str, Any] | None:
    """What a provider reports in an answer whose status says that all is well, or in an event.

    :param name: of the event.
    :param silent: nothing was said before it, so that an end may be an error that is none after something.
    """
    if (value.get("error") or "base_resp" in value or "x_groq" in value) and (told := _error_told(value)) is not None:
        return told
    choices = value.get("choices")
    if choices:
        # An answer to a chat, as nearly all are.
        ends_well = False
        for choice in choices if type(choices) is list else ():
            if type(choice) is dict:
                end = bad_end_of(choice.get("finish_reason"))
                if choice.get("error") or (end is not None and not end.if_silent):
                    return _error_of_choice(choice)
                ends_well = ends_well or bad_end_in(choice) is None
        if silent and not ends_well and _says_nothing(value):
            return _error_of_end(choices_of(value)[0])
        if not is_of_error(name):
            return None
    kind, object_ = value.get("type"), value.get("object")
    # The Responses API's error event, and vLLM's errors.
    if kind == "error" or object_ == "error":
        return dict(value)
    response = value.get("response")
    if kind == FAILED or (kind == ENDED and isinstance(response, dict) and response.get("status") == "failed"):
        return _error_of_response(response if isinstance(response, dict) else {})
    if object_ == "response" and value.get("status") == "failed":
        return _error_of_response(value)
    if is_of_error(name):
        return dict(value) or {"message": "The provider sent an error without words."}
    return _error_in_other_words(value)


def is_of_error(name: bytes) -> bool:
    """Whether an event of this *name* tells of an error."""
    return name.lower() in (b"error", b"exception")


def text_length(value: Mapping[str, Any]) -> int:
    """Bytes of what a model said, thought or called, in a chunk or in a whole answer."""
    choices = value.get("choices")
    if isinstance(choices, list):
        return sum(map(_choice_length, choices))
    delta = value.get("delta")
    return _length(delta if isinstance(delta, str) else value.get("output"))  # of the Responses API


def _error_of_response(response: Mapping[str, Any]) -> dict[str, Any]:
    error = response.get("error")
    return error if isinstance(error, dict) else {"message": "The provider reports that the response failed."}


def _error_of_choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    """OpenRouter's, https://openrouter.ai/docs/api-reference/errors."""
    error = choice.get("error")
    if isinstance(error, dict):
        return error
    return _error_in_words(error, choice) if error else _error_of_end(choice)


def _error_in_words(error: Any, value: Mapping[str, Any]) -> dict[str, Any]:
    """Of *value*, which has words for it, and may have a number beside them."""
    return {**{name: said for name in _CODES if (said := value.get(name))}, "message": _words(error)}


def _words(said: Any) -> str:
    try:
        return str(said)[:500]
    except RecursionError:
        return "The provider sent an error of too many levels."


def _error_told(value: Mapping[str, Any]) -> dict[str, Any] | None:
    """The error of *value*, or one that is told beside the choices: MiniMax's
    (https://platform.minimax.io/docs/api-reference/errorcode), and Groq's, of a stream that was stopped early
    (https://github.com/groq/groq-python/blob/main/src/groq/types/chat/chat_completion_chunk.py). One in which there is
    nothing stands beside what is well at some gateways
    (https://github.com/Laisky/one-api/blob/main/cmd/test/main_test.go).
    """
    error, base, groq = value.get("error"), value.get("base_resp"), value.get("x_groq")
    if not error and isinstance(base, dict) and base.get("status_code"):
        return {"message": _words(base.get("status_msg")), "code": base["status_code"]}
    if not error and isinstance(groq, dict):
        error = groq.get("error")
    if isinstance(error, dict) and error:
        return error if any(error.values()) or not value.get("choices") else None
    return _error_in_words(error, value) if error else None


def _says_nothing(value: Mapping[str, Any]) -> bool:
    """Whether the choices of *value*, of which there are some, say nothing but that they are over."""
    choices = choices_of(value)
    said = [said for each in choices for said in (each.get("delta"), each.get("message")) if isinstance(said, dict)]
    beside = any(each.get(name) for each in said for name in _SAID_WITHOUT_TEXT)
    return bool(choices) and not beside and not text_length(value)


def _error_of_end(choice: Mapping[str, Any]) -> dict[str, Any]:
    field = "finish_reason"
    if bad_end_of(choice.get(field)) is None and bad_end_in(choice) is not None:
        field = "native_finish_reason"
    reason, end = choice.get(field), bad_end_of(choice.get(field))
    code = reason if end is None or end.code is None else end.code
    return {"message": f"The provider ended its answer by an error ({field} {reason}).", "code": code}


def _error_in_other_words(value: Mapping[str, Any]) -> dict[str, Any] | None:
    """FastAPI's ``{"detail": …}`` and the like: words about a failure where an answer should be."""
    if not value or not _OF_AN_ANSWER.isdisjoint(value) or str(value.get("type")).startswith(PREFIX):
        return None
    if any(value.get(field) for field in _OF_AN_ERROR):
        return dict(value)
    message = value.get("message") or value.get("msg")
    told = isinstance(message, str) and (any(value.get(field) for field in _CODES) or value.get("success") is False)
    # Of RFC 9457, where only the title must be there.
    status = value.get("status")
    titled = bool(value.get("title")) and type(status) is int and status >= 400
    return dict(value) if told or titled else None


def _choice_length(choice: Any) -> int:
    if not isinstance(choice, dict):
        return 0
    said = choice.get("delta") or choice.get("message")
    if not isinstance(said, dict):
        return _length(choice.get("text"))
    length = 0
    for name, value in said.items():
        if name in _SAID:
            length += _length(value)
    return length


def _length(value: Any) -> int:
    """Of a text, or of the texts in it."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    todo, length = [value], 0
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for each in todo:
            if isinstance(each, str):
                length += len(each.encode("utf-8", "surrogatepass"))
            elif isinstance(each, list):
                inner += each
            elif isinstance(each, dict):
                inner += [each[name] for name in _NESTED & each.keys()]
        todo = inner
    return length
