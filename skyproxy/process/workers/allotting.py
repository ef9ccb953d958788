"""The parent's side of limits that all workers keep to together: it says how much of each a worker may use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from skyproxy.process.workers import messages
from skyproxy.process.workers.marks import MARK
from skyproxy.process.workers.messages import Key
from skyproxy.process.workers.permits import BACKGROUND, PERMITS
from skyproxy.shares.allotter import Allotter
from skyproxy.shares.messages import Grant

LEASE_SECONDS = 2.0
"""Seconds after which a worker that is not heard has no more than its even part of a limit."""

TURN_SECONDS = 0.015
"""Seconds for which units stay with a worker that uses them where another one has none at all."""

RENEW_SECONDS = 0.2
"""Seconds between two messages of a worker that renew its leases."""

LOOK_SECONDS = 0.5
"""Seconds between two looks for workers that are not heard."""

Limits = Callable[[Key, int], int | None]
"""Tells a limit, given what the worker takes it to be; None: there is no such limit."""

_NO_ANSWER = messages.Granted(None, 0.0, False, ())


class Allotting:
    """Allots the limits.

    :param clock: has ``seconds`` and ``callLater``.
    :param limits: tells what they are now.
    :param tell: tells the worker of this number something.
    :param hope: gives units that there may soon be of a limit, for those that wait for an answer.
    """

    def __init__(
        self,
        clock: Any,
        limits: Limits,
        tell: Callable[[int, Any], None],
        hope: Callable[[Key], int] = lambda key: 0,
    ) -> None:
        self._clock = clock
        self._limits = limits
        self._tell = tell
        self._hope = hope
        self._wholes: dict[Key, int] = {}
        self._allotters: dict[Key, Allotter] = {}
        self._told: dict[tuple[Key, int], int] = {}
        self._changed: dict[Key, None] = {}
        self._soon: Any = None
        self._turns: dict[Key, None] = {}
        self._turn: Any = None
        self._look: Any = None
        self._heard: dict[int, float] = {}
        self._renewed: dict[int, float] = {}
        self._unanswered: dict[int, messages.Granted] = {}
        """The answers, without grants, of those that wait for one."""

    def heard(self, worker: int, claims: messages.Claims) -> None:
        """A worker is here, and wants something."""
        now, name = self._clock.seconds(), str(worker)
        self._heard[worker] = now
        for key in claims.left:
            self._leave(key, worker)
        for key, told, report in claims.reports:
            allotter = self._allotters.get(key)
            # What a worker has said before is no news, when another one knows better.
            if allotter is None or self._told.get((key, worker)) != told:
                self._wholes[key] = told
            limit = self._limits(key, self._wholes[key])
            if limit is None:
                if allotter is None:
                    del self._wholes[key]
                continue
            self._told[key, worker] = told
            if allotter is None:
                allotter = self._allotters[key] = Allotter(
                    limit,
                    LEASE_SECONDS,
                    float("inf"),
                    turn=TURN_SECONDS,
                    least=0,
                    tells_scarcity=True,
                    asks=key[0] not in (PERMITS, BACKGROUND, MARK),
                )
                allotter.hope = partial(self._hope, key)
            allotter.limit = limit
            allotter.report(report._replace(member=name), now)
            self._changed[key] = None
        answer = messages.Granted(claims.sent, 0.0, False, ())
        if worker not in self._renewed or now - self._renewed[worker] >= RENEW_SECONDS:
            self._renewed[worker] = now
            again = not all([each.renew(name, now) for each in self._allotters.values()])
            self._unanswered[worker] = answer._replace(lease=LEASE_SECONDS, again=again)
        else:
            self._unanswered.setdefault(worker, answer)
        self._divide_soon()
        if self._look is None:
            self._look = self._clock.callLater(LOOK_SECONDS, self._look_for_lost)

    def whole(self, key: Key) -> int:
        """A limit, as workers have told it; 0: none uses it."""
        return self._wholes.get(key, 0) if key in self._allotters else 0

    def outstanding(self, key: Key) -> int:
        """Units of a limit that workers may use."""
        allotter = self._allotters.get(key)
        return 0 if allotter is None else allotter.outstanding

    def wanted(self, key: Key) -> tuple[int, int]:
        """Units that they want, as :attr:`Allotter.wanted` has them."""
        allotter = self._allotters.get(key)
        return (0, 0) if allotter is None else allotter.wanted

    def left(self, worker: int) -> None:
        """A worker has ended: what it had is for others at once."""
        self._heard.pop(worker, None)
        self._renewed.pop(worker, None)
        self._unanswered.pop(worker, None)
        for key in list(self._allotters):
            self._leave(key, worker)
        self.renew()

    def _leave(self, key: Key, worker: int) -> None:
        self._told.pop((key, worker), None)
        allotter = self._allotters.get(key)
        if allotter is not None:
            allotter.leave(str(worker))
            self._changed[key] = None
            if not allotter.members:
                del self._allotters[key]
                del self._wholes[key]

    def renew(self, keys: Iterable[Key] | None = None) -> None:
        """Limits may have changed: these, or any."""
        self._changed.update(dict.fromkeys(self._allotters if keys is None else keys))
        self._divide_soon()

    def _divide_soon(self) -> None:
        if self._soon is None:
            self._soon = self._clock.callLater(0, self._divide)

    def _divide(self) -> None:
        self._soon = None
        now = self._clock.seconds()
        sent: dict[int, list[tuple[Key, int, Grant]]] = {worker: [] for worker in self._unanswered}
        changed, self._changed = self._changed, {}
        for key in changed:
            allotter = self._allotters.get(key)
            if allotter is None:
                continue
            limit = self._limits(key, self._wholes[key])
            if limit is None:
                del self._allotters[key]
                del self._wholes[key]
                continue
            allotter.limit = limit
            for name, grant in allotter.grants(now).items():
                sent.setdefault(int(name), []).append((key, limit, grant))
            if allotter.takes_turns:
                self._turns[key] = None
        if self._turns and self._turn is None:
            self._turn = self._clock.callLater(TURN_SECONDS, self._take_turns)
        unanswered, self._unanswered = self._unanswered, {}
        for worker, grants in sent.items():
            self._tell(worker, unanswered.get(worker, _NO_ANSWER)._replace(grants=tuple(grants)))

    def _take_turns(self) -> None:
        self._turn = None
        self._changed.update(self._turns)
        self._turns.clear()
        self._divide_soon()

    def _look_for_lost(self) -> None:
        self._look = self._clock.callLater(LOOK_SECONDS, self._look_for_lost)
        now = self._clock.seconds()
        silent = [worker for worker, heard in self._heard.items() if now - heard >= LEASE_SECONDS]
        if silent:
            for worker in silent:
                del self._heard[worker]
            self.renew()
