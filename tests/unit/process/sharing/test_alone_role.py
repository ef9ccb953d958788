"""Processes without workers that share the limits of clients and providers, at a store in virtual time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.errors import RequestLimitExceeded
from skyproxy.access.gate import Place
from skyproxy.access.identity import ClientIdentity
from skyproxy.process.sharing.alone_role import AloneRole
from skyproxy.shares.machine import Machine
from skyproxy.shares.parts import Parts
from skyproxy.telemetry.usage import Tokens
from skyproxy.upstream.guards.concurrency import Permit
from skyproxy.upstream.guards.refusals import BacklogFull
from tests.unit.process.workers.test_client_shares import client
from tests.unit.shares.machines import TERMS, World
from tests.unit.shares.machines import Place as Connection


class Process:
    """One of them."""

    def __init__(self, world: World, name: str, permits: int, max_pending: int) -> None:
        self.clock = world.clock
        self.role = AloneRole(world.clock)
        machine = Machine(world.clock, Connection(world.meeting, name), name, "divide", world.told.append, TERMS)
        self.role.share_clients(Parts(machine, world.clock.seconds))
        self.limiter = self.role.limiter("demo")(world.clock, max_concurrent=permits, max_pending=max_pending)
        config = SimpleNamespace(name="demo", max_pending=max_pending)
        provider: Any = SimpleNamespace(guards=SimpleNamespace(limiter=self.limiter), config=config)
        self.role.providers = lambda: {"demo": provider}
        nothing: Any = None
        self.role.built(nothing, ())
        machine.use(self.role.uses(provider))
        machine.begin()
        budgets: Any = SimpleNamespace(catch_up=lambda: None)
        self.gate = self.role.gate(world.clock, budgets, lambda: ())
        self.permits: list[Permit] = []
        self.places: list[Place] = []
        self.refused: list[Any] = []
        self.waits: list[float] = []

    def ask(self, count: int) -> None:
        """Requests to the provider."""
        for _ in range(count):
            permit = self.limiter.take()
            if permit is None:
                waiting = self.limiter.acquire(60.0)
                waiting.addCallbacks(self.permits.append, lambda why: self.refused.append(why.trap(BacklogFull)))
            else:
                self.permits.append(permit)

    def enter(self, identity: ClientIdentity, count: int, tokens: int = 1) -> None:
        """Requests of a client."""
        for _ in range(count):
            Deferred.fromCoroutine(self._enter(identity, tokens))

    async def _enter(self, identity: ClientIdentity, tokens: int) -> None:
        came = self.clock.seconds()

        def enter() -> None:
            place = self.gate.enter(identity, lambda: Tokens(tokens, 0))
            assert place is not None
            self.places.append(place)

        try:
            try:
                enter()
            except RequestLimitExceeded as refused:
                await self.gate.enter_later(identity, enter, refused)
        except RequestLimitExceeded as refused:
            self.refused.append(refused)
        self.waits.append(self.clock.seconds() - came)


class AloneRoleTests(SynchronousTestCase):
    def processes(self, permits: int = 4, max_pending: int = 10) -> tuple[World, Process, Process]:
        world = World(permits)
        one, other = (Process(world, name, permits, max_pending) for name in ("one", "other"))
        world.run(4.0)
        self.assertEqual((one.limiter.share, other.limiter.share), (permits // 2, permits // 2))
        return world, one, other

    def test_places_of_all(self) -> None:
        world, one, other = self.processes()
        one.ask(4)
        world.run(0.3)
        self.assertEqual(len(one.permits), 4)
        other.ask(10)
        world.run(0.5)
        self.assertEqual((other.limiter.statistics().queued, other.refused), (10, []))
        # There are no more, which is known soon, and then for each that comes.
        for process in (one, other):
            process.ask(1)
            world.run(2.5)
            self.assertEqual((len(process.refused), process.limiter.statistics().queued), (1, 10 * (process is other)))
        for permit in one.permits:
            permit.release()
        world.run(1.0)
        self.assertEqual(len(other.permits), 4)
        one.ask(4)
        world.run(1.0)
        self.assertEqual((len(one.refused), one.limiter.statistics().queued), (1, 4))

    def test_who_has_a_place_does_not_lose_it_to_one_that_comes_elsewhere(self) -> None:
        world, one, other = self.processes(4, 40)
        other.ask(4)
        world.run(1.0)
        one.ask(41)
        for _ in range(1000):
            if not one.refused:
                world.run(0.001)
        # What whoever divides has heard of last is that one wants more, not that it has it.
        other.ask(1)
        world.run(3.0)
        self.assertEqual([len(each.refused) for each in (one, other)], [1, 1])
        self.assertEqual([each.limiter.statistics().queued for each in (one, other)], [40, 0])

    def test_requests_at_once_of_a_client(self) -> None:
        world, one, other = self.processes()
        lydia = client(concurrent=8)
        one.enter(lydia, 8)
        world.run(0.005)
        self.assertEqual(len(one.places), 4)
        world.run(0.5)
        self.assertEqual((len(one.places), one.refused), (8, []))
        other.enter(lydia, 1)
        world.run(2.1)
        self.assertEqual((len(other.places), len(other.refused)), (0, 1))
        for place in one.places:
            place.leave()
        world.run(1.0)
        other.enter(lydia, 8)
        world.run(0.5)
        self.assertEqual((len(other.places), len(other.refused)), (8, 1))

    def test_requests_a_minute(self) -> None:
        world, one, other = self.processes()
        lydia = client(requests_per_minute=20)
        one.enter(lydia, 26)
        world.run(2.0)
        self.assertEqual((len(one.places), len(one.refused)), (20, 6))
        self.assertLess(max(one.waits), 1.2)
        other.enter(lydia, 3)
        world.run(2.0)
        self.assertEqual((len(other.places), len(other.refused)), (0, 3))
        # Who goes on asking is told at once.
        other.waits.clear()
        for _ in range(50):
            other.enter(lydia, 1)
            world.run(0.1)
        world.run(2.0)
        self.assertEqual(len(other.places), 0)
        self.assertLess(sum(other.waits) / 50, 0.1)
        world.run(61.0)
        other.enter(lydia, 20)
        world.run(1.0)
        self.assertEqual(len(other.places), 20)

    def test_tokens_a_minute(self) -> None:
        world, one, other = self.processes()
        lydia = client(tokens_per_minute=1000)
        # One request may be larger than the even part.
        one.enter(lydia, 1, 900)
        world.run(0.5)
        self.assertEqual(len(one.places), 1)
        other.enter(lydia, 1, 200)
        other.enter(lydia, 1, 100)
        world.run(2.0)
        self.assertEqual((len(other.places), len(other.refused)), (1, 1))

    def test_without_a_store(self) -> None:
        world, one, other = self.processes()
        world.meeting.is_down = True
        world.run(6.0)
        lydia = client(concurrent=8)
        for process in (one, other):
            process.enter(lydia, 5)
            world.run(0.2)
            self.assertEqual((len(process.places), len(process.refused)), (4, 1))
