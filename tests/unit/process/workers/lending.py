"""A parent and its workers, with the limiters of one provider, over channels that take time and lose messages."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from skyproxy.process.workers import messages
from skyproxy.process.workers.allotting import Allotting
from skyproxy.process.workers.holding import Holding
from skyproxy.process.workers.permits import LentPermits, limit_of
from skyproxy.upstream.guards.concurrency import Limiter, Permit
from skyproxy.upstream.guards.lent_limiter import LentLimiter
from skyproxy.upstream.guards.refusals import BacklogFull, QueueTimeout

STEP = 0.001
DELAY = 0.001
"""Seconds that a message takes."""


class Way:
    """Leads messages to the other side.

    :ivar delay: seconds, given at random up to *late* more; *loss*: the part that is lost; *cut*: all is.
    """

    def __init__(self, clock: Clock, deliver: Callable[[Any], None], random: random.Random) -> None:
        self._clock = clock
        self._deliver = deliver
        self._random = random
        self.late = self.loss = 0.0
        self.cut = False
        self.sent = 0

    def tell_now(self, message: Any) -> None:
        """As of a channel."""
        self.sent += 1
        if not self.cut and self._random.random() >= self.loss:
            self._clock.callLater(DELAY + self._random.random() * self.late, self._arrive, message)

    def _arrive(self, message: Any) -> None:
        if not self.cut:
            self._deliver(message)


class Worker:
    """One of them."""

    def __init__(self, world: World, number: int) -> None:
        self.clock = world.clock
        self.number = number
        self.up = Way(world.clock, lambda message: world.heard(self, message), world.random)
        self.down = Way(world.clock, lambda message: self.holding.heard(message), world.random)
        self.holding = Holding(world.clock, str(number), self.up)
        self.lent = LentPermits(self.holding, world.workers)
        self.limiter = self.limit(world)
        self.in_hands = self.done = self.refused = self.late = 0
        self.waits: list[float] = []
        self.dead = False

    def limit(self, world: World) -> LentLimiter:
        """Have a limiter, in place of the one before."""
        self.limiter = LentLimiter(
            world.clock,
            max_concurrent=world.limiter.whole,
            max_pending=world.config.max_pending,
            changed=lambda: self.lent.changed("demo"),
            learned=lambda limit: self.up.tell_now(messages.Learned("demo", limit)),
        )
        self.follow(world)
        return self.limiter

    def follow(self, world: World) -> None:
        """Serve as the configuration says."""
        provider: Any = SimpleNamespace(guards=SimpleNamespace(limiter=self.limiter), config=world.config)
        self.lent.follow({"demo": provider})

    def ask(self, seconds: float, priority: Any = "interactive", then: Callable[[], None] | None = None) -> None:
        """A request of so many seconds."""
        came = self.clock.seconds()
        permit = self.limiter.take(priority)

        def go(permit: Permit) -> None:
            self.waits.append(self.clock.seconds() - came)
            self.in_hands += 1
            self.clock.callLater(seconds, over, permit)

        def over(permit: Permit) -> None:
            self.in_hands -= 1
            self.done += 1
            permit.release()
            if then is not None:
                then()

        def failed(failure: Any) -> None:
            self.refused += failure.trap(BacklogFull, QueueTimeout) is BacklogFull
            self.late += failure.check(QueueTimeout) is not None

        if permit is not None:
            go(permit)
        else:
            waiting: Deferred[Permit] = self.limiter.acquire(60.0, priority)
            waiting.addCallbacks(go, failed)

    def ask_on(self, seconds: float, priority: Any = "interactive") -> None:
        """A client that asks again and again."""
        self.ask(seconds, priority, lambda: self.ask_on(seconds, priority))

    def die(self) -> None:
        """As by a signal."""
        self.dead = self.up.cut = self.down.cut = True
        self.holding.stop()


class World:
    """All of them.

    :ivar most: permits in the hands of requests of living workers at most, at any time since :meth:`forget`.
    """

    def __init__(self, workers: int = 2, permits: int = 25, max_pending: int = 100, seed: int = 0) -> None:
        self.clock = Clock()
        self.clock.advance(100.0)
        self.random = random.Random(seed)
        self.workers = workers
        self.config: Any = SimpleNamespace(max_pending=max_pending)
        self.limiter = Limiter(self.clock, max_concurrent=permits, max_pending=max_pending)
        self.known = True
        self.allotting = Allotting(self.clock, self._limit, self._tell)
        self.all = [Worker(self, number) for number in range(workers)]
        self.most = self.believed = 0

    def _limit(self, key: messages.Key, told: int) -> int | None:
        limiter = self.limiter
        return limit_of(key[0], limiter.share, limiter.whole, self.config) if self.known else None

    def _tell(self, number: int, message: Any) -> None:
        self.all[number].down.tell_now(message)

    def heard(self, worker: Worker, message: Any) -> None:
        """The parent hears *message*."""
        if isinstance(message, messages.Learned):
            self.limiter.resize(message.max_concurrent)
            self.allotting.renew()
        else:
            self.allotting.heard(worker.number, cast(messages.Claims, message))

    def begin_anew(self, number: int) -> None:
        """Start a worker in the place of one that is dead."""
        self.all[number] = Worker(self, number)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / STEP)):
            self.clock.advance(STEP)
            self.most = max(self.most, sum(each.in_hands for each in self.all if not each.dead))
            believed = sum(
                max(each.limiter.statistics().max_concurrent, each.limiter.in_use) for each in self.all if not each.dead
            )
            self.believed = max(self.believed, believed)

    def shares(self, kind: str = "permits") -> list[int]:
        """Of all."""
        return [each.holding.share((kind, "demo")) for each in self.all]
