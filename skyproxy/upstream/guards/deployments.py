"""The models of one provider: what is known of each, and the requests that wait for a turn at one."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Container, Iterator
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from skyproxy.clock import Clock
from skyproxy.config import BreakerSettings
from skyproxy.upstream.guards.breaker import Breaker
from skyproxy.upstream.guards.rate_guard import RateGuard
from skyproxy.util.deadline import Deadline

if TYPE_CHECKING:
    from skyproxy.upstream.guards.findings import Teller
    from skyproxy.upstream.guards.learned_limits import Rest

MOST_MODELS = 256
"""Models of one provider of which something is kept."""


class _Line:
    """Requests that wait: at its head those that need not stand in line again, in the order in which they came."""

    __slots__ = ("_came", "_places")

    def __init__(self) -> None:
        self._places: list[Deferred[None]] = []
        # When those at the head came.
        self._came: list[float] = []

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, place: Deferred[None]) -> bool:
        return place in self._places

    def __iter__(self) -> Iterator[Deferred[None]]:
        return iter(tuple(self._places))

    def join(self, place: Deferred[None], came: float | None) -> None:
        """Take *place* in: at the head if it *came* at some time before; at the end if not."""
        if came is None:
            self._places.append(place)
            return
        index = bisect_right(self._came, came)
        self._came.insert(index, came)
        self._places.insert(index, place)

    def leave(self, place: Deferred[None]) -> None:
        """Let go of *place*."""
        index = self._places.index(place)
        del self._places[index], self._came[index : index + 1]

    def next(self) -> Deferred[None]:
        """Let go of the first, and return it."""
        del self._came[:1]
        return self._places.pop(0)


class Deployment:
    """One model of one provider.

    :param breaker: None: it is asked however often it fails.
    :param tell: takes what other processes should know; None: there are none.
    :ivar refused: fields that it does not take, of those that skyproxy adds by itself.
    :ivar named: the configuration names it, and not only a client.
    :ivar busy: requests under way or waiting.
    :ivar limited: a key has met a limit of the model that is still remembered, or somebody waits for a turn.
    :ivar limit_said: what the provider said of that limit; empty if nothing, or if another process met it.
    """

    __slots__ = (
        "_background", "_called", "_calling", "_clock", "_interactive", "_next_look", "_tell", "breaker", "busy",
        "guards", "limit_said", "limited", "model", "named", "refused",
    )  # fmt: skip

    def __init__(self, clock: Clock, model: str, breaker: Breaker | None, tell: Teller | None = None) -> None:
        self._clock = clock
        self._tell = tell
        self.model = model
        self.breaker = breaker
        self.guards: dict[str, RateGuard] = {}
        self.refused: frozenset[str] = frozenset()
        self.named = False
        self.busy = 0
        self.limited = False
        self.limit_said = ""
        self._interactive = _Line()
        self._background = _Line()
        self._called = self._calling = False
        self._next_look = Deadline(clock, self.wake)

    def guard(self, key: str) -> RateGuard:
        """That of one key, by the name of its variable; empty where the provider wants none."""
        guard = self.guards.get(key)
        if guard is None:
            guard = self.guards[key] = self._make_guard(key)
        return guard

    def _make_guard(self, key: str) -> RateGuard:
        teller = self._tell
        if teller is None:
            return RateGuard(self._clock, self.wake, self.look)
        tell, link = partial(self._tell_rate, key), teller.mark_link(self.model, key)
        if link is None:
            return RateGuard(self._clock, self.wake, self.look, tell)
        from skyproxy.upstream.guards.lent_guard import LentGuard

        def waiting() -> tuple[int, int]:
            return len(self._interactive), len(self._background)

        guard = LentGuard(self._clock, self.wake, self.look, tell, link, waiting)
        link.lends_to(guard)
        return guard

    def _tell_rate(self, key: str, rest: Rest | None) -> None:
        if self._tell is not None:
            self._tell.rate(self.model, key, rest)

    def follow(self, breaker: Breaker | None, tell: Teller | None, keys: Container[str]) -> None:
        """Forget what was learned with other keys than *keys*, and what the *breaker* was before, if it is another."""
        self._tell = tell
        if breaker is not self.breaker:
            self.breaker, self.refused = breaker, frozenset()
        elif breaker is not None:
            breaker.tell = tell
        for key in [each for each in self.guards if each not in keys]:
            self.guards.pop(key).discard()
        self.look()
        # Each may have another key now, or a rate guard no more.
        for line in (self._interactive, self._background):
            for place in line:
                if place in line:
                    line.leave(place)
                    place.callback(None)

    def forget_limits(self, key: str) -> None:
        """Ask again with *key*, whatever limits it has met: people know better."""
        guard = self.guards.get(key)
        if guard is not None and not guard.calm:
            guard.discard()
            self.guards[key] = self._make_guard(key)
            self.limit_said = ""
            self.look()

    def look(self) -> None:
        """Find out whether it is :attr:`limited`."""
        self.limited = bool(self.waiting) or not all([guard.calm for guard in self.guards.values()])
        if not self.limited:
            self.limit_said = ""

    @property
    def idle(self) -> bool:
        """Whether a new one would do as well."""
        return (
            not self.busy
            and not self.refused
            and (self.breaker is None or self.breaker.idle)
            and all(guard.idle for guard in self.guards.values())
        )

    @property
    def waiting(self) -> int:
        """Requests that wait for a turn."""
        return len(self._interactive) + len(self._background)

    def ahead(self, *, background: bool) -> int:
        """Those of them that go before one that comes now."""
        return self.waiting if background else len(self._interactive)

    def turn(self, *, background: bool, first: bool, came: float = 0.0) -> Deferred[None]:
        """Wait until a guard may have changed its mind; interactive goes before background. Cancelling it leaves
        the line.

        :param first: at the head of the line, behind those there that came before.
        :param came: when the request did.
        """
        line = self._background if background else self._interactive
        place: Deferred[None] = Deferred(line.leave)
        line.join(place, came if first else None)
        return place

    def expire(self, place: Deferred[None], late: Exception) -> None:
        """The turn at *place* did not come in time."""
        (self._interactive if place in self._interactive else self._background).leave(place)
        place.errback(late)

    def look_in(self, seconds: float) -> None:
        """Call the next in line in *seconds*, if not earlier."""
        self._next_look.no_later_than(self._clock.seconds() + seconds)

    def wake(self) -> None:
        """Call the first in line. It has the next called when it has been sent."""
        self._called = True
        if self._calling:
            return
        self._calling = True
        while self._called and self.waiting:
            self._called = False
            (self._interactive or self._background).next().callback(None)
        self._calling = self._called = False
        if not self.waiting:
            self._next_look.stop()


class Deployments:
    """Knows those that were asked lately, and forgets first those of which there is nothing to remember.

    :param settings: of their breakers; None: they have none.
    :param provider: its name, for messages.
    :param tell: takes what other processes should know; None: there are none.
    """

    def __init__(
        self,
        clock: Clock,
        settings: BreakerSettings | None,
        provider: str,
        largest: int = MOST_MODELS,
        tell: Teller | None = None,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._provider = provider
        self._largest = largest
        self._tell = tell
        self._known: OrderedDict[str, Deployment] = OrderedDict()

    def of(self, model: str) -> Deployment:
        """That of *model*."""
        known = self._known.get(model)
        if known is not None:
            self._known.move_to_end(model)
            return known
        made = self._known[model] = Deployment(self._clock, model, self._breaker(model), self._tell)
        if len(self._known) > self._largest:
            self._forget_one(made)
        return made

    def _breaker(self, model: str) -> Breaker | None:
        if self._settings is None:
            return None
        return Breaker(self._clock, self._settings, self._provider, model, self._tell)

    def follow(
        self, settings: BreakerSettings | None, tell: Teller | None, keys: Container[str], *, may_do_better: bool
    ) -> None:
        """Be those of a later configuration of the provider.

        :param keys: variables of the keys that are the same; an empty one where the provider wants none.
        :param may_do_better: what has failed may be well now. Breakers begin anew.
        """
        self._settings, self._tell = settings, tell
        for each in self:
            each.follow(self._breaker(each.model) if may_do_better else each.breaker, tell, keys)

    def known(self, model: str) -> Deployment | None:
        """That of *model*, if something is kept of it."""
        return self._known.get(model)

    def __iter__(self) -> Iterator[Deployment]:
        return iter(tuple(self._known.values()))

    def __len__(self) -> int:
        return len(self._known)

    def _forget_one(self, newest: Deployment) -> None:
        others = [each for each in self._known.values() if each is not newest]
        spare = next((each for each in others if each.idle), None) or next(
            (each for each in others if not each.busy), None
        )
        if spare is not None:
            del self._known[spare.model]
            for guard in spare.guards.values():
                guard.discard()
