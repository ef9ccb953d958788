"""What a browser's page, and a game's hotkey, may have done where skyproxy serves."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from pydantic import SecretStr
from twisted.internet.defer import Deferred

from skyproxy.config.profiles import TOKEN_VARIABLE
from skyproxy.formats.json_body import encode
from skyproxy.pipeline.client import Client
from skyproxy.web.actions import Act, Operations, object_in, reload_shape
from skyproxy.web.door import Door
from skyproxy.web.request import query_of
from skyproxy.web.session import NotAllowed, check_same_origin

_JSON = (b"Content-Type", b"application/json")
_NO_STORE = (b"Cache-Control", b"no-store")
_BEARER = b"bearer "


class Acting:
    """Sees to it that none but these have anything done.

    :param door: has admitted the requests that come here.
    :param reload: reads the configuration again; told who wants it.
    :param token: of hotkeys, which can switch profiles and nothing else; None: there is none.
    """

    def __init__(
        self,
        operations: Operations,
        door: Door,
        reload: Callable[[str], Deferred[Any]],
        token: Callable[[], SecretStr | None],
    ) -> None:
        self._operations = operations
        self._door = door
        self._reload = reload
        self._token = token

    def begin(self, request: Any, client: Client) -> None:
        """Answer ``GET /api/session``."""
        told, cookie = self._door.sessions.begin(request)
        client.answer(200, [_JSON, _NO_STORE, (b"Set-Cookie", cookie)], encode(told))

    def changes(self) -> dict[str, Any]:
        """What ``GET /api/changes`` answers."""
        return self._operations.changes()

    def is_hotkey(self, request: Any) -> bool:
        """Whether *request*, a POST, is that of a hotkey, and not of a page or a program."""
        given = _token_of(request) if request.path.startswith(b"/api/profile/") else None
        return given is not None and not self._door.is_admin_key(given)

    def act(self, request: Any, client: Client, act: Act, name: str) -> None:
        """Have *act* done for a page, or a program that has the admin key.

        :raise NotAllowed: neither asks.
        """
        self._door.check_acting(request)
        told = act(self._operations, object_in(request), self._door.who(request, "page"), name)
        client.answer(200, [_JSON, _NO_STORE], encode(told))

    def hotkey(self, request: Any, client: Client, name: str) -> None:
        """Switch to the profile *name*, for who brings the token.

        :raise NotAllowed: it is missing, or wrong.
        """
        check_same_origin(request)
        token = self._token()
        if token is None:
            raise NotAllowed(f"Hotkeys cannot switch profiles here: {TOKEN_VARIABLE} holds nothing.")
        if not hmac.compare_digest(_token_of(request) or b"", token.get_secret_value().encode("ascii")):
            raise NotAllowed(f"The token is missing, or wrong: it is what {TOKEN_VARIABLE} holds.")
        told = self._operations.profile(name, self._door.who(request, "hotkey"))
        brief = {key: told[key] for key in ("v", "id", "text")}
        client.answer(200, [_JSON, _NO_STORE], encode(brief))

    def reload(self, request: Any, client: Client) -> Deferred[None]:
        """Read the configuration again, for a page.

        :raise NotAllowed: something else asks.
        """
        self._door.check_acting(request)

        def over(outcome: Any) -> None:
            status, told = reload_shape(outcome)
            client.answer(status, [_JSON, _NO_STORE], encode(told))

        return self._reload(self._door.who(request, "page")).addCallback(over)


def _token_of(request: Any) -> bytes | None:
    given: bytes = request.header(b"authorization") or b""
    if given.lower().startswith(_BEARER):
        return given[len(_BEARER) :].strip()
    values = parse_qs(query_of(request).decode("latin-1")).get("token")
    return None if values is None else values[-1].encode("latin-1", "replace")
