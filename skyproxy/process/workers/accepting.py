"""The parent's side of listening: it accepts connections, and passes them to workers."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.internet.interfaces import IListeningPort

from skyproxy.process.certificates import kept_of
from skyproxy.process.endpoints import Endpoints, ListenOptions
from skyproxy.process.stopping import take_all

AT_ONCE = 64
"""Connections that are accepted in one turn of the reactor."""

REST_SECONDS = 0.05
"""For which a port is left alone that can accept nobody now."""


class PassingEndpoints(Endpoints):
    """Passes each connection on, with the number of its endpoint.

    :param reactor: the ports are its own, and no client speaks with this process.
    :param give: takes a descriptor.
    :param may_give: whether it can pass it on now. Where it cannot, connections stay in the queue of the system, where
        another process finds them, until it calls what *when_eased* was given.
    :ivar kept: what files of endpoints hold, see :func:`~skyproxy.process.certificates.kept_of`.
    """

    def __init__(
        self,
        options: ListenOptions,
        reactor: Any,
        give: Callable[[int, int], object],
        may_give: Callable[[], bool],
        when_eased: Callable[[Callable[[], None]], None],
    ) -> None:
        super().__init__(replace(options, network=reactor))
        self._give = give
        self._may_give = may_give
        self._when_eased = when_eased
        self.kept: dict[str, bytes] = {}

    def addresses(self) -> tuple[Any, ...]:
        """That were bound."""
        return tuple(port.getHost() for port in self._ports)

    async def close(self) -> None:
        """Pass on those who wait, and listen no more. A socket of systemd's keeps its queue for the next process."""
        if self._paused:
            self.let_go()
            return
        if self._ports:
            self._last = self.address()
        for tag, (endpoint, port) in enumerate(zip(self.bound, self._ports, strict=True)):
            if not endpoint.startswith("systemd:"):
                _pass_last(port, partial(self._give, tag))
        ports: list[IListeningPort] = self._ports
        await take_all([("close a port", port.stopListening) for port in ports])

    def _prepare(self, endpoint: str, port: Any) -> None:
        tag = len(self.bound)
        self.bound.append(endpoint)
        self.kept |= kept_of(endpoint)
        port.doRead = lambda: self._accept(port, tag)

    def _accept(self, port: Any, tag: int) -> None:
        for _ in range(AT_ONCE):
            if not self._may_give():
                port.stopReading()
                self._when_eased(lambda: _read_on(port))
                return
            try:
                taken, _ = port.socket.accept()
            except BlockingIOError:
                return
            except ConnectionError:  # the client has left already
                continue
            except OSError:  # there are no more descriptors
                self._rest(port)
                return
            self._give(tag, taken.detach())

    def _rest(self, port: Any) -> None:
        port.stopReading()
        self._options.network.callLater(REST_SECONDS, _read_on, port)


def _read_on(port: Any) -> None:
    if port.connected and not port.disconnecting:
        port.startReading()


def _pass_last(port: Any, give: Callable[[int], object]) -> None:
    # From here on Linux lets nobody in while somebody waits.
    listening: socket.socket = port.socket
    with suppress(OSError):
        listening.listen(0)
    with suppress(OSError):
        while True:
            taken, _ = listening.accept()
            give(taken.detach())
