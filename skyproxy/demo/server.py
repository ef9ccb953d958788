"""The demo server, to be started within a process."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.web.http import Request
from twisted.web.server import Site

from skyproxy.demo.admission import Admission
from skyproxy.demo.api import Api
from skyproxy.demo.connections import Connections
from skyproxy.demo.ledger import Ledger

_ABORT_LIMIT = 2.0
"""Seconds for the connections to be gone after they were aborted."""


_QUEUE = 1024
"""Clients that may connect at once. Who finds no room tries again a second later."""


class Demo:
    """An OpenAI-compatible provider without a model.

    :param reactor: to listen and to wait with.
    :param listen: a ``tcp:`` or ``ssl:`` endpoint, as Twisted describes them.
    :param control: serve /control, which tells what reached the server; requests are then kept.
    :param concurrency: requests at once; more are answered by 429.
    :param rate: requests per second, over zero; more are answered by 429.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        listen: str = "tcp:0:interface=127.0.0.1",
        control: bool = False,
        concurrency: int | None = None,
        rate: float | None = None,
    ) -> None:
        self._reactor = reactor
        self._listen = listen
        self._port: IListeningPort | None = None
        ledger = Ledger(time.monotonic, keep=control)
        self._connections = Connections(ledger)
        admission = Admission(reactor, concurrency, rate)
        api = Api(reactor, ledger, self._connections, admission, control=control)
        self._site = _QuietSite(self._connections, api, reactor)

    def start(self) -> Deferred[None]:
        """Listen.

        :return: fires at once for the endpoints above; fails if they are not understood, or cannot be had.
        """
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        bounded = "backlog=" in self._listen or self._listen.startswith("unix:")
        listen = self._listen if bounded else f"{self._listen}:backlog={_QUEUE}"
        endpoint: Any = serverFromString(self._reactor, listen)
        self._port = await endpoint.listen(self._site)

    def stop(self) -> Deferred[None]:
        """Stop listening, and abort what is open.

        :return: fires within two seconds.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        port, self._port = self._port, None
        if port is None:
            return
        await maybeDeferred(port.stopListening)
        await self._connections.abort_all(self._reactor, _ABORT_LIMIT)

    @property
    def base_url(self) -> str:
        """Where its API is, once it listens.

        :raise RuntimeError: it does not listen.
        """
        if self._port is None:
            raise RuntimeError("The demo server does not listen.")
        address: Any = self._port.getHost()
        scheme = "https" if self._listen.startswith("ssl:") else "http"
        host = "127.0.0.1" if address.host in ("0.0.0.0", "") else address.host
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{address.port}/v1"


class _QuietSite(Site):
    """Counts connections, parses no forms by itself, and logs no line per request."""

    def __init__(self, connections: Connections, api: Api, reactor: Any) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            api, reactor=reactor, parsePOSTFormSubmission=False
        )
        self._connections = connections

    def buildProtocol(self, addr: Any) -> Any:
        channel = super().buildProtocol(addr)  # type: ignore[no-untyped-call]
        return self._connections.new_protocol(channel)

    def log(self, request: Request) -> None:
        """Nothing: /control tells more."""
