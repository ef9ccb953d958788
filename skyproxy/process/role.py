"""What a process does by itself, and what it leaves to others that serve together with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from skyproxy.access.budgets.budgets import Budgets
from skyproxy.access.gate import Gate
from skyproxy.access.identity import ClientIdentity
from skyproxy.cache.flights import Flights
from skyproxy.cache.store import Store
from skyproxy.config import Config
from skyproxy.http import Connections
from skyproxy.http.loop.batches import Schedule
from skyproxy.log.live_lines import LiveLines
from skyproxy.pipeline.changes import Change
from skyproxy.pipeline.coalescing import Coalescing
from skyproxy.pipeline.context import RequestContext
from skyproxy.process.endpoints import Endpoints, ListenOptions
from skyproxy.telemetry.requests.ring import RequestRing
from skyproxy.telemetry.statistics import Statistics
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.web.figures import Sources
from skyproxy.web.logins import Logins
from skyproxy.web.session import Sessions
from skyproxy.web.site import ApiSite
from skyproxy.web.snapshots import Observed

if TYPE_CHECKING:
    from skyproxy.process.notices.hearsay import Hearsay
    from skyproxy.shares.parts import Parts
    from skyproxy.shares.use import Use
    from skyproxy.upstream.guards.findings import Teller


class Role:
    """The role of a process that does everything itself. Each method makes one of its parts, or has a part changed
    that was made.

    :ivar providers: gives those that serve.
    :cvar is_machine: whether it meets other machines with which limits are shared; a part of one does not.
    :cvar lends_for: seconds that others, to whom it lends its share, may take to give some of it back.
    """

    providers: Callable[[], Mapping[str, Provider]] = dict
    is_machine = True
    lends_for = 0.0

    def part(self, whole: int) -> int:
        """What it may use of a limit that is not lent."""
        return whole

    def limiter(self, provider: str) -> Callable[..., Limiter]:
        """What makes the limiter of a provider."""
        return Limiter

    def uses(self, provider: Provider) -> Mapping[str, Use]:
        """What uses the limits of *provider* where they are shared with other machines, by the limit's name."""
        return {}

    @property
    def spenders(self) -> int:
        """Processes of it that serve."""
        return 1

    @property
    def has_heard(self) -> bool:
        """Whether the file of budgets has, from the start on, what other machines have spent."""
        return False

    def spent_elsewhere(self) -> None:
        """Other machines have spent something of budgets, which stands in the file."""

    def share_clients(self, parts: Parts) -> None:
        """Keep to *parts* of the limits of clients."""

    def gate(self, clock: Any, budgets: Budgets, clients: Callable[[], Iterable[ClientIdentity]]) -> Gate:
        """What keeps clients to their limits."""
        return Gate(budgets, clock.seconds, clients)

    def coalescing(self, reactor: Any, stores: Mapping[str, Store], counts: MutableMapping[str, int]) -> Coalescing:
        """What has requests share answers."""
        return Coalescing(stores, Flights(reactor.seconds), counts)

    def ring(self) -> RequestRing:
        """Where requests that are over are kept."""
        return RequestRing()

    def statistics(self, clock: Any) -> Statistics:
        """Where they are counted."""
        return Statistics(clock)

    def provider(self, make: Callable[[Teller | None], Provider]) -> Provider:
        """One provider.

        :param make: told what takes that which its guards find out; None: nobody else wants to know.
        """
        return make(None)

    def hearsay(self, clock: Any, origin: int) -> Hearsay:
        """What passes on between its guards and those of other machines.

        :param origin: distinguishes this machine, and up to a thousand workers of it, from all others.
        """
        from skyproxy.process.notices.hearsay import OwnHearsay

        return OwnHearsay(clock, origin)

    def built(self, config: Config, changes: tuple[Change, ...]) -> None:
        """*config*, with *changes* by hand, serves from now on."""

    def clients_changed(self) -> Deferred[int]:
        """The file of clients has changed. Fires with the number of requests that were ended elsewhere by that."""
        return succeed(0)

    def sources(self, sources: Sources) -> Sources:
        """Where figures come from."""
        return sources

    def observed(self, observed: Observed) -> Observed:
        """What people see."""
        return observed

    def purge(self, own: Callable[[], None]) -> Callable[[], None]:
        """What forgets the answers that are kept."""
        return own

    def under_way(self, own: Callable[[], Collection[RequestContext]]) -> Callable[[], Collection[RequestContext]]:
        """What gives the requests that are not over."""
        return own

    def site(self, site: ApiSite, app: Any) -> ApiSite:
        """What is served where the process listens."""
        return site

    def admin_site(self, site: ApiSite, app: Any) -> ApiSite:
        """What is served at the admin socket."""
        return site

    def sessions(self) -> Sessions:
        """Those of pages."""
        return Sessions()

    def logins(self, now: Callable[[], float]) -> Logins:
        """Who has typed the admin key on the page."""
        return Logins(now)

    def connections(self, clock: Any, schedule: Schedule) -> Connections:
        """What watches over the connections of clients."""
        return Connections(clock, schedule)

    def lines(self, lines: LiveLines) -> LiveLines:
        """The log as it comes."""
        return lines

    def endpoints(self, options: ListenOptions) -> Endpoints:
        """What listens."""
        return Endpoints(options)


ALONE = Role()
