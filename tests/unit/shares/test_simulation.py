"""What holds while machines share a limit over a bad network. tests/benchmarks/shares.py does it with 1,000 workers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.shares.simulation import STORE_LEASE, Network, World


class SimulationTests(SynchronousTestCase):
    def run_to(self, world: World, until: float, step: float = 0.01) -> int:
        """The most that all workers believed to have at any time."""
        most = 0
        while world.now < until:
            world.run(world.now + step)
            most = max(most, world.believed())
        return most

    def test_never_more_than_the_limit_whatever_the_network_does(self) -> None:
        for seed in range(3):
            network = Network(delay=0.2, loss=0.2)
            world = World(40, 5, 4, lambda machine, worker, now: 6.0, network=network, seed=seed)
            self.assertLessEqual(self.run_to(world, 3.0), 40)
            network.parted = {"machine-1", "machine-3"}
            self.assertLessEqual(self.run_to(world, 9.0), 40)
            network.parted = set()
            self.assertLessEqual(self.run_to(world, 14.0), 40)
            self.assertLessEqual(world.used(), 40)
            served = [sum(worker.served for worker in machine.workers) for machine in world.machines]
            self.assertGreater(min(served), 0)

    def test_all_of_it_is_used_where_it_is_wanted(self) -> None:
        world = World(20, 4, 2, lambda machine, worker, now: 30.0)
        self.run_to(world, 2.0)
        used = []
        for _ in range(100):
            world.run(world.now + 0.02)
            used.append(world.used())
        self.assertGreater(sum(used) / len(used), 18)

    def test_it_follows_who_wants_it(self) -> None:
        world = World(40, 2, 2, lambda machine, worker, now: 60.0 if (machine == 0) == (now < 5) else 0.0)
        self.run_to(world, 5.0)
        first, second = ([worker.holder for worker in machine.workers] for machine in world.machines)
        self.assertGreater(sum(holder.share(5.0) for holder in first), 36)
        self.run_to(world, 12.0)
        self.assertGreater(sum(holder.share(12.0) for holder in second), 25)

    def test_fewer_permits_than_workers(self) -> None:
        world = World(2, 3, 2, lambda machine, worker, now: 3.0 if now < 10 else 0.0, duration=0.05)
        self.assertLessEqual(self.run_to(world, 16.0), 2)
        self.assertTrue(all(worker.served > 10 for worker in world.workers))

    def test_who_hears_nothing_goes_on_with_its_even_part(self) -> None:
        network = Network()
        world = World(40, 4, 2, lambda machine, worker, now: 30.0, network=network, down="divide")
        self.run_to(world, 3.0)
        network.parted = {machine.name for machine in world.machines}
        self.run_to(world, 3.0 + 2 * STORE_LEASE)
        self.assertEqual([machine.holder.share(world.now) for machine in world.machines], [10] * 4)
        self.assertGreater(world.used(), 30)
        self.assertLessEqual(world.believed(), 40)
