"""Klein's resource, with a memory for the routes it has matched."""

from __future__ import annotations

from typing import Any

from klein import Klein
from klein.resource import KleinResource
from twisted.internet.defer import CancelledError, fail
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException

from skyproxy.web.request import ApiRequest


class Routes(KleinResource):
    """Renders as Klein does. Where a path without variable parts has been matched before, the match is remembered:
    to match one takes longer than all the rest that stands between a request and its handler.

    Handlers behind a remembered route answer by themselves and return a Deferred, which is cancelled when the client
    leaves, as Klein cancels it.
    """

    def __init__(self, app: Klein) -> None:
        super().__init__(app)
        self._klein = app
        self._known: dict[tuple[bytes, bytes], str] = {}

    def route(self, request: ApiRequest) -> bool:
        """Run the handler of *request*, if its route is known.

        :return: False if it is not: then render the request as any other.
        """
        endpoint = self._known.get((request.method, request.path))
        if endpoint is None:
            return False
        try:
            done: Any = self._klein.execute_endpoint(endpoint, request)
        except Exception:
            done = fail()
        if done.called and done.result is None:
            return True
        request.serving = done
        done.addErrback(self._failed, request)
        return True

    def render(self, request: Any) -> Any:
        """Have Klein match and run the route, and remember it."""
        # Klein would not ask the app about a path that is not UTF-8. Like this there is nothing at it.
        request.postpath = [part.decode("utf-8", "replace").encode("utf-8") for part in request.postpath]
        if len(request.postpath) > 1 and not request.postpath[-1]:
            request.postpath.pop()  # One slash at the end means nothing: /v1/ is /v1.
        if request.method == b"POST":
            # Nor does one at the end of a client's setting, behind which the client has put another.
            pairs = zip(request.postpath, [*request.postpath[1:], b""], strict=True)
            request.postpath = [part for part, following in pairs if part or not following]
        rendered = super().render(request)
        if request.method in (b"GET", b"POST"):
            self._remember(request)
        return rendered

    def _remember(self, request: Any) -> None:
        path = request.path
        try:
            adapter = self._klein.url_map.bind("")
            rule, _ = adapter.match(
                path.decode("utf-8").removesuffix("/"), request.method.decode("ascii"), return_rule=True
            )
        except (HTTPException, UnicodeDecodeError):
            return
        if not rule.arguments:
            self._known[request.method, path] = rule.endpoint

    def _failed(self, failure: Failure, request: ApiRequest) -> Any:
        if request.gone and failure.check(CancelledError):
            return None  # The client has left, and what served it has ended: as Klein has it, that is no fault.
        for exceptions, handler in self._klein._error_handlers:
            if failure.check(*exceptions):
                return self._klein.execute_error_handler(handler, request, failure)
        return failure
