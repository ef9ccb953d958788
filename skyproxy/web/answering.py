"""How requests are let in, answered and refused, whatever they ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from skyproxy.access.refusals import CHALLENGE, InvalidApiKey
from skyproxy.errors import OriginNotAllowed, SkyproxyError
from skyproxy.formats import json_body
from skyproxy.http.common.headers import Fields
from skyproxy.pipeline.client import refuse
from skyproxy.pipeline.proxy import Runtime
from skyproxy.web.client import HttpClient, client_of
from skyproxy.web.cors import Cors, preflight
from skyproxy.web.door import Door, Entrance, says_forwarded
from skyproxy.web.host import check_host, is_unmistakable, own_origins
from skyproxy.web.request import ApiRequest, RequestIds

JSON = ((b"Content-Type", b"application/json"),)

Serve = Callable[[HttpClient], Deferred[None] | None]

# Asked by supervisors and balancers, under whatever name. They tell nothing that a page could use.
_FOR_ALL = frozenset({b"/healthz", b"/readyz"})


class Answering:
    """Answers requests.

    :param runtime: gives the current runtime.
    :param clock: for durations.
    :param door: lets requests in.
    """

    def __init__(self, runtime: Callable[[], Runtime], ids: RequestIds, clock: IReactorTime, door: Door) -> None:
        self.runtime = runtime
        self.door = door
        self._ids = ids
        self._clock = clock

    def data(self, request: ApiRequest, make: Callable[[], tuple[bytes, Fields]]) -> Deferred[None]:
        """Answer with what *make* gives, to people who look after skyproxy."""
        return self.sent(request, make)

    def shell(self, request: ApiRequest, make: Callable[[], tuple[bytes, Fields]]) -> Deferred[None]:
        """Answer with what *make* gives, a file of the page."""
        return self.sent(request, make, entrance=Entrance.SHELL)

    def from_the_shell(self, request: ApiRequest, serve: Serve) -> Deferred[None]:
        """Have *serve* answer what the page asks for before anybody has logged in."""
        return self.served(request, serve, entrance=Entrance.SHELL)

    def client_asks(self, request: ApiRequest, make: Callable[[list[str]], dict[str, Any]]) -> Deferred[None]:
        """Answer with what *make* gives of the models that the client may name."""

        def serve(client: HttpClient) -> None:
            names, identity = self.runtime().router.model_ids(), self.door.admit(request, Entrance.CLIENT)
            if identity is not None:
                names = [name for name in names if identity.may_ask_for(name)]
            client.answer(200, JSON, json_body.encode(make(names)))

        return self.served(request, serve, entrance=Entrance.OPEN)

    def served(
        self, request: ApiRequest, serve: Serve, refused: Fields = (), entrance: Entrance = Entrance.ADMIN
    ) -> Deferred[None]:
        """Have *serve* answer who may come in by *entrance*; *refused* are headers of a refusal."""
        client, _ = self.client(request)
        try:
            self.admit(request, client)
            self.door.admit(request, entrance)
            return serve(client) or succeed(None)
        except SkyproxyError as error:
            refuse(client, error, [*refused, *challenge(error)])
            return succeed(None)

    def answered(
        self, request: ApiRequest, make: Callable[[], dict[str, Any]], entrance: Entrance = Entrance.ADMIN
    ) -> Deferred[None]:
        """Answer with the object that *make* gives."""
        return self.sent(request, lambda: (json_body.encode(make()), JSON), entrance=entrance)

    def sent(
        self,
        request: ApiRequest,
        make: Callable[[], tuple[bytes, Fields]],
        refused: Fields = (),
        entrance: Entrance = Entrance.ADMIN,
    ) -> Deferred[None]:
        """Answer with what *make* gives, the body and its headers; the rest is as for :meth:`served`."""

        def send(client: HttpClient) -> None:
            body, headers = make()
            client.answer(200, headers, body)

        return self.served(request, send, refused, entrance)

    def refused(self, request: ApiRequest, error: SkyproxyError, headers: Fields = ()) -> Deferred[None]:
        """Answer with *error*."""

        def refused() -> tuple[bytes, Fields]:
            raise error

        return self.sent(request, refused, headers, Entrance.OPEN)

    def may_ask(self, request: ApiRequest, allowed: bytes) -> Deferred[None]:
        """Tell a browser what a page may ask for (CORS)."""
        asked = preflight(request.header(b"Access-Control-Request-Headers"))
        headers = [(b"Allow", allowed), *asked]
        return self.served(request, lambda client: client.answer(204, headers, b""), entrance=Entrance.OPEN)

    def admit(self, request: ApiRequest, client: HttpClient) -> None:
        """See that no page of another place asks, and no proxy that may not.

        :raise SkyproxyError: one does.
        """
        fields, for_all = request.fields, request.path in _FOR_ALL
        try:
            self._check_names(request, client, for_all=for_all)
        except SkyproxyError as error:
            self.door.refused(request, error)
            raise
        if not for_all and says_forwarded(fields):
            self.door.check_forwarded(request)

    def _check_names(self, request: ApiRequest, client: HttpClient, *, for_all: bool) -> None:
        fields, settings = request.fields, self.runtime().config.proxy
        origin, host = fields.get(b"origin"), fields.get(b"host")
        if origin is not None:
            if len(request.requestHeaders.getRawHeaders(b"origin", ())) > 1:
                raise OriginNotAllowed("The request has more than one Origin header.")
            # A page may have its own name lead here, and ask as if it were of here: of no use where that needs a key.
            safe = self.door.access.required or is_unmistakable(host, settings.allowed_hosts)
            own = safe and origin.lower() in own_origins(request)
            client.headers.extend(Cors(settings.cors_origins).headers(origin, own=own))
        elif not for_all and fields.get(b"sec-fetch-site") == b"cross-site" and _is_within(fields):
            raise OriginNotAllowed("Only skyproxy's own page, and programs, may ask for that.")
        if not for_all:
            check_host(host, request.getHost(), settings.allowed_hosts)  # type: ignore[no-untyped-call]

    def client(self, request: ApiRequest) -> tuple[HttpClient, str]:
        """The client of *request*, and its id."""
        request_id = self._ids.of(request)
        headers = [(b"X-Request-Id", request_id.encode("ascii"))]
        if self.runtime().config.is_demo:
            headers.append((b"X-Skyproxy-Demo", b"true"))
        return client_of(request, headers, self._clock.seconds), request_id


def _is_within(fields: Mapping[bytes, bytes]) -> bool:
    """Whether a browser's request is for a part of a page, such as a picture or a frame: that page reads nothing of
    one of another site, and takes others' place all the same. A link leads to a document."""
    return fields.get(b"sec-fetch-dest") != b"document"


def challenge(error: SkyproxyError) -> Fields:
    """The headers that go with *error*."""
    return (CHALLENGE,) if isinstance(error, InvalidApiKey) else ()
