"""The paths by which people change what a running skyproxy does: see the operator's guide.

Each is a POST with an object of JSON, at the admin socket and, guarded by :mod:`skyproxy.web.session`, where skyproxy
serves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from klein import Klein
from twisted.internet.defer import Deferred

from skyproxy.errors import InvalidRequest
from skyproxy.formats.json_body import read
from skyproxy.pipeline.changes import Target

MAX_BODY_BYTES = 64 * 1024


class Operations(Protocol):
    """What can be done; see :class:`skyproxy.process.actions.operations.Operations`."""

    def changes(self) -> dict[str, Any]: ...
    def pause(self, asked: Target, by: str, *, dry_run: bool = False) -> dict[str, Any]: ...
    def resume(self, asked: Target, by: str, *, dry_run: bool = False) -> dict[str, Any]: ...
    def put_aside(self, asked: Target, by: str, *, dry_run: bool = False) -> dict[str, Any]: ...
    def put_back(self, asked: Target, by: str, *, dry_run: bool = False) -> dict[str, Any]: ...
    def close_breaker(self, asked: Target, by: str, *, dry_run: bool = False) -> dict[str, Any]: ...
    def set(self, asked: Target, values: dict[str, Any], by: str, *, dry_run: bool = False) -> dict[str, Any]: ...
    def profile(self, name: str, by: str, *, dry_run: bool = False) -> dict[str, Any]: ...
    def cancel(self, request_id: str, by: str, *, dry_run: bool = False) -> dict[str, Any]: ...
    def purge(self, by: str, *, dry_run: bool = False) -> dict[str, Any]: ...
    def undo(self, action_id: str, by: str, *, dry_run: bool = False) -> dict[str, Any]: ...
    def keep(self, action_id: str, by: str, *, dry_run: bool = False) -> dict[str, Any]: ...


Act = Callable[[Operations, dict[str, Any], str, str], dict[str, Any]]
"""Does an action: by the object that was sent, who sent it, and what stands at the end of the path."""


def _of_target(name: str) -> Act:
    def act(operations: Operations, sent: dict[str, Any], by: str, _: str) -> dict[str, Any]:
        target, dry_run = _target(sent), _dry_run(sent)
        _refuse_rest(sent)
        done: dict[str, Any] = getattr(operations, name)(target, by, dry_run=dry_run)
        return done

    return act


def _of_name(name: str) -> Act:
    def act(operations: Operations, sent: dict[str, Any], by: str, what: str) -> dict[str, Any]:
        dry_run = _dry_run(sent)
        _refuse_rest(sent)
        done: dict[str, Any] = getattr(operations, name)(what, by, dry_run=dry_run)
        return done

    return act


def _purge(operations: Operations, sent: dict[str, Any], by: str, _: str) -> dict[str, Any]:
    dry_run = _dry_run(sent)
    _refuse_rest(sent)
    return operations.purge(by, dry_run=dry_run)


def _set(operations: Operations, sent: dict[str, Any], by: str, _: str) -> dict[str, Any]:
    target, dry_run, values = _target(sent), _dry_run(sent), sent.pop("set", None)
    if not isinstance(values, dict):
        raise InvalidRequest("`set` must be an object of keys and values.", param="set")
    _refuse_rest(sent)
    return operations.set(target, values, by, dry_run=dry_run)


ACTIONS: dict[str, Act] = {
    "/api/pause": _of_target("pause"),
    "/api/resume": _of_target("resume"),
    "/api/breaker/close": _of_target("close_breaker"),
    "/api/key/aside": _of_target("put_aside"),
    "/api/key/back": _of_target("put_back"),
    "/api/set": _set,
    "/api/profile/<name>": _of_name("profile"),
    "/api/cancel/<path:name>": _of_name("cancel"),
    "/api/cache/purge": _purge,
    "/api/undo/<name>": _of_name("undo"),
    "/api/keep/<name>": _of_name("keep"),
}

Serve = Callable[[Any, Any, Act, str], Deferred[None]]
"""Has an action done for a request that may have it done, by an instance of the class of *app*."""


def add_actions(app: Klein, serve: Serve) -> None:
    """Have *app* serve the actions by *serve*."""
    for path, act in ACTIONS.items():
        app.route(path, methods=["POST"], endpoint=path)(_handler(act, serve))


def _handler(act: Act, serve: Serve) -> Callable[..., Deferred[None]]:
    def handle(self: Any, request: Any, name: str = "") -> Deferred[None]:
        return serve(self, request, act, name)

    return handle


class Reloaded(Protocol):
    """How a reload went.

    :ivar problems: why the configuration was not taken; None: it was.
    :ivar changed: what is different.
    """

    @property
    def problems(self) -> str | None: ...

    @property
    def changed(self) -> dict[str, Any]: ...


def reload_shape(outcome: Reloaded) -> tuple[int, dict[str, Any]]:
    """The status of the answer, and its object."""
    good = outcome.problems is None
    told = {"good": good, "changed": outcome.changed, "problems": (outcome.problems or "").splitlines()}
    return (200 if good else 409), told


def object_in(request: Any) -> dict[str, Any]:
    """What *request* has sent; nothing is an empty object.

    :raise InvalidRequest: it is no object of JSON.
    """
    body = request.plain_body(MAX_BODY_BYTES)
    return read(body) if body.strip() else {}


def _target(sent: dict[str, Any]) -> Target:
    found = {}
    for name in Target._fields:
        value = sent.pop(name, "")
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} must be a text.", param=name)
        found[name] = value
    return Target(**found)


def _dry_run(sent: dict[str, Any]) -> bool:
    dry_run = sent.pop("dry_run", False)
    if not isinstance(dry_run, bool):
        raise InvalidRequest("dry_run must be true or false.", param="dry_run")
    return dry_run


def _refuse_rest(sent: dict[str, Any]) -> None:
    if sent:
        name = next(iter(sent))
        raise InvalidRequest(f"Unknown here: {name[:100]!r}.", param=name[:100])
