"""Machines that share a limit by a store, all in virtual time: the store does what its scripts do in Redis."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.task import Clock

from skyproxy.shares.holder import Down
from skyproxy.shares.leader import Terms
from skyproxy.shares.machine import Machine
from skyproxy.shares.store import Listener, Tick
from skyproxy.shares.use import Sort

TERMS = Terms()
REPLY_SECONDS = 1.0


class Meeting:
    """The store.

    :ivar is_down: nothing is answered.
    :ivar delay: of messages, at most, in seconds; *loss*: the part of what is published that is lost.
    """

    def __init__(self, clock: Clock, seed: int = 1) -> None:
        self.clock = clock
        self.random = random.Random(seed)
        self.delay, self.loss = 0.002, 0.0
        self.is_down = False
        self.commands = 0
        self.began = -3600.0
        self.places: dict[str, Place] = {}
        self.forget()

    def forget(self) -> None:
        """As FLUSHALL does."""
        self.leader, self.leads_until = "", 0.0
        self.machines: dict[str, float] = {}
        self.heard: float | None = None
        self.left = False

    def later(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.clock.callLater(self.random.uniform(0.0005, self.delay), call, *arguments)

    def publish(self, name: str, call: Callable[[Listener, bytes], None], message: bytes) -> None:
        place = self.places.get(name)
        if place is not None and self.random.random() >= self.loss:
            self.later(place.hear, call, message)

    def tick(self, name: str, report: bytes) -> Tick:
        now = self.clock.seconds()
        self.commands += 1
        if now >= self.leads_until:
            self.leader = ""
        heard, self.heard = self.heard, now
        left, self.left = self.left, False
        self.machines[name] = now + TERMS.lease
        took, others, fresh = False, (), False
        if not self.leader:
            self.leader, took = name, True
            self.machines = {each: until for each, until in self.machines.items() if until > now}
            others = tuple(self.machines)
            silent = heard is None or (not left and now - heard > TERMS.lease)
            fresh = silent or now - self.began <= TERMS.lease + 1
        if self.leader == name:
            self.leads_until = now + TERMS.leads
        for each in self.places.values():
            if each.hears_reports:
                self.publish(each.name, lambda listener, message: listener.heard(message), report)
        return Tick(self.leader, took, others, fresh)

    def send(self, name: str, messages: Mapping[str, bytes]) -> bool:
        self.commands += 1
        if self.leader != name or self.clock.seconds() >= self.leads_until:
            return False
        for each, message in messages.items():
            self.publish(each, lambda listener, message: listener.told(message), message)
        return True


class Place:
    """A machine's connection to the store.

    :ivar parted: nothing comes through, and nobody knows; *closed*: the store knows.
    """

    def __init__(self, meeting: Meeting, name: str) -> None:
        self.meeting, self.name = meeting, name
        self.parted = self.hears_reports = False
        self.listener: Listener | None = None
        meeting.places[name] = self

    def hear(self, call: Callable[[Listener, bytes], None], message: bytes) -> None:
        if self.is_through and self.listener is not None:
            call(self.listener, message)

    @property
    def is_through(self) -> bool:
        return not self.parted and not self.meeting.is_down and self.name in self.meeting.places

    def begin(self, listener: Listener) -> None:
        self.listener = listener
        self.meeting.later(self.ready)

    def ready(self) -> None:
        if self.is_through and self.listener is not None:
            self.listener.ready()

    def _ask(self, question: Callable[[], Any], done: Callable[[Any], Any], failed: Callable[[], Any]) -> None:
        """Whether an answer is lost is known when its time is over."""

        def ask() -> None:
            if self.is_through:
                answer = question()
                self.meeting.later(lambda: done(answer) if self.is_through else give_up())
            else:
                give_up()

        def give_up() -> None:
            self.meeting.clock.callLater(REPLY_SECONDS, failed)

        self.meeting.later(ask)

    def tick(self, report: bytes, done: Callable[[Tick | str], object]) -> None:
        self._ask(lambda: self.meeting.tick(self.name, report), done, lambda: done("it is down"))

    def lead(self, *, leads: bool) -> None:
        self.hears_reports = leads
        if leads:
            self.meeting.later(self.ready)

    def send(self, messages: Mapping[str, bytes], done: Callable[[bool], object]) -> None:
        self._ask(lambda: self.meeting.send(self.name, messages), done, lambda: None)

    def absent(self, machines: Iterable[str], done: Callable[[list[str]], object]) -> None:
        names = list(machines)
        self._ask(lambda: [name for name in names if name not in self.meeting.places], done, lambda: None)

    def leave(self, message: bytes, done: Callable[[], object]) -> None:
        def left() -> None:
            meeting = self.meeting
            if meeting.leader == self.name:
                meeting.leader = ""
            meeting.machines.pop(self.name, None)
            meeting.left = not meeting.machines
            for each in meeting.places.values():
                if each.hears_reports:
                    meeting.publish(each.name, lambda listener, message: listener.heard(message), message)
            del meeting.places[self.name]
            done()

        self.meeting.later(left)


class Requests:
    """Requests of one machine, which use the limit."""

    sort = Sort.PLAIN

    def __init__(self, clock: Clock, whole: int, seconds: float = 0.5) -> None:
        self.clock, self.whole, self.seconds = clock, whole, seconds
        self.changed: Callable[[], object] | None = None
        self.share: int | None = None
        self.in_use = self.served = 0
        self.longest = 0.0
        self.waiting: deque[float] = deque()
        self.dead = False

    @property
    def wanted(self) -> tuple[int, int]:
        return self.in_use + len(self.waiting), 0

    @property
    def believed(self) -> int:
        """Units that are in use, or may be at any moment."""
        return 0 if self.dead else max(self.in_use, self.share or 0)

    def keep_to(self, share: int | None) -> None:
        self.share = share
        self._start()

    def told(self, asked: int, due: int) -> None:
        """Who waits goes on waiting."""

    def ask(self, count: int = 1) -> None:
        for _ in range(count):
            self.waiting.append(self.clock.seconds())
            self._start()
            if self.waiting and self.changed is not None:
                self.changed()

    def _start(self) -> None:
        while self.waiting and self.in_use < (self.share or 0):
            self.longest = max(self.longest, self.clock.seconds() - self.waiting.popleft())
            self.in_use += 1
            self.clock.callLater(self.seconds, self._end)

    def _end(self) -> None:
        self.in_use -= 1
        self.served += 1
        self._start()
        if self.in_use >= (self.share or 0) and self.changed is not None:
            self.changed()


class World:
    """Machines at one store."""

    def __init__(self, limit: int, machines: int = 0, down: Down = "divide", seconds: float = 0.5) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.meeting = Meeting(self.clock)
        self.limit, self.down, self.seconds = limit, down, seconds
        self.machines: dict[str, Machine] = {}
        self.requests: dict[str, Requests] = {}
        self.told: list[str | None] = []
        self.most = 0
        for number in range(machines):
            self.add(f"m{number}")

    def add(self, name: str) -> Requests:
        requests = self.requests[name] = Requests(self.clock, self.limit, self.seconds)
        place = Place(self.meeting, name)
        machine = self.machines[name] = Machine(self.clock, place, name, self.down, self.told.append, TERMS)
        machine.use({"limit": requests})
        machine.begin()
        return requests

    def kill(self, name: str) -> None:
        """The process is gone, and with it its connections."""
        self.requests[name].dead = True
        del self.machines[name]
        del self.meeting.places[name]

    @property
    def believed(self) -> int:
        return sum(each.believed for each in self.requests.values())

    @property
    def shares(self) -> list[int]:
        return [each.share or 0 for each in self.requests.values() if not each.dead]

    def run(self, seconds: float, each: Callable[[], object] = lambda: None) -> int:
        """Let time pass; the most units that all believed to have at any moment of it."""
        most = 0
        until = self.clock.seconds() + seconds
        while self.clock.seconds() < until:
            self.clock.advance(0.005)
            each()
            most = max(most, self.believed)
        self.most = most
        return most
