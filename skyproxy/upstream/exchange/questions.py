"""Short questions to a server about itself, beside the requests of clients."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from skyproxy.errors import UpstreamUnusable
from skyproxy.http.common.headers import Fields, by_name
from skyproxy.upstream.exchange.exchange import Exchange
from skyproxy.upstream.exchange.failures import map_failure
from skyproxy.upstream.exchange.treq_client import ProviderClient, raw_of
from skyproxy.util.timers import Timers


class ServerReply(NamedTuple):
    """One answer.

    :ivar value: its JSON; None if it is none, or an error.
    :ivar server: its header of that name.
    """

    status: int
    value: Any
    server: str


class Questions:
    """Asks one server.

    :param provider: its name, for messages.
    :param seconds: that an answer may take to begin, and then again to go on.
    :param max_bytes: of an answer.
    """

    def __init__(self, client: ProviderClient, timers: Timers, provider: str, seconds: float, max_bytes: int) -> None:
        self._client = client
        self._timers = timers
        self._provider = provider
        self._seconds = seconds
        self._max_bytes = max_bytes

    async def get(self, url: str, headers: Fields) -> ServerReply:
        """Ask for *url*, of the server's own origin.

        :raise UpstreamError: there is no answer, or one that is too long.
        """
        pending = self._client.get(url, headers)
        exchange = Exchange(self._timers, self._provider, self._seconds, self._seconds, pending)
        try:
            response = raw_of(await pending)
        except Exception as error:
            exchange.cancel()
            raise (exchange.expired or map_failure(error, self._provider, self._seconds)) from None
        data = response.whole
        if data is None:
            data = await self._read(exchange, response)
        else:
            exchange.cancel()
        server = by_name(response.raw_headers).last.get(b"server", b"")
        return ServerReply(response.code, _value(data) if response.code == 200 else None, server.decode("latin-1"))

    async def _read(self, exchange: Exchange, response: Any) -> bytes:
        body, size = exchange.body_of(response), 0

        def enough(read: bytes) -> bool:
            nonlocal size
            size += len(read)
            return size > self._max_bytes

        try:
            await body.first(enough)
            if size > self._max_bytes:
                raise UpstreamUnusable("What the server tells of itself is too long.")
            return body.kept()
        finally:
            exchange.cancel()
            body.abort()


def _value(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        return None
