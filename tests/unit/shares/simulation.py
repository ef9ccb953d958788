"""Machines with workers that share one limit, over a network that loses, delays and parts: all in virtual time."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from skyproxy.shares.allotter import Allotter
from skyproxy.shares.holder import Down, Holder
from skyproxy.shares.messages import Grant, Report

STORE_LEASE, STORE_EVERY = 3.0, 0.25
"""Seconds: between machines."""
LOCAL_LEASE, LOCAL_EVERY = 1.0, 0.2
"""Seconds: inside a machine."""
MARGIN = LOCAL_LEASE + 0.1
SOON = 0.005
"""Seconds for which what changes waits for other changes."""


@dataclass
class Network:
    """How messages go between machines and the store.

    :ivar delay: the longest, in seconds.
    :ivar loss: the part of messages that is lost.
    :ivar parted: machines that reach nobody now.
    """

    delay: float = 0.03
    loss: float = 0.02
    parted: set[str] = field(default_factory=set)


class World:
    """All of it.

    :param demand: requests a second of a worker, by machine, worker and time.
    :param duration: seconds of a request, in the mean.
    """

    def __init__(
        self,
        limit: int,
        machines: int,
        workers: int,
        demand: Callable[[int, int, float], float],
        duration: float = 0.5,
        network: Network | None = None,
        down: Down = "stop",
        seed: int = 1,
    ) -> None:
        self.limit, self.duration, self.demand = limit, duration, demand
        self.random = random.Random(seed)
        self.network = network or Network()
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()
        self.heard = self.told = 0
        """Messages that the store got, and sent."""
        remember = 10 * STORE_LEASE if down == "divide" else 0.0
        self.store = Allotter(limit, STORE_LEASE, remember)
        self.machines = [Machine(self, number, workers, down) for number in range(machines)]
        self.by_name = {machine.name: machine for machine in self.machines}
        for machine in self.machines:
            machine.begin()

    @property
    def workers(self) -> list[Worker]:
        return [worker for machine in self.machines for worker in machine.workers]

    def at(self, seconds: float, call: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), call, arguments))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, call, arguments = heapq.heappop(self._events)
            call(*arguments)
        self.now = until

    def send(self, machine: Machine, call: Callable[..., None], *arguments: Any) -> None:
        """Bring a message from or to *machine*, or not."""
        if machine.name not in self.network.parted and self.random.random() >= self.network.loss:
            self.at(self.random.uniform(0.001, self.network.delay), self._arrive, machine, call, arguments)

    def _arrive(self, machine: Machine, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if machine.name not in self.network.parted:
            call(*arguments)

    def hear(self, report: Report) -> None:
        self.heard += 1
        self.store.report(report, self.now)
        for name, grant in self.store.grants(self.now).items():
            self.told += 1
            machine = self.by_name[name]
            self.send(machine, machine.take, grant)

    # What holds.

    def believed(self) -> int:
        """Units that all workers together believe that they may use."""
        return sum(worker.holder.share(self.now) for worker in self.workers)

    def used(self) -> int:
        return sum(worker.in_use for worker in self.workers)


class Machine:
    """The parent of a machine's workers: a member of the store's, and the one who allots to its own."""

    def __init__(self, world: World, number: int, workers: int, down: Down) -> None:
        self.world, self.number, self.name = world, number, f"machine-{number}"
        self.holder = Holder(self.name, world.limit, down, len(range(workers)), MARGIN)
        self.local = Allotter(0, LOCAL_LEASE)
        self.workers = [Worker(world, self, index) for index in range(workers)]
        self._soon = False

    def begin(self) -> None:
        self.world.at(self.world.random.uniform(0, STORE_EVERY), self._beat)
        for worker in self.workers:
            worker.begin()

    def _beat(self) -> None:
        self._tell_store()
        self.world.at(STORE_EVERY, self._beat)

    def _tell_store(self) -> None:
        world = self.world
        self._soon = False
        report = self.holder.report(world.now, self.local.outstanding, *self.local.wanted)
        world.send(self, world.hear, report)

    def take(self, grant: Grant) -> None:
        self.holder.take(grant)
        self._decide()
        self._look()

    def hear(self, report: Report) -> None:
        """A worker's."""
        self.local.report(report, self.world.now)
        self._decide()
        self._look()

    def _look(self) -> None:
        if self.holder.has_news(self.world.now, self.local.outstanding, sum(self.local.wanted)):
            self._tell_soon()

    def _tell_soon(self) -> None:
        if not self._soon:
            self._soon = True
            self.world.at(SOON, self._tell_store)

    def _decide(self) -> None:
        self.local.limit = self.holder.share(self.world.now)
        for name, grant in self.local.grants(self.world.now).items():
            self.world.at(0.0002, self.workers[int(name)].take, grant)


class Worker:
    """Serves requests by its share."""

    def __init__(self, world: World, machine: Machine, index: int) -> None:
        self.world, self.machine, self.index = world, machine, index
        self.holder = Holder(str(index), world.limit, "stop")
        self.in_use = self.served = 0
        self.waiting: deque[float] = deque()
        self.longest = 0.0
        """Seconds that a request waited, at most."""
        self._soon = False

    def begin(self) -> None:
        self.world.at(self.world.random.uniform(0, LOCAL_EVERY), self._beat)
        self._next()

    def _beat(self) -> None:
        self._tell()
        self.world.at(LOCAL_EVERY, self._beat)

    def _next(self) -> None:
        rate = self.world.demand(self.machine.number, self.index, self.world.now)
        if rate > 0:
            self.world.at(self.world.random.expovariate(rate), self._arrive)
        else:
            self.world.at(0.1, self._next)

    def _arrive(self) -> None:
        self.waiting.append(self.world.now)
        self._next()
        self._start()

    def _start(self) -> None:
        while self.waiting and self.in_use < self.holder.share(self.world.now):
            self.longest = max(self.longest, self.world.now - self.waiting.popleft())
            self.in_use += 1
            self.world.at(self.world.random.expovariate(1 / self.world.duration), self._end)
        if self.holder.has_news(self.world.now, self.in_use, self.in_use + len(self.waiting)):
            self._tell_soon()

    def _end(self) -> None:
        self.in_use -= 1
        self.served += 1
        self._start()

    def take(self, grant: Grant) -> None:
        self.holder.take(grant)
        self._start()

    def _tell_soon(self) -> None:
        if not self._soon:
            self._soon = True
            self.world.at(SOON, self._tell)

    def _tell(self) -> None:
        self._soon = False
        world = self.world
        wants = self.in_use + len(self.waiting)
        report = self.holder.report(world.now, self.in_use, wants)
        world.at(0.0002, self.machine.hear, report)
