"""Status lines and header fields of answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from http import HTTPStatus

from twisted.web.http import NO_BODY_CODES, RESPONSES, datetimeToString

from skyproxy.http.common.headers import Field

# Those of RFC 6585 and later too, which twisted.web does not name.
_PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}

_CR_LF_NUL_TO_SPACE = bytes.maketrans(b"\r\n\0", b"   ")


def has_body(method: bytes, code: int) -> bool:
    """Whether an answer has a body at all, even an empty one (RFC 9110 section 6.4.1)."""
    return code not in NO_BODY_CODES and code >= 200 and method != b"HEAD"


@lru_cache(1000)
def _status_line(version: bytes, code: int) -> bytes:
    phrase = RESPONSES.get(code) or _PHRASES.get(code, b"Unknown Status")
    return b"%b %d %b\r\n" % (version, code, phrase)


def head_lines(version: bytes, code: int, reason: bytes | None, fields: Sequence[Field]) -> bytes:
    """The status line and *fields*, each with its CRLF.

    CR, LF and NUL in a value or in *reason* become spaces (RFC 9110 section 5.5), as twisted.web has it.

    :raise ValueError: one of them is in a name.
    """
    head = _status_line(version, code) if reason is None else b"%b %d %b\r\n" % (version, code, reason)
    for field in fields:
        head += b"%b: %b\r\n" % field
    # Nothing but the end of each line may be one.
    if len(head) - len(head.translate(None, b"\r\n\0")) == 2 * (1 + len(fields)):
        return head
    return head_lines(version, code, reason and _one_line(reason), [_clean(name, value) for name, value in fields])


def _clean(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    if _one_line(name) != name:
        raise ValueError("A header's name contains CR, LF or NUL.")
    return name, _one_line(value)


def _one_line(text: bytes) -> bytes:
    return text.translate(_CR_LF_NUL_TO_SPACE)


class Stamp:
    """The Server and Date fields, made once a second.

    :param now: the time, seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._second = -1
        self._lines = b""

    def lines(self) -> bytes:
        """Both fields, each with its CRLF."""
        second = int(self._now())
        if second != self._second:
            self._second = second
            self._lines = b"Server: skyproxy\r\nDate: %b\r\n" % datetimeToString(second)
        return self._lines
