"""What both APIs look up, mostly in files: the accounts, such as ``/api/costs``, ``/api/bodies``, ``/api/budgets``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from klein import Klein
from twisted.internet.defer import Deferred, succeed

from skyproxy.web.accounts import ACCOUNTS
from skyproxy.web.observations import Observations
from skyproxy.web.request import query_of

LookUp: TypeAlias = Callable[[Observations], Deferred[dict[str, Any]]]
"""Begins to look something up. May raise a SkyproxyError."""


def add_lookups(app: Klein, serve: Callable[[Any, Any, LookUp], Deferred[None]]) -> None:
    """Have *app* answer for these paths.

    :param serve: answers a request with what is looked up; its first argument is the app's object.
    """

    def account(name: str) -> None:
        @app.route(f"/api/{name}", methods=["GET"], endpoint=name)
        def read(api: Any, request: Any) -> Deferred[None]:
            return serve(api, request, lambda all: all.accounts.read(name, query_of(request)))

    for each in ACCOUNTS:
        account(each)

    @app.route("/api/budgets", methods=["GET"])
    def budgets(api: Any, request: Any) -> Deferred[None]:
        return serve(api, request, lambda all: succeed(all.budgets()))

    @app.route("/api/bodies", methods=["GET"])
    def bodies(api: Any, request: Any) -> Deferred[None]:
        return serve(api, request, lambda all: all.bodies.page(query_of(request)))

    @app.route("/api/bodies/<path:request_id>", methods=["GET"])
    def body(api: Any, request: Any, request_id: str) -> Deferred[None]:
        return serve(api, request, lambda all: all.bodies_of(request_id, query_of(request)))
