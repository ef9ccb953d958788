"""Forms with files (multipart/form-data, RFC 7578): passed on as they are, but for the `model` field."""

from __future__ import annotations

import re
from email.message import Message

from skyproxy.errors import InvalidRequest
from skyproxy.formats.json_body import checked_name

_MODEL_FIELD = re.compile(rb'^content-disposition:[^\r\n]*;\s*name="?model"?\s*(;|$)', re.IGNORECASE | re.MULTILINE)


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
    found: list[tuple[int, int]] = []
    start = first + len(delimiter)
    while not body.startswith(b"--", start):
        end = body.find(delimiter, start)
        head_end = body.find(b"\r\n\r\n", start, end)
        if end < 0 or head_end < 0:
            raise InvalidRequest("The multipart form in the body is cut or malformed.")
        if _MODEL_FIELD.search(body[start:head_end].replace(b"\r\n", b"\n")):
            found.append((head_end + 4, end))
        start = end + len(delimiter)
    if len(found) != 1:
        raise InvalidRequest("The form must have one field `model`.", param="model")
    return found[0]


def _boundary(content_type: bytes) -> bytes:
    message = Message()
    try:
        message["Content-Type"] = content_type.decode("ascii")
    except ValueError:
        raise InvalidRequest("The Content-Type is not ASCII.") from None
    boundary = message.get_param("boundary")
    if message.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise InvalidRequest("This request takes a form: Content-Type: multipart/form-data with a boundary.")
    return boundary.encode("ascii")
