"""The admin API: what the commands ask of a running process. It is served at the admin socket alone."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any, Protocol

from klein import Klein
from twisted.internet.defer import Deferred, succeed
from werkzeug.exceptions import HTTPException

from skyproxy.errors import SkyproxyError, Unavailable
from skyproxy.formats.json_body import encode
from skyproxy.web.accounts import Accounts, add_accounts
from skyproxy.web.observations import Observations
from skyproxy.web.request import query_of

TOKEN = b"X-Skyproxy-Token"


class Reloaded(Protocol):
    """How a reload went.

    :ivar problems: why the configuration was not taken; None: it was.
    :ivar changed: what is different.
    """

    @property
    def problems(self) -> str | None: ...

    @property
    def changed(self) -> dict[str, Any]: ...


class Actions(Protocol):
    """What can be asked."""

    stop: Callable[[], None]

    def status(self) -> dict[str, Any]: ...

    def reload(self) -> Deferred[Any]: ...


class AdminApi:
    """``GET /api/status``, ``GET /api/stats``, ``GET /api/now``, ``GET /api/requests`` and each of them by its id,
    ``GET /api/costs``, ``GET /api/book``, ``POST /api/reload``, ``POST /api/stop``.

    :param figures: those of ``/api/stats``.
    :param observations: what people see; None: nothing is served now.
    :param token: that each request must bring; None: the socket is for its owner alone.
    """

    app = Klein()

    def __init__(
        self,
        actions: Actions,
        figures: Callable[[], dict[str, Any]],
        token: str | None = None,
        observations: Observations | None = None,
    ) -> None:
        self._actions = actions
        self._figures = figures
        self._observations = observations
        self._token = token

    @app.route("/api/status", methods=["GET"])
    def status(self, request: Any) -> Deferred[None]:
        return self._answer(request, self._actions.status)

    @app.route("/api/stats", methods=["GET"])
    def stats(self, request: Any) -> Deferred[None]:
        return self._answer(request, self._figures)

    @app.route("/api/now", methods=["GET"])
    def now(self, request: Any) -> Deferred[None]:
        return self._answer(request, lambda: self._observed().now())

    @app.route("/api/requests", methods=["GET"])
    def requests(self, request: Any) -> Deferred[None]:
        return self._answer(request, lambda: self._observed().requests(query_of(request)))

    @app.route("/api/requests/<path:request_id>", methods=["GET"])
    def one_request(self, request: Any, request_id: str) -> Deferred[None]:
        return self._answer(request, lambda: self._observed().request(request_id, query_of(request)))

    def account(self, request: Any, read: Callable[[Accounts], Deferred[dict[str, Any]]]) -> Deferred[None]:
        if not self._may(request):
            return _refused(request)
        try:
            return read(self._observed().accounts).addCallback(lambda value: _send(request, value, 200))
        except SkyproxyError as error:
            return _answered(request, error.as_object(), error.status)

    def _observed(self) -> Observations:
        if self._observations is None:
            raise Unavailable("Nothing is served now: no game runs.")
        return self._observations

    @app.route("/api/reload", methods=["POST"])
    def reload(self, request: Any) -> Deferred[None]:
        if not self._may(request):
            return _refused(request)

        def over(outcome: Reloaded) -> None:
            good = outcome.problems is None
            told = {"good": good, "changed": outcome.changed, "problems": (outcome.problems or "").splitlines()}
            _send(request, told, 200 if good else 409)

        return self._actions.reload().addCallback(over)

    @app.route("/api/stop", methods=["POST"])
    def stop(self, request: Any) -> Deferred[None]:
        def stop() -> dict[str, Any]:
            self._actions.stop()
            return {"stopping": True}

        return self._answer(request, stop)

    @app.handle_errors(HTTPException)
    def wrong(self, request: Any, failure: Any) -> Deferred[None]:
        return _answered(request, {"error": {"message": failure.value.description}}, failure.value.code)

    def _answer(self, request: Any, make: Callable[[], dict[str, Any]]) -> Deferred[None]:
        if not self._may(request):
            return _refused(request)
        try:
            return _answered(request, make())
        except SkyproxyError as error:
            return _answered(request, error.as_object(), error.status)

    def _may(self, request: Any) -> bool:
        if self._token is None:
            return True
        given = request.getHeader(TOKEN) or b""
        given = given.encode("latin-1") if isinstance(given, str) else given
        return hmac.compare_digest(given, self._token.encode())


add_accounts(AdminApi.app, AdminApi.account)


def _refused(request: Any) -> Deferred[None]:
    return _answered(request, {"error": {"message": "The token is missing, or wrong."}}, 401)


def _answered(request: Any, value: dict[str, Any], status: int = 200) -> Deferred[None]:
    _send(request, value, status)
    return succeed(None)


def _send(request: Any, value: dict[str, Any], status: int) -> None:
    body = encode(value)
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"application/json")
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()
