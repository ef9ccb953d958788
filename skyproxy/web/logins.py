"""Who has typed the admin key on the page: browsers, by a cookie that scripts cannot read.

The cookie is random, is sent to skyproxy's own origin alone, and opens nothing after some hours, or when the key that
was typed opens nothing any more. Only digests of cookies are kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from skyproxy.web.session import cookie_name, cookie_value

HOURS = 12

_MOST = 100
"""Logins that are kept; the oldest goes."""


class Logins:
    """Remembers them.

    :param now: the time in seconds, from any moment.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.kept: dict[bytes, tuple[bytes, float]] = {}
        """By the digest of the cookie: that of the key, and when it ends."""

    def begin(self, request: Any, key_digest: bytes) -> bytes:
        """Remember that *request* came with the admin key of *key_digest*.

        :return: its Set-Cookie.
        """
        value = secrets.token_urlsafe(32).encode("ascii")
        if len(self.kept) >= _MOST:
            del self.kept[next(iter(self.kept))]
        self.kept[sha256(value).digest()] = key_digest, self._now() + HOURS * 3600
        return _cookie(request, value, HOURS * 3600)

    def end(self, request: Any) -> bytes:
        """Forget it. Gives its Set-Cookie."""
        value = cookie_value(request, _name(request))
        if value is not None:
            self.kept.pop(sha256(value).digest(), None)
        return _cookie(request, b"", 0)

    def of(self, request: Any) -> bytes | None:
        """The digest of the key that was typed; None: none was, or it was too long ago."""
        if not self.kept:
            return None
        value = cookie_value(request, _name(request))
        if value is None:
            return None
        found = self.kept.get(sha256(value).digest())
        return None if found is None or found[1] <= self._now() else found[0]


def _name(request: Any) -> bytes:
    return cookie_name(request) + b"_admin"


def _cookie(request: Any, value: bytes, seconds: int) -> bytes:
    secure = b"; Secure" if request.isSecure() else b""
    return b"%b=%b; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict%b" % (_name(request), value, seconds, secure)
