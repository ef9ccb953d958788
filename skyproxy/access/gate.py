"""Lets requests in, or refuses them, by the limits and budgets that they count to."""

from __future__ import annotations

from collections.abc import Callable, Collection

from skyproxy.access.budgets.budgets import Budgets
from skyproxy.access.budgets.charge import Charge, Spending
from skyproxy.access.identity import UNLIMITED, ClientIdentity
from skyproxy.access.limits.client_limits import ClientLimits
from skyproxy.access.most import Most
from skyproxy.telemetry.prices.prices import Cost

_MOST_CLIENTS = 10_000
"""Clients whose requests of the last minute are remembered."""


class Admission:
    """What one request has taken of limits and budgets.

    :ivar charge: what it may cost; None: it counts to no budget.
    :ivar fields: header fields that tell its client of the limits.
    """

    __slots__ = ("_counted", "_limits", "_second", "charge", "fields")

    def __init__(self, limits: ClientLimits | None, second: int, counted: int, charge: Charge | None) -> None:
        self._limits = limits
        self._second = second
        self._counted = counted
        self.charge = charge
        self.fields = [] if limits is None else limits.fields()

    def leave(self) -> None:
        """The client has its answer, or has left."""
        if self._limits is not None:
            self._limits.leave()

    def settle(self, tokens: int | None, cost_of: Callable[[Spending], Cost]) -> None:
        """The request is over, whoever waited for it.

        :param tokens: that it has taken; None: nobody knows, so that it counts as estimated.
        :param cost_of: see :meth:`Charge.settle <skyproxy.access.budgets.charge.Charge.settle>`.
        """
        if self._limits is not None and tokens is not None:
            self._limits.settle(self._second, self._counted, tokens)
        if self.charge is not None:
            self.charge.settle(cost_of)


class Gate:
    """Knows the limits of clients, and all budgets.

    :param seconds: the time, on a clock that nobody sets.
    """

    def __init__(self, budgets: Budgets, seconds: Callable[[], float]) -> None:
        self.budgets = budgets
        self._seconds = seconds
        self._clients: dict[str, tuple[ClientLimits, ClientIdentity]] = {}

    def admit(self, client: ClientIdentity | None, slot: str | None, most: Callable[[], Most]) -> Admission | None:
        """Let a request in. None: it counts to no limit and no budget.

        :param slot: that it is for.
        :param most: what it may take.
        :raise RequestLimitExceeded: its client asks too often, or for too much at once.
        :raise TokenLimitExceeded: its client uses too much.
        """
        charge = self.budgets.charge(client, slot)
        if client is None or client.limits is UNLIMITED or client.limits == UNLIMITED:
            return None if charge is None else Admission(None, 0, 0, charge)
        limits, second = self._limits_of(client), int(self._seconds())
        counted = limits.enter(second, most())
        return Admission(limits, second, counted, charge)

    def limits(self) -> Collection[ClientLimits]:
        """Of the clients that have any, and have asked."""
        return [limits for limits, _ in self._clients.values()]

    def _limits_of(self, client: ClientIdentity) -> ClientLimits:
        known = self._clients.get(client.name)
        if known is not None and known[1] is client:
            return known[0]
        if known is not None:
            limits = known[0]
            limits.follow(client.limits)
        else:
            if len(self._clients) >= _MOST_CLIENTS:
                self._forget()
            limits = ClientLimits(client.name, client.limits)
        self._clients[client.name] = limits, client
        return limits

    def _forget(self) -> None:
        """Let go of clients that have asked for nothing in the last minute."""
        now = int(self._seconds())
        self._clients = {name: each for name, each in self._clients.items() if not each[0].is_idle(now)}
