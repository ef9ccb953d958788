"""The admin API: what the commands ask of a running process. It is served at the admin socket alone."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any, Protocol

from klein import Klein
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException

from skyproxy.access.audit import NAMESPACE
from skyproxy.errors import InternalError, InvalidRequest, SkyproxyError, Unavailable
from skyproxy.formats.json_body import encode
from skyproxy.web.actions import Act, Operations, Reloaded, add_actions, object_in, reload_shape
from skyproxy.web.lookups import LookUp, add_lookups
from skyproxy.web.observations import Observations
from skyproxy.web.request import query_of
from skyproxy.web.who import who_at_socket

_log = Logger()
_audit = Logger(namespace=NAMESPACE)

TOKEN = b"X-Skyproxy-Token"


class Keys(Protocol):
    """What the command ``skyproxy keys`` asks for. Each but the first takes what was sent, and who asks."""

    def listed(self) -> Deferred[dict[str, Any]]: ...

    def create(self, sent: dict[str, Any], by: str) -> Deferred[dict[str, Any]]: ...

    def rotate(self, sent: dict[str, Any], by: str) -> Deferred[dict[str, Any]]: ...

    def revoke(self, sent: dict[str, Any], by: str) -> Deferred[dict[str, Any]]: ...


class Actions(Protocol):
    """What can be asked."""

    stop: Callable[[], None]

    def status(self) -> dict[str, Any]: ...

    def reload(self, by: str) -> Deferred[Any]: ...

    def upgrade(self, by: str, seconds: float) -> Deferred[Any]: ...


class AdminApi:
    """``GET /api/status``, ``GET /api/stats``, ``GET /api/now``, ``GET /api/requests`` and each of them by its id,
    ``GET /api/costs``, ``GET /api/book``, ``GET /api/changes``, the actions of :mod:`skyproxy.web.actions`,
    ``POST /api/reload``, ``POST /api/upgrade``, ``POST /api/stop``, ``GET /api/keys``, ``POST /api/keys/create``,
    ``rotate`` and ``revoke``.

    :param figures: those of ``/api/stats``.
    :param observations: what people see; None: nothing is served now.
    :param operations: what people have done; None: nothing is served now.
    :param keys: those of clients; None: nothing is served now.
    :param token: that each request must bring; None: the socket is for its owner alone.
    """

    app = Klein()

    def __init__(
        self,
        actions: Actions,
        figures: Callable[[], dict[str, Any]],
        token: str | None = None,
        observations: Observations | None = None,
        operations: Operations | None = None,
        keys: Keys | None = None,
    ) -> None:
        self._actions = actions
        self._figures = figures
        self._observations = observations
        self._operations = operations
        self._keys = keys
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

    def looked_up(self, request: Any, find: LookUp) -> Deferred[None]:
        if not self._may(request):
            return _refused(request)
        try:
            return find(self._observed()).addCallback(lambda value: _send(request, value, 200))
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
            status, told = reload_shape(outcome)
            _send(request, told, status)

        return self._actions.reload(who_at_socket(request)).addCallback(over)

    @app.route("/api/upgrade", methods=["POST"])
    def upgrade(self, request: Any) -> Deferred[None]:
        if not self._may(request):
            return _refused(request)

        def over(outcome: Any) -> None:
            told = {"good": outcome.problem is None, "pid": outcome.pid, "version": outcome.version}
            problems = [] if outcome.problem is None else outcome.problem.splitlines()
            _send(request, {**told, "problems": problems}, 409 if problems else 200)

        try:
            seconds = object_in(request).get("seconds", 60.0)
            if not isinstance(seconds, (int, float)) or not 0 < seconds <= 3600:
                raise InvalidRequest("seconds must be a number of seconds, up to 3600.")
        except SkyproxyError as error:
            return _answered(request, error.as_object(), error.status)
        return self._actions.upgrade(who_at_socket(request), seconds).addCallback(over)

    @app.route("/api/changes", methods=["GET"])
    def changes(self, request: Any) -> Deferred[None]:
        return self._answer(request, lambda: self._operated().changes())

    add_actions(app, lambda self, request, act, name: self._act(request, act, name))

    def _act(self, request: Any, act: Act, name: str) -> Deferred[None]:
        def done() -> dict[str, Any]:
            return act(self._operated(), object_in(request), who_at_socket(request), name)

        return self._answer(request, done)

    def _operated(self) -> Operations:
        if self._operations is None:
            raise Unavailable("Nothing is served now: no game runs.")
        return self._operations

    @app.route("/api/keys", methods=["GET"])
    def keys(self, request: Any) -> Deferred[None]:
        return self._of_keys(request, lambda keys: keys.listed())

    @app.route("/api/keys/create", methods=["POST"])
    def create_key(self, request: Any) -> Deferred[None]:
        return self._of_keys(request, lambda keys: keys.create(object_in(request), who_at_socket(request)))

    @app.route("/api/keys/rotate", methods=["POST"])
    def rotate_key(self, request: Any) -> Deferred[None]:
        return self._of_keys(request, lambda keys: keys.rotate(object_in(request), who_at_socket(request)))

    @app.route("/api/keys/revoke", methods=["POST"])
    def revoke_key(self, request: Any) -> Deferred[None]:
        return self._of_keys(request, lambda keys: keys.revoke(object_in(request), who_at_socket(request)))

    def _of_keys(self, request: Any, act: Callable[[Keys], Deferred[dict[str, Any]]]) -> Deferred[None]:
        if not self._may(request):
            return _refused(request)

        def failed(failure: Failure) -> None:
            error = failure.value
            if not isinstance(error, SkyproxyError):
                _log.failure("Keys could not be changed", failure=failure)
                error = InternalError("This failed by a fault of skyproxy; its log tells more.")
            _send(request, error.as_object(), error.status)

        try:
            if self._keys is None:
                raise Unavailable("Nothing is served now: no game runs.")
            done = act(self._keys)
        except SkyproxyError as error:
            return _answered(request, error.as_object(), error.status)
        return done.addCallbacks(lambda value: _send(request, value, 200), failed)

    @app.route("/api/stop", methods=["POST"])
    def stop(self, request: Any) -> Deferred[None]:
        def stop() -> dict[str, Any]:
            _audit.info("A stop is asked for", by=who_at_socket(request))
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


add_lookups(AdminApi.app, AdminApi.looked_up)


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
