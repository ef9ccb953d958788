"""Where skyproxy listens."""

from __future__ import annotations

import os
import shlex
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure

from skyproxy.wire.accepting import rest_when_full
from skyproxy.wire.sockets import Sockets


def listen_now(reactor: Any, endpoint: str, factory: IProtocolFactory, sockets: Sockets) -> IListeningPort:
    """Listen at *endpoint*; see :func:`~skyproxy.wire.accepting.rest_when_full`.

    :raise Exception: it cannot be bound, or not at once.
    """
    port: IListeningPort = result_now(serverFromString(reactor, with_backlog(endpoint)).listen(factory))
    rest_when_full(port, reactor, sockets)
    return port


def with_backlog(endpoint: str) -> str:
    """*endpoint*, with room for many clients that connect at once: Twisted's own is for 50, and each that finds no room
    tries again a second later.
    """
    bounded = "backlog=" in endpoint or not endpoint.startswith(("tcp:", "tcp6:", "ssl:"))
    return endpoint if bounded else f"{endpoint}:backlog=1024"


def shown(endpoint: str, address: Any) -> tuple[str, str]:
    """The API at *address*, to which *endpoint* was bound: for people, and for curl."""
    if isinstance(address, UNIXAddress):
        path = os.fsdecode(address.name or b"")
        return f"unix:{path}", f"--unix-socket {shlex.quote(path)} http://localhost/v1"
    scheme = "https" if endpoint.startswith("ssl:") else "http"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    host = f"[{host}]" if ":" in host else host
    url = f"{scheme}://{host}:{address.port}/v1"
    return url, url


def result_now(deferred: Deferred[Any]) -> Any:
    """The result of a Deferred that has fired: starting is synchronous, so that twistd can tell that it failed.

    :raise RuntimeError: it has not fired.
    """
    results: list[Any] = []
    deferred.addBoth(results.append)
    if not results:
        raise RuntimeError("The endpoint does not listen at once; use a tcp:, ssl: or unix: endpoint.")
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]
