"""The bodies of error answers: read, whatever they are, and written in OpenAI's shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from http import HTTPStatus
from itertools import islice
from typing import Any

import orjson

from skyproxy.config.masking import Masker, masker
from skyproxy.formats.openai.bodies import read_leniently, write_as_read
from skyproxy.formats.sse import read_event, split_events
from skyproxy.util.durations import parse_duration

__all__ = ["ErrorBody", "Masker", "error_of_object", "masked", "masker", "read_error", "shaped"]

_LONGEST_READ = 256 * 1024
"""Bytes of a body that are looked at."""
_LONGEST_MESSAGE = 500
"""Characters of a text that becomes a message."""
_LONGEST_HTML = 16 * 1024
_LEVELS = 64
"""Of a body that is masked value by value."""

_HTML = re.compile(r"\s*(?:<!doctype\b|<html\b|<head\b|<body\b|<h1\b|<center\b)", re.IGNORECASE)
_TITLE = re.compile(r"<title\b[^>]{0,200}>([^<]{1,500})", re.IGNORECASE)
# What is never closed hides the rest, as in browsers: otherwise each of many would be followed to the end.
_UNSEEN = re.compile(r"<(script|style|title)\b[^>]{0,1000}>.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.I | re.S)
_TAG = re.compile(r"<[^<>]{0,2000}>")

_WORDS = frozenset({"message", "msg", "error", "raw", "faultstring"})
"""Names of texts that say what is wrong."""

_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What the body of an error answer says.

    :ivar message: in the provider's words, whole, as Unicode; empty if it has none.
    :ivar status: Google's, such as ``INVALID_ARGUMENT``.
    :ivar reasons: from the error's details, and its inner errors; and what a field such as OpenRouter's ``error_type``
        calls it, with that field's name and a dot before.
    :ivar retry_delay: seconds, from Google's RetryInfo.
    :ivar headers: those that OpenRouter repeats in the body, or puts there alone.
    :ivar value: the error's object as it came; None if there is none.
    """

    message: str
    type: str | None = None
    code: str | int | None = None
    param: str | None = None
    status: str | None = None
    reasons: tuple[str, ...] = ()
    retry_delay: float | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    value: dict[str, Any] | None = None

    @property
    def of_gateway(self) -> bool:
        """Whether it is told by what stands before the provider (Cloudflare), in JSON of its own."""
        return self.value is not None and self.value.get("cloudflare_error") is True


def read_error(data: bytes, content_type: bytes) -> ErrorBody:
    """What *data*, the body of an error answer that is not compressed, says. It may be anything.

    :param content_type: the answer's.
    """
    body = _json(data)
    if body is _NONE:
        return ErrorBody(_text_of(data, content_type))
    outer = _object_of(body)
    if outer is None:
        return ErrorBody(body if isinstance(body, str) else _told_in(body))
    return error_of_object(outer)


def shaped(data: bytes, content_type: bytes, status: int, mask: Callable[[str], str]) -> bytes:
    """*data*, as for :func:`read_error`, as an object in OpenAI's shape: ``{"error": {"message": …}}``.

    What has that shape stays as it is, byte for byte, unless it is only near to JSON, or holds what *mask* takes out.
    Of anything else the text becomes the message, its first 500 characters; the body's own fields stay.

    :param status: that of the answer.
    :param mask: takes out what no client may see.
    """
    body = _json(data)
    outer = None if body is _NONE else _object_of(body)
    inner = None if outer is None else outer.get("error")
    told = isinstance(inner, dict) and isinstance(inner.get("message"), str) and inner["message"] != ""
    if told and data.lstrip()[:1] == b"{":
        text = data.decode("utf-8", "surrogateescape")
        strict = _is_json(data)
        if strict and b"\\u" not in data and mask(text) == text:
            return data
        rewritten = masked(body, mask)
        if rewritten is not None:
            # Equal values: nothing was masked, not even in a name that stands there twice.
            return data if strict and mask(text) == text and orjson.loads(rewritten) == body else rewritten
    error = read_error(data, content_type)
    if outer is not None:
        own = inner if isinstance(inner, dict) else {}
        given = {**_standard(error, status), **own, "message": _message(mask(error.message), status)}
        if (written := masked({**outer, "error": given}, mask)) is not None:
            return written
    given = {key: each[:_LONGEST_MESSAGE] if isinstance(each, str) else each for key, each in
             {**_standard(error, status), "message": _message(mask(error.message), status)}.items()}  # fmt: skip
    return masked({"error": given}, mask) or b'{"error":{"message":"The provider answered with an error."}}'


def _standard(error: ErrorBody, status: int) -> dict[str, Any]:
    known = _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    code = error.code if isinstance(error.code, str) or (error.code is not None and abs(error.code) < 2**53) else None
    return {"message": "", "type": error.type or known, "param": error.param, "code": code}


def _message(message: str, status: int) -> str:
    text = message[:_LONGEST_MESSAGE].strip()
    return text or f"The provider answered {_named(status)}, and did not say why."


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


_NONE = object()


def _json(data: bytes) -> Any:
    if not data or len(data) > _LONGEST_READ:
        return _NONE
    text = data.removeprefix(b"\xef\xbb\xbf").strip()
    if text.startswith((b"data:", b"event:", b":", b"id:", b"retry:")):
        # An event stream that begins with the error, and is over.
        text = next(filter(None, (read_event(event).data for event in split_events(text + b"\n\n")[:8])), b"")
    try:
        return orjson.loads(text)
    except ValueError:
        value = read_leniently(text)
        return value if isinstance(value, dict) else _NONE


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except ValueError:
        return False
    return True


def _object_of(body: Any) -> dict[str, Any] | None:
    """The object that tells of the error: *body*, or the first that Google lists."""
    if isinstance(body, list):
        body = next((each for each in body[:8] if isinstance(each, dict)), None)
    return body if isinstance(body, dict) else None


def error_of_object(outer: dict[str, Any]) -> ErrorBody:
    """What *outer* says: an error object, or one that holds it as its ``error``."""
    given = outer.get("error")
    inner = given if isinstance(given, dict) else outer
    details = inner.get("details")
    listed = [each for each in details[:32] if isinstance(each, dict)] if isinstance(details, list) else []
    code = inner.get("code")
    return ErrorBody(
        # Half a surrogate pair cannot be written down by whoever tells of the error.
        message=_message_of(outer, inner).encode("utf-8", "replace").decode(),
        type=_string(inner.get("type")),
        code=code if isinstance(code, str) or (isinstance(code, int) and not isinstance(code, bool)) else None,
        param=_string(inner.get("param")),
        status=_string(inner.get("status")),
        reasons=tuple(_reasons(outer, inner, listed)),
        retry_delay=max((delay for each in listed if (delay := _delay(each)) is not None), default=None),
        headers=tuple(_headers(inner)),
        value=inner,
    )


def _message_of(outer: dict[str, Any], inner: dict[str, Any]) -> str:
    for value in (inner.get("message"), outer.get("error"), outer.get("message"), outer.get("detail"), inner.get("msg"),
                  outer.get("errors"), inner.get("error_msg"), inner.get("reason"),
                  _string(inner.get("details")), inner.get("metadata"), _string(inner.get("title"))):  # fmt: skip
        if isinstance(value, str) and value.strip():
            return value
        if value is not inner and (text := _told_in(value)):
            return text
    return _told_in(outer)


def _told_in(value: Any, levels: int = 4) -> str:
    """What *value* says of an error, wherever the words are: Mistral's ``message`` has them in a ``detail``."""
    inner: Iterator[Any] = iter(())
    if isinstance(value, dict):
        if text := _told_by(value):
            return text
        inner = (each for each in islice(value.values(), 16) if isinstance(each, dict | list))
    elif isinstance(value, list):
        texts = (each if isinstance(each, str) else _told_by(each) for each in value[:8])
        if text := "; ".join(filter(None, texts)):
            return text
        inner = iter(value[:8])
    return next((text for each in inner if levels and (text := _told_in(each, levels - 1))), "")


def _told_by(detail: Any) -> str:
    """What one entry of a list of errors says (FastAPI's ``detail``, say)."""
    if not isinstance(detail, dict):
        return ""
    text = next(
        (each for name, each in detail.items() if name.lower() in _WORDS and each and isinstance(each, str)), ""
    )
    place = detail.get("loc")
    if text and isinstance(place, list):
        where = ".".join(str(each) for each in place[:16] if isinstance(each, str | int) and each != "body")
        return f"{where[:200]}: {text}" if where else text
    return text


def _reasons(outer: dict[str, Any], inner: dict[str, Any], details: list[dict[str, Any]]) -> Iterator[str]:
    for each in (outer, inner, inner.get("metadata")):
        if isinstance(each, dict) and isinstance(kind := each.get("error_type"), str):
            yield f"error_type.{kind}"
    metadata = inner.get("metadata")
    if isinstance(metadata, dict):
        for name in ("limit_source", "reason"):
            if isinstance(said := metadata.get(name), str):
                yield f"{name}.{said}"
    for each in details:
        if isinstance(each.get("reason"), str):
            yield each["reason"]
    deeper: Any = inner
    for _ in range(4):
        deeper = deeper.get("innererror") if isinstance(deeper, dict) else None
        if isinstance(deeper, dict) and isinstance(deeper.get("code"), str):
            yield deeper["code"]


def _delay(detail: dict[str, Any]) -> float | None:
    value = detail.get("retryDelay")
    return parse_duration(value, ("s",)) if isinstance(value, str) else None


def _headers(inner: dict[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    metadata = inner.get("metadata")
    given = metadata.get("headers") if isinstance(metadata, dict) else None
    for name, value in islice(given.items(), 32) if isinstance(given, dict) else ():
        if isinstance(value, str | int):
            yield name[:200].encode("latin-1", "replace"), str(value)[:200].encode("latin-1", "replace")


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _text_of(data: bytes, content_type: bytes) -> str:
    text = data[:_LONGEST_HTML].decode("utf-8", "replace")
    if b"html" in content_type.lower() or _HTML.match(text):
        title = _TITLE.search(text)
        text = _TAG.sub(" ", _UNSEEN.sub(" ", text))
        if title is not None and title.group(1).strip() not in text:
            text = f"{title.group(1)} {text}"
        text = unescape(text)
    return " ".join(text.replace("\0", " ").split())


def masked(value: Any, mask: Callable[[str], str]) -> bytes | None:
    """*value* as JSON, each of its strings without what *mask* takes out; None if it has too many levels."""
    try:
        value = _masked(value, mask, _LEVELS)
    except ValueError:
        return None
    return write_as_read(value)


def _masked(value: Any, mask: Callable[[str], str], levels: int) -> Any:
    if isinstance(value, str):
        return mask(value)
    if levels == 0:
        raise ValueError("too many levels")
    if isinstance(value, dict):
        return {mask(key): _masked(each, mask, levels - 1) for key, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, mask, levels - 1) for each in value]
    return value
