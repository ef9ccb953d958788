"""Which requests of a browser may do something here: those of the page that skyproxy itself serves.

A page proves that it is that page by two things together: a cookie, which its browser keeps for this port of this host,
and a header whose value only who can read the answer of ``GET /api/session`` knows, as pages of other origins cannot.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from skyproxy.errors import OriginNotAllowed, SkyproxyError
from skyproxy.web.host import own_origins

CSRF = b"x-skyproxy-csrf"

_SAME = frozenset({b"same-origin", b"none"})
"""Of Sec-Fetch-Site: the page itself, or somebody who has typed the address."""


class NotAllowed(SkyproxyError):
    """The request does not come from whom it may come from."""

    status = 403
    type = "invalid_request_error"
    code = "not_allowed"


class Sessions:
    """Gives pages what they have to bring, and looks whether they bring it. Nothing is kept for each. Who may have a
    page at all is for :mod:`skyproxy.web.door` to say.

    :param key: of this process; None: a new one.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def begin(self, request: Any) -> tuple[dict[str, Any], bytes]:
        """What ``GET /api/session`` answers, and its Set-Cookie.

        :raise OriginNotAllowed: a page of another origin asks.
        """
        check_same_origin(request)
        value = cookie_value(request, cookie_name(request)) or secrets.token_urlsafe(24).encode("ascii")
        name = cookie_name(request)
        secure = b"; Secure" if request.isSecure() else b""
        cookie = b"%b=%b; Path=/; HttpOnly; SameSite=Strict%b" % (name, value, secure)
        csrf = self._csrf(value)
        return {"v": 1, "csrf": csrf, "header": "X-Skyproxy-Csrf", "cookie": name.decode("ascii")}, cookie

    def check(self, request: Any) -> None:
        """See that *request* comes from the page.

        :raise OriginNotAllowed: a page of another origin asks.
        :raise NotAllowed: it does not bring what the page brings.
        """
        check_same_origin(request)
        value, given = cookie_value(request, cookie_name(request)), request.header(CSRF) or b""
        if value is None:
            raise NotAllowed("The cookie is missing: ask for GET /api/session first. Programs use the admin socket.")
        if not hmac.compare_digest(given, self._csrf(value).encode("ascii")):
            raise NotAllowed("The header X-Skyproxy-Csrf is missing or old: GET /api/session tells its value.")

    def _csrf(self, cookie: bytes) -> str:
        return hmac.new(self._key, cookie, "sha256").hexdigest()


def cookie_name(request: Any) -> bytes:
    """Browsers send a cookie to every port of its host, so that the port is in its name."""
    port = getattr(request.getHost(), "port", None)
    return b"skyproxy_%d" % port if port else b"skyproxy"


def cookie_value(request: Any, name: bytes) -> bytes | None:
    """The value of the cookie *name*, of those that are made here; None: *request* has none."""
    for line in request.requestHeaders.getRawHeaders(b"cookie", ()):
        for each in line.split(b";"):
            key, _, value = each.strip().partition(b"=")
            if key == name and 16 <= len(value) <= 64 and value.replace(b"-", b"").replace(b"_", b"").isalnum():
                return bytes(value)
    return None


def check_same_origin(request: Any) -> None:
    """See that no page of another origin asks, not even one of another port of this machine. Programs may.

    :raise OriginNotAllowed: one does.
    """
    site = request.header(b"sec-fetch-site")
    if site is not None and site.lower() not in _SAME:
        raise OriginNotAllowed("Only skyproxy's own page, and programs, may ask for that.")
    origins = request.requestHeaders.getRawHeaders(b"origin", ())
    if len(origins) > 1 or any(each.lower() not in own_origins(request) for each in origins):
        raise OriginNotAllowed("Only skyproxy's own page, and programs, may ask for that.")
