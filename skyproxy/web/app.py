"""The Klein app: which path is what."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WrongMethodForPath

from skyproxy.errors import (
    BodyTooLarge,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    ShuttingDown,
    SkyproxyError,
    UnsupportedEncoding,
)
from skyproxy.formats import json_body
from skyproxy.http.common.headers import Fields
from skyproxy.pipeline.client import refuse
from skyproxy.pipeline.proxy import Proxy, Runtime
from skyproxy.pipeline.request import Endpoint
from skyproxy.telemetry.tracing.tracing import Tracing
from skyproxy.web.acting import Acting
from skyproxy.web.actions import Act, add_actions
from skyproxy.web.answering import JSON, Answering, challenge
from skyproxy.web.client import HttpClient
from skyproxy.web.door import Door, Entrance
from skyproxy.web.events import EventStreams
from skyproxy.web.figures import Sources, figures
from skyproxy.web.incoming import incoming
from skyproxy.web.login import add_login
from skyproxy.web.lookups import LookUp, add_lookups
from skyproxy.web.metrics.exposition import Metrics
from skyproxy.web.observations import Observations
from skyproxy.web.page.routes import Page, add_page
from skyproxy.web.recording_client import RecordingClient
from skyproxy.web.request import ApiRequest, RequestIds, query_of
from skyproxy.web.shapes import model_object

_log = Logger()

_NO_WEBSOCKETS = "WebSockets are not served here (the Realtime API, or the Responses API in that mode): ask by POST."

_WHERE = "The API is at /v1/chat/completions and its siblings."

# A client's setting may be the whole URL or a part of it: with /v1 and without, all arrive.
_PROXIED = {f"{before}{each.value}": each for each in Endpoint for before in ("/v1", "")} | {"/v1": Endpoint.CHAT}


class Api(Answering):
    """The OpenAI-compatible API, the two questions that a supervisor asks, and the instruments.

    :param runtime: gives the current runtime.
    :param clock: for durations.
    :param sources: what the instruments read.
    :param observations: what people see; *streams* brings it as it changes, and *page* shows it.
    :param acting: what people have done.
    :param door: lets requests in.
    :param tracing: begins traces.
    :param now: wall-clock time, for ``/healthz``.
    """

    app = Klein()

    def __init__(
        self,
        proxy: Proxy,
        runtime: Callable[[], Runtime],
        ids: RequestIds,
        clock: IReactorTime,
        sources: Sources,
        observations: Observations,
        streams: EventStreams,
        page: Page,
        acting: Acting,
        door: Door,
        tracing: Tracing,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        super().__init__(runtime, ids, clock, door)
        self._proxy = proxy
        self._sources = sources
        self._observations = observations
        self._streams = streams
        self._page = page
        self._acting = acting
        self._tracing = tracing
        self._metrics = Metrics(sources)
        self._now = now

    # What skyproxy answers itself.

    @app.route("/v1/models", methods=["GET"])
    @app.route("/models", methods=["GET"])
    def models(self, request: ApiRequest) -> Deferred[None]:
        return self.client_asks(
            request, lambda names: {"object": "list", "data": [model_object(name) for name in names]}
        )

    @app.route("/v1/models/<path:name>", methods=["GET"])
    @app.route("/models/<path:name>", methods=["GET"])
    def model(self, request: ApiRequest, name: str) -> Deferred[None]:
        def find(names: list[str]) -> dict[str, Any]:
            if name not in names:
                raise NotFound("There is no such model here; GET /v1/models lists those there are.", param="model")
            return model_object(name)

        return self.client_asks(request, find)

    @app.route("/healthz", methods=["GET"])
    def healthz(self, request: ApiRequest) -> Deferred[None]:
        timestamp = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return self.answered(request, lambda: {"status": "ok", "timestamp": timestamp}, Entrance.OPEN)

    @app.route("/readyz", methods=["GET"])
    def readyz(self, request: ApiRequest) -> Deferred[None]:
        def ready() -> dict[str, Any]:
            if self._proxy.leaving:
                raise ShuttingDown("skyproxy is shutting down.", retry_after=1.0)
            return {"status": "ready"}

        return self.answered(request, ready, Entrance.OPEN)

    # The instruments. They tell what goes on here: to programs on this machine, not to whatever page a browser shows.

    @app.route("/metrics", methods=["GET"])
    def metrics(self, request: ApiRequest) -> Deferred[None]:
        def render() -> tuple[bytes, Fields]:
            accept = request.header(b"Accept") or b""
            body, content_type = self._metrics.render(accept.decode("latin-1"))
            return body, [(b"Content-Type", content_type.encode("ascii"))]

        return self.sent(request, render, entrance=Entrance.METRICS)

    @app.route("/api/stats", methods=["GET"])
    def stats(self, request: ApiRequest) -> Deferred[None]:
        return self.answered(request, lambda: figures(self._sources))

    # What people see, on this machine alone: see skyproxy.web.shapes.

    @app.route("/api/requests/<path:request_id>", methods=["GET"])
    def one_request(self, request: ApiRequest, request_id: str) -> Deferred[None]:
        return self._observed(request, self._observations.request, request_id, query_of(request))

    @app.route("/api/events", methods=["GET"])
    def events(self, request: ApiRequest) -> Deferred[None]:
        return self.served(request, lambda client: self._streams.open(client, query_of(request), request.transport))

    # What people have done: see skyproxy.web.actions.
    @app.route("/api/changes", methods=["GET"])
    def changes(self, request: ApiRequest) -> Deferred[None]:
        return self._observed(request, self._acting.changes)

    @app.route("/api/session", methods=["GET"])
    def session(self, request: ApiRequest) -> Deferred[None]:
        return self.served(request, lambda client: self._acting.begin(request, client))

    @app.route("/api/reload", methods=["POST"])
    def reload(self, request: ApiRequest) -> Deferred[None]:
        return self.served(request, lambda client: self._acting.reload(request, client))

    @app.route("/api/profile/<name>", methods=["GET"])
    def hotkey(self, request: ApiRequest, name: str) -> Deferred[None]:
        return self.served(request, lambda client: self._acting.hotkey(request, client, name), entrance=Entrance.NEAR)

    def looked_up(self, request: ApiRequest, find: LookUp) -> Deferred[None]:
        def begin(client: HttpClient) -> Deferred[None]:
            found = find(self._observations)
            return found.addCallback(lambda value: client.answer(200, JSON, json_body.encode(value)))

        return self.served(request, begin)

    @app.handle_errors(WrongMethodForPath)  # type: ignore[arg-type]
    def wrong_method(self, request: ApiRequest, failure: Failure) -> Deferred[None]:
        assert isinstance(failure.value, WrongMethodForPath)
        allowed = ", ".join(sorted({*(failure.value.valid_methods or ()), "OPTIONS"})).encode("ascii")
        if request.method == b"OPTIONS":
            return self.may_ask(request, allowed)
        elsewhere = f" {_WHERE}" if request.method == b"POST" else ""
        error = MethodNotAllowed(f"This path is for {allowed.decode('ascii')}.{elsewhere}")
        return self._strayed(request, error, [(b"Allow", allowed)])

    @app.handle_errors(HTTPException)  # type: ignore[arg-type]
    def no_such_path(self, request: ApiRequest, failure: Failure) -> Deferred[None]:
        return self._strayed(request, NotFound(f"There is nothing at this path. {_WHERE}"))

    def _strayed(self, request: ApiRequest, error: SkyproxyError, headers: Fields = ()) -> Deferred[None]:
        """Refuse what came to a wrong path, and have the log tell of clients: their users see nothing else of it."""
        opens_socket = (request.header(b"Upgrade") or b"").lower() == b"websocket"
        if opens_socket:
            error = type(error)(_NO_WEBSOCKETS)
        if opens_socket or request.method == b"POST":
            self.door.refused(request, error)
        return self.refused(request, error, headers)

    @app.handle_errors(Exception)  # type: ignore[arg-type]
    def fault(self, request: ApiRequest, failure: Failure) -> Deferred[None]:
        client, request_id = self.client(request)
        _log.failure("Request failed by a fault of skyproxy", failure=failure, request_id=request_id)
        if request.finished:
            return succeed(None)
        # Klein also brings here what failed after an answer had begun; then only a cut is honest.
        if request.startedWriting:
            client.cut(b"")
        else:
            refuse(client, InternalError("skyproxy failed on this request; its log tells more under the request id."))
        return succeed(None)

    # How.

    def act(self, request: ApiRequest, act: Act, name: str) -> Deferred[None]:
        """Have an action done; see :mod:`skyproxy.web.actions`."""
        if self._acting.is_hotkey(request):
            return self.hotkey(request, name)
        return self.served(request, lambda client: self._acting.act(request, client, act, name))

    def refuses(self, request: ApiRequest, method: bytes, path: bytes) -> bool:
        """Whether *request* is refused whatever its body says, as far as its head tells; see :class:`ApiSite`."""
        return method == b"POST" and path.rstrip(b"/").decode("latin-1") in _PROXIED and self.door.is_closed_to(request)

    def proxied(self, request: ApiRequest, endpoint: Endpoint) -> Deferred[None]:
        client, request_id = self.client(request)
        try:
            self.admit(request, client)
            identity = self.door.client(request) if self.door.access.on else None
            body = request.plain_body(self.runtime().config.proxy.max_body)
            if endpoint is not Endpoint.TRANSCRIPTIONS:
                request.hold_values(body)
        except SkyproxyError as error:
            # Of others the door has told.
            if isinstance(error, (BodyTooLarge, UnsupportedEncoding, InvalidRequest)):
                self.door.refused(request, error)
            refuse(client, error, challenge(error))
            return succeed(None)
        recording = self._observations.bodies.begin()
        return self._proxy.serve(
            incoming(request, endpoint, request_id, body, identity, self._tracing),
            client if recording is None else RecordingClient(client, recording),
        )

    def _observed(self, request: ApiRequest, make: Callable[..., dict[str, Any]], *arguments: Any) -> Deferred[None]:
        return self.data(request, lambda: (json_body.encode(make(*arguments)), JSON))


def _proxied(endpoint: Endpoint) -> Callable[[Api, ApiRequest], Deferred[None]]:
    return lambda api, request: api.proxied(request, endpoint)


def _observed(make: Callable[[Observations, bytes], dict[str, Any]]) -> Callable[[Api, ApiRequest], Deferred[None]]:
    return lambda api, request: api._observed(request, make, api._observations, query_of(request))


_OBSERVED = {"now": lambda all, _: all.now(), "requests": Observations.requests, "series": Observations.series}
for _name, _make in _OBSERVED.items():
    Api.app.route(f"/api/{_name}", methods=["GET"], endpoint=_name)(_observed(_make))
add_lookups(Api.app, Api.looked_up)
add_actions(Api.app, Api.act)
for _path, _endpoint in _PROXIED.items():
    Api.app.route(_path, methods=["POST"], endpoint=_path)(_proxied(_endpoint))
add_login(Api.app, Api.from_the_shell, lambda api: api.door)
add_page(Api.app, Api.shell, Api.data, Api.served, lambda api: api._page)
