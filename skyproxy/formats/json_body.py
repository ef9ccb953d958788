"""JSON bodies: read strictly, written as the values that were read."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from skyproxy.errors import InvalidRequest

# orjson reads an integer beyond 64 bits as the nearest float: another value than the client sent.
_BEYOND_INTEGERS = float(2**63)

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_LONGEST_MODEL = 512


def parse(data: bytes) -> dict[str, Any]:
    """The JSON object that *data* is (RFC 8259), whose values can be passed on as they are.

    :raise InvalidRequest: it is none, or holds what cannot be written as the same value: an integer beyond 64 bits,
        a lone surrogate, levels without end.
    """
    value = read(data)
    if _has_large_float(value):
        try:
            json.loads(data, parse_int=_check_integer)
        except RecursionError:
            raise InvalidRequest("The body has too many levels.") from None
    return value


def read(data: bytes) -> dict[str, Any]:
    """The JSON object that *data* is; an integer beyond 64 bits is read as the nearest float.

    :raise InvalidRequest: it is none.
    """
    try:
        value = orjson.loads(data)
    except ValueError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return value


def encode(value: Any) -> bytes:
    """*value* as JSON.

    :raise InvalidRequest: it has too many levels (orjson reads 1,024 of them, but writes 254).
    """
    try:
        # A copy: orjson gives what it has written together with the room that it took to write it, eight times as much.
        return bytes(memoryview(orjson.dumps(value)))
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"The body cannot be passed on as JSON: {error}.") from None


def with_model(data: bytes, value: dict[str, Any], model: str) -> bytes:
    """*data*, the JSON object *value*, with *model* as its model; if it names one, and with every other byte as it is
    if that can be.

    :raise InvalidRequest: it cannot be written with the same values.
    """
    old = value.get("model", model)
    if old == model:
        return data
    # A name that stands there once only, and nowhere with its letters escaped, is the object's own.
    if isinstance(old, str) and data.count(b'"model"') == 1 and b"\\u006" not in data:
        start = data.index(b'"model"') + len(b'"model"')
        before, found, after = data[start:].partition(orjson.dumps(old))
        if found and before.strip() == b":":
            return b"".join((data[:start], before, orjson.dumps(model), after))
    return encode({**parse(data), "model": model})


def model_of(fields: dict[str, Any], default: str | None = None) -> str:
    """The model that a request names.

    :param default: what serves a request that names none; None: nothing does.
    :raise InvalidRequest: none, or not a name.
    """
    model = fields.get("model")
    if model is None:
        if default is not None:
            return default
        raise InvalidRequest("Name a model: the field `model` is missing.", param="model")
    if not isinstance(model, str):
        raise InvalidRequest("The field `model` must be a string.", param="model")
    return checked_name(model)


def checked_name(model: str) -> str:
    """*model*, if it can be a model's name.

    :raise InvalidRequest: it cannot.
    """
    if not model or len(model) > _LONGEST_MODEL or _CONTROL.search(model):
        raise InvalidRequest(
            f"The field `model` must have 1 to {_LONGEST_MODEL} characters and no control characters.", param="model"
        )
    return model


def check_messages(fields: dict[str, Any]) -> None:
    """Refuse a chat request whose messages are not a list.

    :raise InvalidRequest: they are not.
    """
    if not isinstance(fields.get("messages"), list):
        raise InvalidRequest("The field `messages` must be a list of messages.", param="messages")


def _has_large_float(value: dict[str, Any]) -> bool:
    todo: list[Any] = [value]
    while todo:
        outer = todo.pop()
        for each in outer.values() if type(outer) is dict else outer:
            kind = type(each)
            if kind is str:
                continue
            if kind is dict or kind is list:
                todo.append(each)
            elif kind is float and (each >= _BEYOND_INTEGERS or each <= -_BEYOND_INTEGERS):
                return True
    return False


def _check_integer(digits: str) -> int:
    value = int(digits) if len(digits) <= 20 else None
    if value is None or not -(2**63) <= value < 2**64:
        raise InvalidRequest("The body holds an integer beyond 64 bits, which cannot be passed on unchanged.")
    return value
