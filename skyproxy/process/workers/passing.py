"""Descriptors of connections, passed between two processes over a UNIX socket (SCM_RIGHTS, unix(7)).

Each goes with one byte, which tells what it is, and is read with that byte alone: so no two are ever mixed up, and what
was not read by a process that ended can be read by the other one, which has kept a duplicate of that end.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

AT_ONCE = 32
"""Descriptors that are read in one turn of the reactor."""

_FULL = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.ETOOMANYREFS})
_BYTE_BUFFER = 1 << 20


class Passed(NamedTuple):
    """What has come.

    :ivar tag: the byte that came with it.
    :ivar descriptor: owned by who takes it.
    """

    tag: int
    descriptor: int


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends, which do not block."""
    ends = socket.socketpair()
    for each in ends:
        each.setblocking(False)
        with suppress(OSError):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BYTE_BUFFER)
    return ends


def send(end: socket.socket, tag: int, descriptor: int) -> bool:
    """Send *descriptor*, which stays open here.

    :return: False: the other side has to read first.
    :raise OSError: the other side is gone.
    """
    try:
        return bool(socket.send_fds(end, [bytes((tag,))], [descriptor]))
    except OSError as error:
        if error.errno in _FULL:
            return False
        raise


def receive(end: socket.socket) -> Passed | None:
    """The next descriptor; None: there is none now.

    :raise EOFError: there will be none, for the other side is gone.
    :raise OSError: this process can have no more descriptors, so that one was lost.
    """
    try:
        data, descriptors, _, _ = socket.recv_fds(end, 1, 1)
    except BlockingIOError:
        return None
    except ConnectionError as error:
        raise EOFError from error
    if not data:
        raise EOFError
    if not descriptors:
        raise OSError(errno.EMFILE, "a connection could not be taken: too many open files")
    os.set_inheritable(descriptors[0], False)
    return Passed(data[0], descriptors[0])


def left_in(end: socket.socket) -> Iterator[Passed]:
    """All that waits at *end*, whoever should have read it."""
    while True:
        try:
            passed = receive(end)
        except (EOFError, OSError):
            return
        if passed is None:
            return
        yield passed


@implementer(IReadWriteDescriptor)
class Passage:
    """One end, in a reactor.

    :param take: called with each descriptor that comes.
    :param may_take: whether another one may be read now; asked before each.
    :param lost: called when the other side is gone.
    """

    def __init__(
        self,
        reactor: Any,
        end: socket.socket,
        take: Callable[[Passed], None],
        may_take: Callable[[], bool] = lambda: True,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._reactor = reactor
        self._end = end
        self._take = take
        self._may_take = may_take
        self._lost = lost
        self._unsent: deque[tuple[int, int]] = deque()
        self._resting: Any = None
        self._closed = False
        reactor.addReader(self)

    @property
    def unsent(self) -> int:
        """Descriptors that wait for the other side to read."""
        return len(self._unsent)

    def send(self, tag: int, descriptor: int) -> None:
        """Send *descriptor*, and close it here."""
        if self._closed:
            os.close(descriptor)
            return
        if not self._unsent:
            try:
                if send(self._end, tag, descriptor):
                    os.close(descriptor)
                    return
            except OSError:
                os.close(descriptor)
                return
        self._unsent.append((tag, descriptor))
        self._reactor.addWriter(self)

    def take_all(self) -> None:
        """Take what waits now, however much."""
        for passed in left_in(self._end):
            self._take(passed)

    def withdraw(self) -> list[Passed]:
        """What could not be sent yet; it is not sent any more."""
        unsent = [Passed(*each) for each in self._unsent]
        self._unsent.clear()
        return unsent

    def close(self) -> None:
        """Use it no more. The end stays open."""
        if not self._closed:
            self._closed = True
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            if self._resting is not None:
                self._resting.cancel()
                self._resting = None

    # As a descriptor of the reactor.

    def fileno(self) -> int:
        return self._end.fileno()

    def logPrefix(self) -> str:
        return "passage"

    def doRead(self) -> None:
        """Take some of what waits."""
        for _ in range(AT_ONCE):
            if self._closed:
                return
            if not self._may_take():
                self._rest()
                return
            try:
                passed = receive(self._end)
            except EOFError:
                self.close()
                self._lost()
                return
            except OSError:
                self._rest()
                return
            if passed is None:
                return
            self._take(passed)

    def doWrite(self) -> None:
        """Send what waits."""
        while self._unsent:
            tag, descriptor = self._unsent[0]
            try:
                if not send(self._end, tag, descriptor):
                    return
            except OSError:
                break  # who sees to the process takes it back
            self._unsent.popleft()
            os.close(descriptor)
        self._reactor.removeWriter(self)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops, or found the end closed."""
        self.close()

    def _rest(self) -> None:
        self._reactor.removeReader(self)
        self._resting = self._reactor.callLater(0.05, self._go_on)

    def _go_on(self) -> None:
        self._resting = None
        self._reactor.addReader(self)
