"""What the connections of one port share: their deadlines, and whether they are to close."""

from __future__ import annotations

import select
import struct
import sys
from collections import Counter
from collections.abc import Callable
from math import inf
from typing import Any, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from skyproxy.errors import ClientStalled
from skyproxy.http.loop.batches import Schedule, immediately
from skyproxy.http.loop.direct_io import unsent
from skyproxy.http.server.body_memory import BodyMemory
from skyproxy.http.server.bounds import Admission
from skyproxy.http.server.limits import CLOSE_TIMEOUT, ServerLimits

if sys.platform == "linux":
    import fcntl
    import termios

_log = Logger()

TICK = 1.0
"""Seconds between two looks at the deadlines. A deadline takes effect up to that much late."""

EVERY_LOOK = 0.0
"""A deadline that has always passed: the connection is asked at every look, until it sets another one."""


class Connection(Protocol):
    """One of them.

    :ivar transport: of Twisted's.
    :ivar deadline: when :meth:`deadline_passed` is to be called, on the clock of :class:`Connections`.
    """

    deadline: float
    transport: Any

    @property
    def closing(self) -> bool:
        """Whether nothing more is heard on it, nor said than what has been written."""

    @property
    def expects_request(self) -> bool:
        """Whether a request is on its way, or the client has just connected, which it does to bring one."""

    def deadline_passed(self, now: float) -> None:
        """The time is up."""

    def drain(self) -> None:
        """Close, at once or after the answer that is under way; as long as there is patience, after the next one."""


class Connections:
    """Looks at all deadlines once a tick: a deadline costs a request one assignment, and no delayed call.

    :param clock: what the deadlines are measured by, IReactorTime.
    :param schedule: has the same step done for the requests of many connections in a row; kept under this name.
    :ivar admission: lets clients connect, or not.
    :ivar bodies: counts the bodies of their requests.
    :ivar unread: bytes of answers, about, that wait for clients to read.
    :ivar draining: no connection is to outlive an answer that begins from now on.
    :ivar patience: seconds, at most, for which one that rests waits for a request; 0: it closes at once.
    :ivar patient_until: the time until which those of HTTP/2 take requests beside others.
    """

    def __init__(self, clock: Any, schedule: Schedule = immediately) -> None:
        self.clock = clock
        self.schedule = schedule
        self.draining = False
        self.patience = self.patient_until = inf
        self._open: dict[Connection, str] = {}
        self._of_host: Counter[str] = Counter()
        self.admission = Admission(clock.seconds, lambda: self._of_host)
        self.bodies = BodyMemory(clock)
        self.unread = 0
        self._next_look: Any = None

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """Watch over *connection*."""
        host = getattr(connection.transport.getPeer(), "host", None) or ""
        self._open[connection] = host
        self._of_host[host] += 1
        if self._next_look is None:
            self._next_look = self.clock.callLater(TICK, self._look)

    def count_unread(self, size: int) -> None:
        """*size* bytes more of an answer wait for a client to read; fewer, if that is negative."""
        self.unread += size

    def discard(self, connection: Connection) -> None:
        """Forget *connection*."""
        host = self._open.pop(connection, None)
        if host is not None:
            self._of_host[host] -= 1
            if not self._of_host[host]:
                del self._of_host[host]
        if not self._open and self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None

    def drain(self, patience: float = 0.0) -> None:
        """Close the connections that rest, and each of the others after its answer; those to come, too.

        :param patience: seconds that each, as long as its client has not been told that it ends, waits for a request.
        """
        self.draining, self.patience = True, patience
        self.patient_until = self.clock.seconds() + patience
        for connection in list(self._open):
            self._guard(connection.drain)

    @property
    def hears(self) -> bool:
        """Whether, after :meth:`drain`, some may still bring a request, or wait for an answer."""
        return self.draining and not all(connection.closing for connection in self._open)

    @property
    def expects_requests(self) -> bool:
        """Whether one of them has a request on its way."""
        return any(connection.expects_request for connection in self._open)

    def _look(self) -> None:
        # The next look comes first: an error in this one must not end the watch.
        self._next_look = self.clock.callLater(TICK, self._look)
        if self._overdue(self.clock.seconds()):
            # A process that stood still finds the time over before it has read what came in time.
            self.clock.callLater(0, self._tell_overdue)

    def _tell_overdue(self) -> None:
        now = self.clock.seconds()
        for connection in self._overdue(now):
            self._guard(connection.deadline_passed, now)

    def _overdue(self, now: float) -> list[Connection]:
        return [each for each in self._open if each.deadline <= now]

    @staticmethod
    def _guard(do: Callable[..., None], *arguments: Any) -> None:
        """A fault of one connection must not reach the others."""
        try:
            do(*arguments)
        except Exception:
            _log.failure("Looking after a connection failed")


class Progress:
    """Whether a client takes what a transport buffers for it.

    :param transport: of Twisted's reactors, or TLS over one.
    :param now: the time, seconds.
    """

    __slots__ = ("_left", "_moved_at", "_transport")

    def __init__(self, transport: Any, now: float) -> None:
        self._transport = transport
        self._left = _untaken(transport)
        self._moved_at = now

    def idle(self, now: float) -> float:
        """Seconds since this was made or last saw that the client had taken something."""
        left = _untaken(self._transport)
        if left < self._left:
            self._moved_at = now
        self._left = left
        return now - self._moved_at

    def overdue(self, now: float, limits: ServerLimits, *, closing: bool) -> float | None:
        """Seconds since the client has taken something, if those are too many; else None."""
        idle = self.idle(now)
        limit = min(limits.stall_timeout, CLOSE_TIMEOUT) if closing else limits.stall_timeout
        return idle if idle >= limit else None


def stalled(peer: Any, seconds: float) -> Failure:
    """Log that the client at *peer* was given up, as it has read nothing for *seconds*.

    :return: what its request ends with.
    """
    _log.info("Gave up a client that does not read", peer=str(peer), seconds=seconds)
    return Failure(ClientStalled("The client read nothing for stall_timeout."))


def _untaken(transport: Any) -> int:
    """Bytes that the client's side has not acknowledged, as far as is known."""
    left = unsent(transport)
    number = _number(transport)
    if sys.platform == "linux" and number >= 0:
        # A socket asks for more only when a third of what the system buffers for it is free. That can be megabytes,
        # which a slow client takes minutes to read.
        left += int(struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)))[0])
    return left


def peer_left(transport: Any) -> bool:
    """Whether the other side has closed, although nobody reads from *transport*. Told on Linux only."""
    number = _number(transport)
    return number >= 0 and hasattr(select, "POLLRDHUP") and _poll(number, select.POLLRDHUP)


def has_input(transport: Any) -> bool:
    """Whether bytes have come that nobody has read from *transport* yet."""
    number = _number(transport)
    return number >= 0 and readable(number)


def readable(number: int) -> bool:
    """Whether to read from descriptor *number*, or to accept from it, would give something."""
    if hasattr(select, "poll"):
        return _poll(number, select.POLLIN)
    try:  # Windows, where numbers of sockets may be of any size, and Pythons without poll.
        return bool(select.select([number], [], [], 0)[0])
    except (OSError, ValueError):  # Over FD_SETSIZE, or closed meanwhile.
        return False


def _poll(number: int, events: int) -> bool:
    poller = select.poll()
    poller.register(number, events)
    return bool(poller.poll(0))


def _number(transport: Any) -> int:
    """Its descriptor; -1 if it has none, or no longer."""
    return int(transport.fileno()) if hasattr(transport, "fileno") else -1
