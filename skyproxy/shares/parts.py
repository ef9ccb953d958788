"""Limits of which each machine has its even part, until its requests want more: those of clients.

There may be many thousands of them, and most are never come near to. So a machine uses its even part of each without a
word, and tells of those alone of which it wants more, or was told to use less. The others are lowered before one gets
more than its even part, as with any limit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from skyproxy.shares.holder import even_part
from skyproxy.shares.use import Sort, Use

if TYPE_CHECKING:
    from skyproxy.shares.machine import Machine

PREFIX = "client "
"""Begins the names of such limits."""

MOST = 300
"""Of which a machine tells at a time. Of others it has its even part."""

REST_SECONDS = 10.0
"""Seconds after which a limit is not told of any more, where the even part suffices; sooner, where others need it."""


class Parts:
    """Has the uses of such limits keep to what *machine* may use of them.

    :param seconds: the time, on a clock that nobody sets.
    """

    def __init__(self, machine: Machine, seconds: Callable[[], float]) -> None:
        self._machine = machine
        self._seconds = seconds
        self._uses: dict[str, Use] = {}
        self._told: dict[str, float] = {}
        """Those that are told of, and when they last wanted more than the even part."""
        self._terms = (0, 0)
        self._idle: list[str] = []
        """Those of them for which the even part sufficed at the last beat; the longest, the last."""
        self._rested: dict[str, float] = {}
        """When those were let go that were told of until lately."""
        machine.beyond = self

    def hold(self, name: str, use: Use) -> None:
        """Have *use* keep to the limit *name*."""
        self._uses[name] = use
        if name in self._told:
            self._machine.hold(name, use)
        else:
            use.changed = partial(self._look, name)
            use.keep_to(self._part(use))

    def drop(self, name: str) -> None:
        """Nothing uses it here any more."""
        use = self._uses.pop(name, None)
        if use is not None and name in self._told:
            # Those that used it may not know any more what all of it is.
            self._machine.hold(name, _Idle(self._machine.whole_of(name)))

    def may_ask(self, name: str) -> bool:
        """Whether more than there is can come of the limit *name*."""
        if not self._machine.machines:
            return True
        return self._machine.is_leased and (name in self._told or len(self._told) < MOST or bool(self._idle))

    def _part(self, use: Use) -> int:
        machines, least = self._terms_now()
        # One that has just started has none until it hears how many there are.
        return even_part(use.whole, machines, least) if machines else 0

    def _terms_now(self) -> tuple[int, int]:
        # Where nobody divides, nobody is refused because there are more machines than units.
        return self._machine.machines, int(not self._machine.is_leased)

    def _look(self, name: str) -> None:
        use = self._uses.get(name)
        if not self._machine.machines:
            return
        if use is not None and name not in self._told and self._lacks(use):
            self._tell_of(name, use)

    def _lacks(self, use: Use) -> bool:
        return sum(use.wanted) > self._part(use)

    def asked(self, name: str, limit: int, answers: float) -> None:
        """Tell of a limit from now on of which another machine wants more, if it is such a one."""
        is_late = answers <= self._rested.get(name, -inf)
        if name.startswith(PREFIX) and limit > 0 and not is_late:
            self._tell_of(name, self._uses.get(name) or _Idle(limit))

    def _tell_of(self, name: str, use: Use) -> None:
        now = self._seconds()
        while len(self._told) >= MOST and self._idle:
            # What does not need it makes room for what does.
            idle = self._idle.pop()
            if idle in self._told and not self._is_needed(idle):
                self._rest(idle, now)
        if len(self._told) < MOST:
            self._told[name] = now
            self._machine.hold(name, use, self._rested.get(name, -inf))

    def _is_needed(self, name: str) -> bool:
        """Whether the limit *name*, which is told of, has to be."""
        use = self._machine.use_of(name)
        share, is_leased = self._machine.share_of(name)
        return self._lacks(use) or not is_leased or share < self._part(use)

    def beat(self) -> None:
        """See of what need not be told any more, and whether the even part has changed."""
        now, terms = self._seconds(), self._terms_now()
        self._idle.clear()
        for name in list(self._told):
            if self._is_needed(name):
                self._told[name] = now
            elif now - self._told[name] >= REST_SECONDS:
                self._rest(name, now)
            else:
                self._idle.append(name)
        self._idle.sort(key=self._told.__getitem__, reverse=True)
        self._rested = {name: at for name, at in self._rested.items() if now - at < REST_SECONDS}
        if terms != self._terms:
            self._terms = terms
            for name, use in self._uses.items():
                if name not in self._told:
                    use.keep_to(self._part(use))
                    self._look(name)

    def _rest(self, name: str, now: float) -> None:
        del self._told[name]
        self._rested[name] = now
        self._machine.let_go(name)
        if name in self._uses:
            self.hold(name, self._uses[name])


class _Idle:
    """Stands for a limit that nothing uses here."""

    sort = Sort.PARTS
    in_use = 0
    wanted = (0, 0)

    def __init__(self, whole: int) -> None:
        self.whole = whole
        self.changed: Callable[[], object] | None = None

    def keep_to(self, share: int | None) -> None:
        """Nothing is used."""

    def told(self, asked: int, due: int) -> None:
        """Nothing is wanted."""
