"""The head of a request: what is refused of it, beyond what llhttp refuses, and what the rest means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from httptools import HttpParserError

from skyproxy.http.common.headers import Fields

LONGEST_REQUEST_LINE = 8192
"""Bytes. RFC 9112 section 3 recommends to take 8,000 at least."""

BLANK_LINE = b"\r\n\r\n"

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"

# RFC 9112 section 3. No "#": a fragment is no part of a request target.
REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-\"$-~]+) HTTP/1\.([01])\r\n")

_OTHER_VERSION = re.compile(_TOKEN + rb" [!-~]+ HTTP/(?!1\.[01])[0-9]\.[0-9]\r\n")

# RFC 3986 section 3.2.2.
_HOST = re.compile(rb"(?:\[[0-9A-Fa-fv:.]+\]|[A-Za-z0-9\-._~%!$&'()*+,;=]*)(?::[0-9]*)?")

_ABSOLUTE_FORM = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE)

_ONLY_ONCE = frozenset({b"host", b"content-length", b"transfer-encoding"})


TLS_HELLO = b"\x16\x03"
"""How a client begins that speaks TLS (RFC 8446, section 5.1)."""


HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n"
"""How a client begins that speaks HTTP/2 (RFC 9113, section 3.4), as far as it is a line."""


class Refused(Exception):
    """A request that is not served. The connection has to be closed: where the next one begins is not known.

    :ivar status: of the answer.
    :ivar reason: for the person who reads the answer.
    :ivar of_setting: a setting of the client's, or of the server's, is wrong, of which its user sees nothing else.
    """

    def __init__(self, status: int, reason: str, *, of_setting: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.of_setting = of_setting


class Head(NamedTuple):
    """A request's head that is in order.

    :ivar target: path and query, or ``*``.
    :ivar version: ``HTTP/1.0`` or ``HTTP/1.1``.
    :ivar last: the last value of each field but Content-Length, by its name in lower case.
    :ivar persistent: whether the connection may stay open after the answer.
    :ivar expects_continue: the client waits for ``100 Continue`` before it sends the body.
    """

    method: bytes
    target: bytes
    version: bytes
    last: Mapping[bytes, bytes]
    persistent: bool
    expects_continue: bool


def bad_line(line: bytes | bytearray) -> Refused:
    """Why *line*, which does not match :data:`REQUEST_LINE`, is refused."""
    if line.startswith(TLS_HELLO):
        reason = "The client speaks TLS, and this port does not: its address begins with http://, not with https://."
        return Refused(400, reason, of_setting=True)
    if line == HTTP2_PREFACE:
        reason = "The client speaks HTTP/2 without TLS: here that is spoken over TLS only, and HTTP/1.1 without."
        return Refused(505, reason, of_setting=True)
    if len(line) > LONGEST_REQUEST_LINE:
        return Refused(414, f"The request line is over {LONGEST_REQUEST_LINE} bytes.")
    if _OTHER_VERSION.fullmatch(line):
        return Refused(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    return Refused(400, "The request line is not one of HTTP/1.1 or HTTP/1.0.")


def malformed(error: HttpParserError) -> Refused:
    """What llhttp refuses."""
    return Refused(400, f"Malformed request: {error}.")


def read_head(line: re.Match[bytes], fields: Fields) -> tuple[Head, int | None]:
    """What *fields*, as llhttp split them, say of the request.

    :param line: the match of :data:`REQUEST_LINE`.
    :return: the head, and the bytes of the body that follows; None if it comes chunked.
    :raise Refused: the head can be understood in more than one way, or in none.
    """
    method, target, minor = line.groups()
    modern = minor == b"1"
    last = {name.lower(): value for name, value in fields}
    seen = last if len(last) == len(fields) else _joined(fields)
    host = seen.get(b"host")
    if host is None:
        if modern:
            raise Refused(400, "No Host header (RFC 9112 section 3.2).")
    elif not _HOST.fullmatch(host):
        raise Refused(400, "The Host header is not a host (RFC 9112 section 3.2).")
    if target[0] != 47:
        target = _path(method, target, host)
    elif method == b"CONNECT":
        raise _no_tunnel()
    length = _length(seen, modern)
    last.pop(b"content-length", None)
    connection = seen.get(b"connection")
    head = Head(
        method,
        target,
        b"HTTP/1.1" if modern else b"HTTP/1.0",
        last,
        modern if connection is None else _persistent(connection, modern),
        modern and b"expect" in seen and seen[b"expect"].lower() == b"100-continue",
    )
    return head, length


def _joined(fields: Fields) -> dict[bytes, bytes]:
    """*fields* by their names in lower case, the values of one name joined.

    :raise Refused: one is there twice that may be there once only.
    """
    seen: dict[bytes, bytes] = {}
    for name, value in fields:
        key = name.lower()
        if key not in seen:
            seen[key] = value
        elif key in _ONLY_ONCE:
            raise Refused(400, f"More than one {key.decode()} header.")
        else:
            seen[key] += b"," + value
    return seen


def _path(method: bytes, target: bytes, host: bytes | None) -> bytes:
    """The path of a *target* that is not in origin-form (RFC 9112 section 3.2)."""
    if method == b"CONNECT":
        raise _no_tunnel()
    if target == b"*":
        if method == b"OPTIONS":
            return target
        raise Refused(400, "The request target * goes with OPTIONS only.")
    absolute = _ABSOLUTE_FORM.fullmatch(target)
    # Where the two disagree, whoever stood before this server may have acted on the other one.
    if absolute is None or host is None or absolute[1].lower() != host.lower():
        raise Refused(400, "The request target is neither a path nor a URL of the Host header's host.")
    path = absolute[2]
    return path if path.startswith(b"/") else b"/" + path


def _no_tunnel() -> Refused:
    return Refused(400, "CONNECT is not served: this is no forward proxy.")


def _length(seen: dict[bytes, bytes], modern: bool) -> int | None:
    """Bytes of the body, None for a chunked one (RFC 9112 section 6.3)."""
    coding = seen.get(b"transfer-encoding")
    length = seen.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise Refused(400, "Both Content-Length and Transfer-Encoding.")
        if coding.lower() != b"chunked" or not modern:
            raise Refused(400, "A Transfer-Encoding other than chunked, or with HTTP/1.0.")
        return None
    if length is None:
        return 0
    if not length.isdigit():
        raise Refused(400, "The Content-Length is not a number.")
    return int(length)


def _persistent(connection: bytes, modern: bool) -> bool:
    options = {option.strip() for option in connection.lower().split(b",")}
    if b"close" in options:
        return False
    return modern or b"keep-alive" in options
