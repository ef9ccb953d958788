"""How many sockets the process may have, and who goes without when they run short."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectBindError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from skyproxy.util.throttle import Throttle

if sys.platform != "win32":
    import resource

_log = Logger()

MOST = 65_536
"""Descriptors that are asked for: enough for any proxy in one process, and some tables grow with the limit."""

MOST_ON_SELECT = 1_023
"""The same where the reactor calls select(), which cannot look at those with larger numbers."""

MOST_SELECTED = 512
"""Sockets that Python's select() looks at on Windows; with one more it fails for all of them. Elsewhere, where it
looks at twice as many, no more are used either.
"""

CLIENTS = 400 / 512
"""The share from which on no more clients are taken: they wait until others have left."""

FEW_CLIENTS = 0.45
"""The same where there are so few sockets that the rest would be less than 64."""

PROVIDERS = 480 / 512
"""The share from which on no more connections are made to providers. The rest is for files, names and the log."""

_WARN_AGAIN_SECONDS = 3600.0
"""Seconds after a warning in which there is no other."""


class Sockets:
    """Tells whether one more may be opened.

    :param most: the process can have.
    :param used: how many it has now.
    :param seconds: the time.
    :param base: how many it has before any client has come.
    """

    def __init__(self, most: int, used: Callable[[], int], seconds: Callable[[], float], base: int = 0) -> None:
        self.most = most
        self._used = used
        free = most - base
        self._for_providers = base + int(free * PROVIDERS)
        # Of few, each client that is in must find one for its own connection to a provider.
        self._for_clients = base + int(min(free * CLIENTS, max(free * FEW_CLIENTS, free - 64)))
        self._warnings = Throttle(_WARN_AGAIN_SECONDS, seconds)

    def room_for_client(self) -> bool:
        """Whether a client may be taken."""
        return self._room(self._for_clients, "clients that come wait until others have left")

    def room_for_provider(self) -> bool:
        """Whether a connection to a provider may be made."""
        return self._room(self._for_providers, "requests that need a new connection to a provider are refused")

    def check(self, wanted: int) -> None:
        """Warn if the providers may want *wanted* connections at once, and can never have so many."""
        if wanted > self._for_providers:
            _log.warn(
                "The providers' max_connections and max_concurrent allow more connections than there can be sockets",
                connections=wanted,
                sockets=self._for_providers,
                hint=_hint(),
            )

    def _room(self, bound: int, what: str) -> bool:
        used = self._used()
        if used < bound:
            return True
        if self._warnings.allows():
            _log.warn("Sockets run short: " + what, used=min(used, self.most), most=self.most, hint=_hint())
        return False


def _hint() -> str:
    if sys.platform == "win32":
        return "one process has no more on Windows: lower max_concurrent, or run several"
    return (
        "raise the hard limit of open files (ulimit -Hn), use no reactor that calls select(), or lower max_concurrent"
    )


@implementer(IStreamClientEndpoint)
class RationedEndpoint:
    """Connects through another endpoint while the budget allows it."""

    def __init__(self, endpoint: IStreamClientEndpoint, sockets: Sockets) -> None:
        self._endpoint: Any = endpoint
        self._sockets = sockets

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect.

        :return: fires and fails as the endpoint does; fails with ``ConnectBindError`` when the budget is used up.
        """
        if not self._sockets.room_for_provider():
            return fail(ConnectBindError(string="too many sockets are in use"))
        connecting: Deferred[Any] = self._endpoint.connect(protocolFactory)
        return connecting


def sockets_of(reactor: Any) -> Sockets:
    """What the process may have that runs *reactor*. On Windows, make it before *reactor* is given any socket."""
    if sys.platform == "win32":
        return Sockets(MOST_SELECTED, count_of(reactor), reactor.seconds)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most == resource.RLIM_INFINITY:
        most = MOST
    if _selects(reactor):
        most = min(most, MOST_SELECTED)
    return Sockets(most, lowest_free, reactor.seconds, lowest_free())


def raise_limit(reactor: Any) -> None:
    """Have the process, which runs *reactor*, open as many files as it may.

    Shells and service managers set a low limit, which a program that can do with more is to raise by itself.
    """
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_ON_SELECT if _selects(reactor) else max(MOST, soft)
    # macOS says that there is no limit, and refuses more than its kernel has.
    for wanted in (most, 10_240):
        number = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if number == soft or (number < soft and not _selects(reactor)):
            return
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
            return


def lowest_free() -> int:
    """The number that the next descriptor gets: the system gives the lowest that is free.

    Who takes none above some number leaves those above it to others, whatever is free below it.
    """
    try:
        number = os.open(os.sep, os.O_RDONLY)
    except OSError:
        return sys.maxsize
    os.close(number)
    return number


def count_of(reactor: Any) -> Callable[[], int]:
    """Have *reactor* remember what it is given to read from now on.

    :return: tells how many of these are open.
    """
    seen: WeakSet[Any] = WeakSet()
    add = reactor.addReader

    def add_and_remember(reader: Any) -> None:
        seen.add(reader)
        add(reader)

    reactor.addReader = add_and_remember
    # fileno of what is closed is -1; of a connection that is closed, its socket's.
    return lambda: sum(1 for reader in list(seen) if reader.fileno() != -1)


def _selects(reactor: Any) -> bool:
    from twisted.internet.selectreactor import SelectReactor

    return isinstance(reactor, SelectReactor)
