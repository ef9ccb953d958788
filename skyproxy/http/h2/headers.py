"""Requests and responses as the header lists of HTTP/2 (RFC 9113, 8)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from hpack import HeaderTuple, NeverIndexedHeaderTuple

from skyproxy.http.common.headers import Field, Fields
from skyproxy.http.common.lazy_headers import RequestHeaders
from skyproxy.http.h2.errors import MalformedMessage

MAX_FIELDS = 200
"""Header fields that a response may have. Their total size is bounded by SETTINGS_MAX_HEADER_LIST_SIZE."""

_is_method = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z").match
_is_name = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+\Z").match
_is_path = re.compile(rb"/[\x21-\x7e]*\Z|\*\Z").match
_is_authority = re.compile(rb"[^\x00-\x20@/?#\x7f-\xff]+\Z").match
_is_status = re.compile(rb"[1-5][0-9][0-9]\Z").match
_is_length = re.compile(rb"[0-9]{1,18}\Z").match
_has_break = re.compile(rb"[\x00\r\n]").search
# RFC 9110, 5.5, of which RFC 9113 demands the above only.
_has_control = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search

# RFC 9113, 8.2.2; RFC 9110, 7.6.1. TE could stay with the value "trailers", but trailers are not used here.
_CONNECTION_SPECIFIC = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
# Said in HTTP/2's own way: as :authority, and from the body that is really sent.
_DROPPED = _CONNECTION_SPECIFIC | {b"host", b"content-length"}
# RFC 7541, 7.1.3: kept out of the compression table, so that no length of a later request betrays them. The header
# that carries a provider's key has the name that the configuration gives it.
_is_secret = re.compile(rb"auth|cookie|key|secret|token").search
_CR_LF_NUL_TO_SPACE = bytes.maketrans(b"\r\n\0", b"   ")
_ANTICIPATES_BODY = frozenset({b"POST", b"PUT", b"PATCH"})
_WITHOUT_BODY = frozenset({204, 304})
_OF_REQUESTS = frozenset({b":method", b":scheme", b":authority", b":path"})
_NEEDED = frozenset({b":method", b":scheme", b":path"})
_SAID_ONCE = frozenset({b"host", b"content-length"})


def request_fields(method: bytes, path: bytes, fields: Fields, scheme: bytes, length: int | None) -> list[HeaderTuple]:
    """The header list of a request.

    :param path: in origin form, with its query.
    :param length: bytes of the body, None if there is none.
    :raise ValueError: something in it could be read as something else: CR, LF or NUL, a method or name that is no
        token, an absolute URI, not exactly one ``Host``.
    """
    if not _is_method(method) or method == b"CONNECT":
        raise ValueError("This method cannot be sent.")
    if not _is_path(path):
        raise ValueError("The path is not in origin form, or contains a character that it cannot.")
    lowered = [(name.lower(), value) for name, value in fields]
    hosts = [value for name, value in lowered if name == b"host"]
    if len(hosts) != 1 or not _is_authority(hosts[0]):
        raise ValueError("Exactly one valid Host header is needed.")
    sent = [
        HeaderTuple(b":method", method),
        HeaderTuple(b":scheme", scheme),
        HeaderTuple(b":authority", hosts[0]),
        HeaderTuple(b":path", path),
    ]
    dropped = _DROPPED | _named_by_connection(lowered)
    for name, value in lowered:
        if name in dropped:
            continue
        if not _is_name(name):
            raise ValueError("A header name is no token.")
        if _has_break(value):
            raise ValueError("A header value contains CR, LF or NUL.")
        kind = NeverIndexedHeaderTuple if _is_secret(name) else HeaderTuple
        sent.append(kind(name, value.strip(b" \t")))
    if length is None and method in _ANTICIPATES_BODY:
        length = 0
    if length is not None:
        sent.append(HeaderTuple(b"content-length", b"%d" % length))
    return sent


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A received request's header list.

    :ivar length: bytes of the body; None if that is not known.
    :ivar said: the same, as Content-Length says.
    :ivar expects_continue: the client waits for an interim response 100 before it sends the body.
    """

    method: bytes
    path: bytes
    headers: RequestHeaders
    length: int | None
    said: int | None
    expects_continue: bool


def checked_request(received: Iterable[Field]) -> list[Field]:
    """A received header list. Blanks around values, which HTTP/1.1 allows, are taken away.

    :raise MalformedMessage: RFC 9113, 8.1.1 to 8.3.1, or a control character.
    """
    fields = [(name, value.strip(b" \t")) for name, value in received]
    seen: dict[bytes, bytes] = {}
    pseudo = True
    for name, value in fields:
        if name in _OF_REQUESTS:
            if name in seen or not pseudo:
                raise MalformedMessage("The request has a pseudo-header field twice, or behind a header field.")
        else:
            pseudo = False
            if not _is_name(name) or (name in _CONNECTION_SPECIFIC and (name, value.lower()) != (b"te", b"trailers")):
                raise MalformedMessage("The request has a header field that HTTP/2 does not allow.")
        if _has_control(value):
            raise MalformedMessage("The request has a control character in a header field.")
        if seen.setdefault(name, value) != value and name in _SAID_ONCE:
            raise MalformedMessage("The request has a header field twice that may be there once only.")
    if not seen.keys() >= _NEEDED and seen.get(b":method") != b"CONNECT":
        raise MalformedMessage("The request lacks :method, :scheme or :path.")
    if len({seen[name] for name in (b":authority", b"host") if name in seen}) != 1:
        raise MalformedMessage("The request has neither :authority nor Host, or two that differ.")
    if not _is_length(seen.get(b"content-length", b"0")):
        raise MalformedMessage("The Content-Length is not a number.")
    return fields


def request_head(received: Fields) -> RequestHead:
    """What a received header list means, which is in order. ``:authority`` is Host to a server."""
    pseudo: dict[bytes, bytes] = {}
    fields: list[Field] = []
    for name, value in received:
        if not name.startswith(b":"):
            fields.append((name, value))
        elif name == b":authority":
            fields.append((b"host", value))
        else:
            pseudo[name] = value
    last = dict(fields)
    given = last.pop(b"content-length", None)
    said = None if given is None else int(given)
    method = pseudo.get(b":method", b"")
    length = 0 if said is None and method in (b"GET", b"HEAD") else said
    expects_continue = last.get(b"expect", b"").lower() == b"100-continue"
    return RequestHead(method, pseudo.get(b":path", b""), RequestHeaders(fields, last), length, said, expects_continue)


def response_fields(status: bytes, fields: Iterable[Field]) -> list[Field]:
    """The header list of an answer. CR, LF and NUL in a value become spaces (RFC 9110, 5.5)."""
    sent = [(b":status", status)]
    for name, value in fields:
        lowered = name.lower()
        if lowered not in _CONNECTION_SPECIFIC:
            sent.append((lowered, value.translate(_CR_LF_NUL_TO_SPACE).strip(b" \t")))
    return sent


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A response's header list, checked.

    :ivar length: bytes that the body must have, None if any number will do.
    """

    code: int
    fields: Fields
    length: int | None


def response_head(received: Iterable[tuple[bytes, bytes]], method: bytes) -> ResponseHead:
    """Check a received header list.

    :param method: of the request; the answer to HEAD has no body.
    :raise MalformedMessage: RFC 9113, 8.1.1 to 8.3.2; or more than :data:`MAX_FIELDS` fields.
    """
    fields = [(name, value) for name, value in received]
    if not fields or fields[0][0] != b":status" or not _is_status(fields[0][1]):
        raise MalformedMessage("The response has no valid status.")
    code = int(fields.pop(0)[1])
    if len(fields) > MAX_FIELDS:
        raise MalformedMessage("The response has too many header fields.")
    lengths = set()
    for name, value in fields:
        if not _is_name(name) or name in _CONNECTION_SPECIFIC or _has_break(value):
            raise MalformedMessage("The response has a header field that HTTP/2 does not allow.")
        if name == b"content-length":
            lengths.add(value)
    if len(lengths) > 1 or not all(map(_is_length, lengths)):
        raise MalformedMessage("The response has no valid Content-Length.")
    # Those that HTTP/1.1 does not have would keep its clients from taking any of the answer.
    fields = [field for field in fields if not _has_control(field[1])]
    if method == b"HEAD" or code in _WITHOUT_BODY:
        return ResponseHead(code, fields, 0)
    return ResponseHead(code, fields, int(lengths.pop()) if lengths else None)


def _named_by_connection(fields: Fields) -> frozenset[bytes]:
    values = [value for name, value in fields if name == b"connection"]
    return frozenset(name.strip().lower() for value in values for name in value.split(b","))
