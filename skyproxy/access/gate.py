"""Lets requests in, or refuses them, by the limits of their clients; and knows the budgets that they count to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from twisted.internet.defer import Deferred

from skyproxy.access.budgets.account import Account
from skyproxy.access.budgets.budgets import Budgets
from skyproxy.access.errors import RequestLimitExceeded
from skyproxy.access.identity import UNLIMITED, ClientIdentity
from skyproxy.access.limits.client_limits import ClientLimits
from skyproxy.telemetry.usage import Tokens

_MOST_CLIENTS = 10_000
"""Clients whose requests of the last minute are remembered."""

_MOST_WAITS = 12
"""Times that a request waits for more, before it is refused in any case: there are three limits that it may lack."""


class Place:
    """What one request has taken of its client's limits.

    :param second: that it came in.
    :param counted: the tokens that it counts as.
    :ivar fields: header fields that tell its client of the limits.
    """

    __slots__ = ("_counted", "_limits", "_second", "fields")

    def __init__(self, limits: ClientLimits, second: int, counted: int) -> None:
        self._limits = limits
        self._second = second
        self._counted = counted
        self.fields = limits.fields()

    def leave(self) -> None:
        """The client has its answer, or has left."""
        self._limits.leave()

    def settle(self, tokens: int | None) -> None:
        """The request is over, whoever waited for it.

        :param tokens: that it has taken; None: nobody knows, so that it counts as estimated.
        """
        if tokens is not None:
            self._limits.settle(self._second, self._counted, tokens)


class Gate:
    """Knows the limits of clients, and all budgets.

    :param seconds: the time, on a clock that nobody sets.
    :param clients: gives those who may ask.
    """

    def __init__(
        self,
        budgets: Budgets,
        seconds: Callable[[], float],
        clients: Callable[[], Iterable[ClientIdentity]] = lambda: (),
    ) -> None:
        self.budgets = budgets
        self._seconds = seconds
        self._all_clients = clients
        self._clients: dict[str, tuple[ClientLimits, ClientIdentity]] = {}

    def enter(self, client: ClientIdentity, most: Callable[[], Tokens]) -> Place | None:
        """Let a request of *client* in. None: it has no limits.

        :param most: what it may take.
        :raise RequestLimitExceeded: the client asks too often, or for too much at once.
        :raise TokenLimitExceeded: it uses too much.
        """
        if client.limits is UNLIMITED or client.limits == UNLIMITED:
            return None
        limits, second = self.limits_of(client), self.second
        return Place(limits, second, limits.enter(second, most(), self.budgets.catch_up))

    async def enter_later(
        self, client: ClientIdentity | None, enter: Callable[[], None], refused: RequestLimitExceeded
    ) -> None:
        """Have *enter*, which was *refused*, called again when there is more of what it lacked. Then it may lack
        something else, and while it waits for that others may take what was there.

        :raise RequestLimitExceeded: there is not enough elsewhere, either.
        """
        for _ in range(_MOST_WAITS):
            is_there = await self.more(client, refused)
            try:
                return enter()
            except RequestLimitExceeded as again:
                if not is_there and again.lacks == refused.lacks:
                    raise
                refused = again
        raise refused

    def more(self, client: ClientIdentity | None, refused: RequestLimitExceeded) -> Deferred[bool]:
        """Get more of what a request of *client* was *refused* for.

        :return: fires when it is to try again, with whether it is there.
        :raise RequestLimitExceeded: *refused*: there is nothing elsewhere.
        """
        raise refused

    @property
    def second(self) -> int:
        """The time, as the limits have it."""
        return int(self._seconds())

    def accounts(self) -> Iterator[Account]:
        """All budgets, those too of clients that have not asked yet."""
        for each in self._all_clients():
            self.budgets.know(each)
        return self.budgets.accounts()

    def limits(self) -> Collection[ClientLimits]:
        """Of the clients that have any, and have asked."""
        return [limits for limits, _ in self._clients.values()]

    def limits_of(self, client: ClientIdentity) -> ClientLimits:
        """Those of *client*."""
        known = self._clients.get(client.name)
        if known is not None and known[1] is client:
            return known[0]
        if known is not None:
            limits = known[0]
            limits.follow(client.limits)
        else:
            if len(self._clients) >= _MOST_CLIENTS:
                self._forget()
            limits = self._made(client)
        self._clients[client.name] = limits, client
        return limits

    def _made(self, client: ClientIdentity) -> ClientLimits:
        return ClientLimits(client.name, client.limits)

    def _forget(self) -> None:
        """Let go of clients that have asked for nothing in the last minute."""
        now = self.second
        self._clients = {name: each for name, each in self._clients.items() if not each[0].is_idle(now)}
