"""The paths of the page for browsers, and of what it alone asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred

from skyproxy.formats.json_body import encode
from skyproxy.http.common.headers import Fields
from skyproxy.web.client import HttpClient
from skyproxy.web.door import Door
from skyproxy.web.page.files import PageFiles
from skyproxy.web.page.guides import Guides
from skyproxy.web.request import ApiRequest
from skyproxy.web.setup import Setup
from skyproxy.web.testing import Testing

_JSON = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))

Answer = Callable[[Any, ApiRequest, Callable[[], tuple[bytes, Fields]]], Deferred[None]]
"""Answers a request that may have it with a body and its headers, by an instance of the class of the app."""


@dataclass(frozen=True, slots=True)
class Page:
    """What the page consists of.

    :ivar guides: for people, as documents of their own.
    :ivar setup: what the configuration has and lacks.
    :ivar testing: tests keys, and looks for servers on this machine.
    :ivar door: sees to it that the page, or who has the admin key, has that done on purpose.
    """

    files: PageFiles
    guides: Guides
    setup: Setup
    testing: Testing
    door: Door


Begun = Callable[[Any, ApiRequest, Callable[[HttpClient], Deferred[None]]], Deferred[None]]
"""Likewise, with an answer that comes later."""


def add_page(app: Klein, shell: Answer, data: Answer, begun: Begun, page: Callable[[Any], Page]) -> None:
    """Have *app* serve the page that an instance of its class has.

    :param shell: serves the page's own files, which tell nothing, and *data* what it shows.
    """

    def add(path: str, make: Callable[..., tuple[bytes, Fields]], answer: Answer = shell) -> None:
        def handle(self: Any, request: ApiRequest, **parts: str) -> Deferred[None]:
            return answer(self, request, lambda: make(page(self), request.header(b"Accept-Encoding") or b"", **parts))

        app.route(path, methods=["GET"], endpoint=path)(handle)

    def post(path: str, ask: Callable[..., Deferred[dict[str, Any]]]) -> None:
        def handle(self: Any, request: ApiRequest, **parts: str) -> Deferred[None]:
            def serve(client: HttpClient) -> Deferred[None]:
                page(self).door.check_acting(request)
                told = ask(page(self).testing, **parts)
                return told.addCallback(lambda value: client.answer(200, _JSON, encode(value)))

            return begun(self, request, serve)

        app.route(path, methods=["POST"], endpoint=path)(handle)

    add("/", lambda page, accepted: page.files.index(accepted))
    add("/a/<version>/<path:name>", lambda page, accepted, version, name: page.files.asset(version, name, accepted))
    add("/guide/<name>", lambda page, _, name: page.guides.document(name))
    add("/api/setup", lambda page, _: (encode(page.setup.facts()), _JSON), data)
    post("/api/test/<name>", Testing.test)
    post("/api/local", Testing.local)
