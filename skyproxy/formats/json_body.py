"""JSON bodies: read strictly, and written."""

from __future__ import annotations

import re
from typing import Any

import orjson

from skyproxy.errors import InvalidRequest

# orjson reads an integer beyond 64 bits as the nearest float: another value than the client sent.
_BEYOND_INTEGERS = float(2**63)

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_LONGEST_MODEL = 512
"""Characters of a model's name."""
_JUDGED = frozenset({
    "model", "messages", "prompt", "input", "stream", "n", "best_of", "max_tokens", "max_completion_tokens",
    "max_output_tokens",
})  # fmt: skip
"""Fields by which skyproxy decides who is asked, and what that may cost."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read(data: bytes) -> dict[str, Any]:
    """The JSON object that *data* is; an integer beyond 64 bits is read as the nearest float.

    :raise InvalidRequest: it is none.
    """
    try:
        value = orjson.loads(data)
    except ValueError as error:
        raise InvalidRequest(f"The body is not valid JSON: {_not_text(data) or error}.") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return value


def _not_text(data: bytes) -> str:
    """Why *data* is not even text as JSON has it; empty: it is."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        what = "UTF-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "another encoding"
        return f"byte {error.start + 1} is none of UTF-8, but of {what}"
    return ""


def read_marked(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON object that *data* is, and *data* without a byte order mark: some clients leave one there, and few
    servers can read it (RFC 8259, section 8.1, leaves that to the reader).

    :raise InvalidRequest: it is none.
    """
    plain = data.removeprefix(_BYTE_ORDER_MARK)
    return read(plain), plain


def encode(value: Any) -> bytes:
    """*value* as JSON.

    :raise InvalidRequest: it has too many levels (orjson reads 1,024 of them, but writes 254).
    """
    try:
        # A copy: orjson's own takes up all the memory in which it was written, eight times as much.
        return bytes(memoryview(orjson.dumps(value)))
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"The body cannot be passed on as JSON: {error}.") from None


def encode_small(value: Any) -> bytes:
    """*value*, which is a field or two, as JSON.

    :raise InvalidRequest: as for :func:`encode`.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"The body cannot be passed on as JSON: {error}.") from None


def size_when_read(data: bytes) -> int:
    """About how many bytes the objects take that :func:`read` makes of *data*, beside the texts in it. Those of the
    smallest values take more than twenty times as much as their JSON.
    """
    strings = (data.count(b'"') - data.count(b'\\"')) // 2
    commas, objects = data.count(b","), data.count(b"{")
    outer = objects + data.count(b"[")
    numbers = max(0, commas - strings - outer)
    filled = objects - data.count(b"{}")
    return 8 * commas + 72 * outer + 120 * filled + 50 * strings + 28 * numbers


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


def check_names(fields: dict[str, Any]) -> None:
    """Refuse a request with a field that is called as one that is judged here, but for the case of its letters: servers
    in Go take one for the other, and would be asked for what nobody has judged.

    :raise InvalidRequest: it has one.
    """
    for name in fields:
        if name not in _JUDGED and name.casefold() in _JUDGED:
            meant = name.casefold()
            raise InvalidRequest(f"A field is called as `{meant}` but for the case of its letters: write `{meant}`.")


def is_exact(value: Any) -> bool:
    """Whether *value* is what was written: no integer beyond 64 bits was read as the nearest float."""
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
                return False
    return True
