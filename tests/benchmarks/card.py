"""What Klein, treq and the pool alone cost on skyproxy's wire: a fixture to compare with, no proxy for use.

``python -m tests.benchmarks.card PORT UPSTREAM`` stands between two ports of loopback: a Klein app of one route, treq's
HTTPClient on an HTTPConnectionPool, a DeferredSemaphore, JSON read and written anew both ways. There are no queue with
limits, no breaker, no retries, no timers, no records, no log and no figures.
"""

from __future__ import annotations

import sys
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred, DeferredSemaphore

from skyproxy.http import Connections, ServerLimits, Wire
from skyproxy.http.client.agent import Origin, OriginAgent, endpoint_of
from skyproxy.http.client.pool import ConnectionPool
from skyproxy.http.loop.batches import BatchScheduler, Schedule, immediately
from skyproxy.http.loop.read_turns import fair_reads
from skyproxy.upstream.exchange.treq_client import ProviderClient, raw_of
from skyproxy.web.client import client_of
from skyproxy.web.request import ApiRequest
from skyproxy.web.site import ApiSite, build_site
from tests.benchmarks.bare import BACKLOG, spare_the_collector
from tests.benchmarks.traffic import PATH, PERMITS, renamed

_JSON = ((b"Content-Type", b"application/json"),)
_LARGEST = 2**20


class Card:
    """The app.

    :param reactor: IReactorTime.
    :param network: makes the connections; IReactorTCP.
    :param upstream: a port of loopback.
    :param schedule: that of the scheduler which all connections share.
    """

    app = Klein()

    def __init__(self, reactor: Any, network: Any, upstream: int, wire: Wire, schedule: Schedule) -> None:
        origin = Origin(f"http://127.0.0.1:{upstream}")
        pool = ConnectionPool(
            reactor,
            lambda quiescent: wire.client(quiescent, schedule),
            max_connections=2 * PERMITS,
            keep_alive=60,
            keep_alive_max=60,
        )
        agent = OriginAgent(origin, endpoint_of(origin, network, 10, None), pool)
        fixed = ((b"Host", origin.authority.encode()), (b"Accept-Encoding", b"identity"))
        self._client = ProviderClient(f"http://{origin.authority}", fixed, agent, pool, reactor)
        self._permits = DeferredSemaphore(PERMITS)
        self._seconds = reactor.seconds

    @app.route(PATH, methods=["POST"])
    def chat(self, request: ApiRequest) -> Deferred[None]:
        """Have the upstream answer."""
        return Deferred.fromCoroutine(self._chat(request))

    async def _chat(self, request: ApiRequest) -> None:
        body = renamed(request.plain_body(_LARGEST), "guard")
        await self._permits.acquire()
        try:
            response = raw_of(await self._client.post(PATH, _JSON, body))
            # Whole, as long as the upstream answers at once.
            answer = renamed(response.whole or b"{}", "default")
        finally:
            self._permits.release()
        client_of(request, [], self._seconds).answer(response.code, _JSON, answer)


def card_site(reactor: Any, upstream: int, network: Any = None, schedule: Schedule = immediately) -> ApiSite:
    """The site of the app, on skyproxy's wire."""
    wire = Wire()
    card = Card(reactor, network or reactor, upstream, wire, schedule)
    return build_site(card.app, reactor, wire, ServerLimits(), Connections(reactor, schedule))


def main(port: int, upstream: int) -> None:
    """Serve until the process ends."""
    from twisted.internet import reactor as running

    reactor: Any = running
    scheduler = BatchScheduler(reactor)
    site = card_site(reactor, upstream, fair_reads(reactor, scheduler), scheduler.schedule)
    fair_reads(reactor, scheduler).listenTCP(port, site, BACKLOG, "127.0.0.1")
    spare_the_collector()
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
