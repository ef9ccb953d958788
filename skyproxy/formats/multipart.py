"""Forms with files (multipart/form-data, RFC 7578): passed on as they are, but for the `model` field."""

from __future__ import annotations

import re
from email.message import Message

from skyproxy.errors import InvalidRequest
from skyproxy.formats.json_body import checked_name

_MODEL_FIELD = re.compile(
    rb'^content-disposition:[^\r\n]*;\s*name\s*=\s*"?model"?\s*(;|$)', re.IGNORECASE | re.MULTILINE
)

# What servers do not agree on: lines that are folded or end in LF alone, names in RFC 2231's form, names with escapes.
_HEAD_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*")
_DISPUTED_NAME = re.compile(rb';\s*name\s*(\*|=\s*"[^"]*\\)', re.IGNORECASE)
_BOUNDARY = re.compile(rb";\s*boundary[^=;]*=", re.IGNORECASE)
_DISPUTED_IN_BOUNDARY = re.compile(r'["\\;]')

_LONGEST_TYPE = 1000
"""Bytes of a Content-Type."""


def find_model(body: bytes, content_type: bytes) -> str:
    """What the field `model` of the form *body* says.

    :raise InvalidRequest: it is no such form, or has no such field, or several.
    """
    start, end = _model_span(body, content_type)
    try:
        model = body[start:end].decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("The field `model` is not UTF-8.", param="model") from None
    return checked_name(model)


def replace_model(body: bytes, content_type: bytes, model: str) -> bytes:
    """The form *body* with *model* as its field `model`, and every other byte as it is.

    :raise InvalidRequest: as :func:`find_model`.
    """
    start, end = _model_span(body, content_type)
    return body[:start] + model.encode("utf-8") + body[end:]


def _model_span(body: bytes, content_type: bytes) -> tuple[int, int]:
    delimiter = b"\r\n--" + _boundary(content_type)
    # What comes before the first part means nothing (RFC 2046 section 5.1.1); some write an empty line there.
    first = -2 if body.startswith(delimiter[2:]) else body.find(delimiter)
    if first == -1:
        raise InvalidRequest("The body is not the multipart form that its Content-Type says.")
    if body.count(delimiter) != body.count(delimiter[1:]):
        raise _unsure()
    found: list[tuple[int, int]] = []
    start = first + len(delimiter)
    while not body.startswith(b"--", start):
        end = body.find(delimiter, start)
        head_end = body.find(b"\r\n\r\n", start, end)
        if end < 0 or head_end < 0:
            raise InvalidRequest("The multipart form in the body is cut or malformed.")
        rest, *lines = body[start:head_end].split(b"\r\n")
        if rest.strip(b" \t") or not all(map(_HEAD_LINE.fullmatch, lines)) or any(map(_DISPUTED_NAME.search, lines)):
            raise _unsure()
        if _MODEL_FIELD.search(b"\n".join(lines)):
            found.append((head_end + 4, end))
        start = end + len(delimiter)
    if len(found) != 1:
        raise InvalidRequest("The form must have one field `model`.", param="model")
    return found[0]


def _boundary(content_type: bytes) -> bytes:
    message = Message()
    if len(content_type) > _LONGEST_TYPE or len(_BOUNDARY.findall(content_type)) > 1:
        raise _unsure()
    try:
        message["Content-Type"] = content_type.decode("ascii")
    except ValueError:
        raise InvalidRequest("The Content-Type is not ASCII.") from None
    boundary = message.get_param("boundary")
    if message.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise InvalidRequest("This request takes a form: Content-Type: multipart/form-data with a boundary.")
    if _DISPUTED_IN_BOUNDARY.search(boundary):
        raise _unsure()
    return boundary.encode("ascii")


def _unsure() -> InvalidRequest:
    return InvalidRequest(
        "The multipart form can be understood in more than one way: write one boundary, lines that end in CRLF, heads "
        "that are not folded, and plain names."
    )
