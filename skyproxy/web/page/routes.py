"""The paths of the page for browsers, and of what it alone asks for. All are for this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred

from skyproxy.formats.json_body import encode
from skyproxy.http.common.headers import Fields
from skyproxy.web.page.files import PageFiles
from skyproxy.web.request import ApiRequest
from skyproxy.web.setup import Setup

_JSON = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))

Near = Callable[[Any, ApiRequest, Callable[[], tuple[bytes, Fields]]], Deferred[None]]
"""Answers a request from this machine with a body and its headers, by an instance of the class of the app."""


@dataclass(frozen=True, slots=True)
class Page:
    """What the page consists of.

    :ivar setup: what the configuration has and lacks.
    """

    files: PageFiles
    setup: Setup


def add_page(app: Klein, near: Near, page: Callable[[Any], Page]) -> None:
    """Have *app* serve the page that an instance of its class has."""

    def add(path: str, make: Callable[..., tuple[bytes, Fields]]) -> None:
        def handle(self: Any, request: ApiRequest, **parts: str) -> Deferred[None]:
            return near(self, request, lambda: make(page(self), request.header(b"Accept-Encoding") or b"", **parts))

        app.route(path, methods=["GET"], endpoint=path)(handle)

    add("/", lambda page, accepted: page.files.index(accepted))
    add("/a/<version>/<path:name>", lambda page, accepted, version, name: page.files.asset(version, name, accepted))
    add("/api/setup", lambda page, _: (encode(page.setup.facts()), _JSON))
