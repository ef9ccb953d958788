"""The gate of a process that keeps to the limits of clients together with others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred

from skyproxy.access.budgets.budgets import Budgets
from skyproxy.access.errors import RequestLimitExceeded
from skyproxy.access.gate import Gate
from skyproxy.access.identity import ClientIdentity
from skyproxy.access.limits.client_limits import ClientLimits
from skyproxy.access.limits.lent_limits import LentLimits
from skyproxy.errors import forget

_ANSWER_SECONDS = 5.0
"""Seconds that a request waits for an answer."""


class LentGate(Gate):
    """Lets requests in by the shares that are lent of the limits.

    :param followed: called when the limits of a client may have become others.
    :param changed: called with the limits and one of their kinds when a request waits for more.
    """

    def __init__(
        self,
        clock: Any,
        budgets: Budgets,
        clients: Callable[[], Iterable[ClientIdentity]],
        followed: Callable[[LentLimits], object],
        changed: Callable[[LentLimits, str], object],
    ) -> None:
        super().__init__(budgets, clock.seconds, clients)
        self._clock = clock
        self._followed = followed
        self._changed = changed

    def more(self, client: ClientIdentity | None, refused: RequestLimitExceeded) -> Deferred[bool]:
        limits = None if client is None else self.limits_of(client)
        if refused.lacks is None or not isinstance(limits, LentLimits):
            raise refused
        kind, amount = refused.lacks
        forget(refused)
        limits.refused[kind] -= 1
        place = limits.wait(kind, amount)
        self._changed(limits, kind)
        return place.addTimeout(_ANSWER_SECONDS, self._clock, lambda _, __: False)

    def asking(self) -> set[str]:
        """The clients that have asked for anything in the last minute."""
        return {name for name, (limits, _) in self._clients.items() if not limits.is_idle(self.second)}

    def _made(self, client: ClientIdentity) -> ClientLimits:
        return LentLimits(client.name, client.limits, self._followed)
