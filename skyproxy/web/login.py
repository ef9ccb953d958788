"""The paths by which people type the admin key on the page, and leave again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred

from skyproxy.access.keys import digest
from skyproxy.access.refusals import InvalidApiKey
from skyproxy.errors import InvalidRequest, SkyproxyError
from skyproxy.formats.json_body import encode
from skyproxy.http.common.headers import Fields
from skyproxy.web.actions import object_in
from skyproxy.web.client import HttpClient
from skyproxy.web.door import Door, address_of
from skyproxy.web.request import ApiRequest
from skyproxy.web.session import check_same_origin

Served = Callable[[Any, ApiRequest, Callable[[HttpClient], None]], Deferred[None]]
"""Has a request served by an instance of the class of the app."""

_HEAD = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))


def add_login(app: Klein, served: Served, door: Callable[[Any], Door]) -> None:
    """Have *app* serve ``POST /api/login`` and ``POST /api/logout`` by the door of an instance of its class."""

    @app.route("/api/login", methods=["POST"])
    def login(self: Any, request: ApiRequest) -> Deferred[None]:
        return served(self, request, lambda client: _answer(client, *_login(door(self), request)))

    @app.route("/api/logout", methods=["POST"])
    def logout(self: Any, request: ApiRequest) -> Deferred[None]:
        return served(self, request, lambda client: _answer(client, *_logout(door(self), request)))


def _answer(client: HttpClient, told: dict[str, Any], cookie: bytes) -> None:
    headers: Fields = (*_HEAD, (b"Set-Cookie", cookie))
    client.answer(200, headers, encode(told))


def _login(door: Door, request: ApiRequest) -> tuple[dict[str, Any], bytes]:
    """Let a browser in whose user has typed the admin key.

    :raise OriginNotAllowed: a page of another origin asks.
    :raise InvalidApiKey: it is not the admin key.
    """
    check_same_origin(request)
    key = object_in(request).get("key")
    if not isinstance(key, str) or not key.isascii():
        raise InvalidRequest("`key` must be the admin key.", param="key")
    given = key.strip().encode("ascii")
    if not door.is_admin_key(given):
        error: SkyproxyError = door.access.refusal(given)
        if door.access.holder(given) is not None:
            error = InvalidApiKey("This key opens other things: here the admin key is wanted.", "not the admin key")
        door.refused(request, error)
        raise error
    cookie = door.logins.begin(request, digest(given))
    door.audit.acted(
        "Somebody has logged in on the page.", f"admin key {digest(given).hex()[:8]} at {address_of(request)}"
    )
    return {"v": 1, "admin": True}, cookie


def _logout(door: Door, request: ApiRequest) -> tuple[dict[str, Any], bytes]:
    check_same_origin(request)
    return {"v": 1, "admin": False}, door.logins.end(request)
