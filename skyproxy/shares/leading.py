"""What a machine does while it leads: it answers reports, several at once, and sees who has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skyproxy.clock import Clock
from skyproxy.shares.leader import Leader
from skyproxy.shares.messages import Grant
from skyproxy.shares.store import Store
from skyproxy.shares.wire import MachineGrants, report_of

_SOON = 0.005
"""Seconds for which a report waits for others."""
_GAP = 0.02
"""Seconds between two sendings, at least."""
_REST = 5.0
"""Times as long as it took to divide, until it is done again: many limits of many machines leave time for requests."""


class Leading:
    """Sends the grants of *leader* by *store*.

    What only renews a lease waits for the next :meth:`beat`; another share goes at once.

    :param lost: called when it is found that this machine does not lead any more.
    :ivar until: when it does not any more, if the store does not say so again.
    """

    def __init__(self, clock: Clock, store: Store, leader: Leader, lost: Callable[[], None]) -> None:
        self._clock = clock
        self._store = store
        self._leader = leader
        self._lost = lost
        self._waiting: dict[str, dict[str, Grant]] = {}
        self._sent_at = -_GAP
        self._rests_until = 0.0
        self._call: Any = None
        self._over = False
        self.until = clock.seconds()

    def heard(self, message: bytes) -> None:
        """Take a report."""
        report = report_of(message)
        now = self._clock.seconds()
        if report is None or self._over or now >= self.until:
            return
        self._leader.hear(report, now)
        if self._call is None:
            at = max(now + _SOON, self._sent_at + _GAP, self._rests_until)
            self._call = self._clock.callLater(at - now, self._answer)

    def beat(self) -> None:
        """Divide everything anew, and renew all leases."""
        silent = self._leader.silent(self._clock.seconds())
        if silent:
            self._store.absent(silent, self._forget)
        self._decide(every=True)
        self._send()

    def stop(self) -> None:
        """Lead no longer."""
        self._over = True
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _answer(self) -> None:
        self._call = None
        if self._decide(every=False):
            self._send()

    def _decide(self, *, every: bool) -> bool:
        """Whether there is a share to be told at once."""
        began = self._clock.seconds()
        found, news = self._leader.grants(began, every=every)
        now = self._clock.seconds()
        self._rests_until = now + _REST * (now - began)
        for machine, grants in found.items():
            self._waiting.setdefault(machine, {}).update(grants)
        return news

    def _send(self) -> None:
        if not self._waiting or self._clock.seconds() >= self.until:
            return
        waiting, self._waiting = self._waiting, {}
        self._sent_at = self._clock.seconds()
        name, count = self._leader.name, self._leader.told_machines
        messages = {machine: MachineGrants(name, count, grants).encoded() for machine, grants in waiting.items()}
        self._store.send(messages, self._sent)

    def _sent(self, led: bool) -> None:
        if not led and not self._over:
            self._lost()

    def _forget(self, absent: list[str]) -> None:
        silent = set(self._leader.silent(self._clock.seconds()))
        for machine in absent:
            if machine in silent and not self._over:
                self._leader.forget(machine)
