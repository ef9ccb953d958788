"""Takes each request in, counts it, and sees that it is answered."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import orjson
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from skyproxy.demo.admission import Admission
from skyproxy.demo.connections import Connections
from skyproxy.demo.endpoints import Endpoints
from skyproxy.demo.ledger import Exchange, Ledger, Outcome
from skyproxy.demo.player import Player
from skyproxy.demo.script import error_reply
from skyproxy.demo.shapes import ApiError
from skyproxy.demo.steps import RawHeaders, Reply

_log = Logger()

MODELS = ("guard", "guard-embedding", "guard-voice", "guard-ear")

_CREATED = 1320969600
"""When each model came to be, as Unix time."""


class Api(Resource):
    """All paths.

    :param control: whether /control is served.
    """

    def __init__(
        self,
        clock: IReactorTime,
        ledger: Ledger,
        connections: Connections,
        admission: Admission,
        *,
        control: bool,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.isLeaf = True
        self._clock = clock
        self._ledger = ledger
        self._connections = connections
        self._admission = admission
        self._control = control
        self._endpoints = Endpoints()

    def render(self, request: Request) -> Any:
        path = request.path.decode("latin-1")
        request.setHeader(b"X-Skyproxy-Demo", b"true")
        control = self._control and path.startswith("/control/")
        connection = self._connections.used(request, control=control)
        if control:
            return self._watched(request, path)
        assert request.content is not None
        body: bytes = request.content.read()
        ledger = self._ledger
        exchange = ledger.open(path, request.method.decode("latin-1"), _headers(request), body, connection)
        reply, outcome = self._answer(request, exchange, body)

        def over(ended: Outcome) -> None:
            ledger.close(exchange, outcome if ended == "completed" else ended)

        Player(self._clock, request, exchange, reply, over).start()
        return NOT_DONE_YET

    def _answer(self, request: Request, exchange: Exchange, body: bytes) -> tuple[Reply, Outcome]:
        """The reply, and the outcome if the client takes all of it."""
        more: RawHeaders = []
        outcome: Outcome = "completed"
        try:
            wait = self._admission.refuse(self._ledger.active - 1)
            if wait is not None:
                outcome = "refused"
                raise ApiError(429, "The guard is busy.", code="rate_limit_exceeded", retry_after=str(wait))
            self._ledger.admitted()
            if self._endpoints.knows(exchange.path):
                if exchange.method != "POST":
                    more = [(b"Allow", b"POST")]
                    raise ApiError(405, "Use POST.", code="method_not_allowed")
                content_type = request.getHeader(b"content-type") or b""
                return self._endpoints.reply(exchange, body, content_type), outcome
            return _models(exchange), outcome
        except ApiError as error:
            return error_reply(error, orjson.dumps(error.as_object()), more), outcome
        except Exception:
            _log.failure("The demo server failed on a request", path=exchange.path)
            failure = ApiError(500, "The demo server itself failed; see its log.")
            return error_reply(failure, orjson.dumps(failure.as_object()), more), outcome

    def _watched(self, request: Request, path: str) -> bytes:
        request.setHeader(b"Content-Type", b"application/json")
        told: dict[str, Any] = {}
        if path == "/control/stats":
            told = self._ledger.stats()
        elif path == "/control/requests":
            last = request.args.get(b"last", [b""])[0]
            told = {"requests": self._ledger.requests(int(last) if last.isdigit() else None)}
        elif path == "/control/reset" and request.method == b"POST":
            self._ledger.reset()
            self._endpoints.reset()
        else:
            request.setResponseCode(404)
        return json.dumps(told).encode("ascii")


def _models(exchange: Exchange) -> Reply:
    """The models, or one of them.

    :raise ApiError: no such path, or no such model.
    """
    path, told = exchange.path, None
    if exchange.method in ("GET", "HEAD"):
        if path == "/v1/models":
            told = {"object": "list", "data": [_model(name) for name in MODELS]}
        elif path.startswith("/v1/models/"):
            name = unquote(path.removeprefix("/v1/models/"))
            if name not in MODELS:
                raise ApiError(404, f"The model {name!r} does not exist.", code="model_not_found", param="model")
            told = _model(name)
    if told is None:
        raise ApiError(404, f"Unknown request URL: {exchange.method} {path}", code="unknown_url")
    body = orjson.dumps(told)
    headers = [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]
    return Reply(200, headers, iter((body,)))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "skyproxy-demo"}


def _headers(request: Request) -> list[tuple[str, str]]:
    return [
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, values in request.requestHeaders.getAllRawHeaders()
        for value in values
    ]
