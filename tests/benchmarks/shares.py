"""Many machines that share one limit, in virtual time: whether it holds, what the store hears, how fast shares follow.

``python -m tests.benchmarks.shares`` prints the figures. Nothing is measured on this machine: the network's delays and
losses are the simulation's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from tests.unit.shares.simulation import STORE_EVERY, STORE_LEASE, Network, World

STEP = 0.02
"""Seconds between two looks."""


def main() -> int:
    """Print all figures; 1 if the limit did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.shares", description=__doc__)
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--workers", type=int, default=16, help="of each machine")
    parser.add_argument("--limit", type=int, default=3200, help="permits")
    given = parser.parse_args()
    print(
        f"{given.machines} machines x {given.workers} workers, {given.limit} permits; lease {STORE_LEASE:g} s, "
        f"a report each {STORE_EVERY:g} s; 1 to 30 ms a message, 2 % lost"
    )
    held = [overload(given), partition(given), follow(given)]
    return 0 if all(held) else 1


def world(
    given: argparse.Namespace, demand: Callable[[int, int, float], float], network: Network | None = None
) -> World:
    return World(given.limit, given.machines, given.workers, demand, network=network)


def look(world: World, until: float) -> tuple[int, float]:
    """The most that all believed to have, and the mean of what was in use."""
    most, used, looks = 0, 0, 0
    while world.now < until:
        world.run(world.now + STEP)
        most, used, looks = max(most, world.believed()), used + world.used(), looks + 1
    return most, used / looks


def overload(given: argparse.Namespace) -> bool:
    """Twice as much is wanted as there is, everywhere."""
    rate = 2 * given.limit / 0.5 / (given.machines * given.workers)
    made = world(given, lambda machine, worker, now: rate)
    look(made, 3.0)
    heard, told = made.heard, made.told
    most, used = look(made, 6.0)
    print(
        f"twice too much everywhere: at most {most} of {given.limit} believed, {used:.0f} in use "
        f"({used / given.limit:.1%}); the store hears {(made.heard - heard) / 3:.0f} and says "
        f"{(made.told - told) / 3:.0f} a second"
    )
    return most <= given.limit


def partition(given: argparse.Namespace) -> bool:
    """A fifth of the machines reaches nobody for 6 s."""
    network = Network()
    rate = 2 * given.limit / 0.5 / (given.machines * given.workers)
    made = world(given, lambda machine, worker, now: rate, network)
    look(made, 3.0)
    network.parted = {f"machine-{number}" for number in range(given.machines // 5)}
    most, used = look(made, 9.0)
    network.parted = set()
    after, _ = look(made, 12.0)
    print(
        f"a fifth of the machines is cut off for 6 s: at most {max(most, after)} of {given.limit} believed, "
        f"{used:.0f} in use"
    )
    return max(most, after) <= given.limit


def follow(given: argparse.Namespace) -> bool:
    """What is wanted moves from one half of the machines to the other, at once."""
    rate = 2 * given.limit / 0.5 / (given.machines * given.workers) * 2
    half = given.machines // 2
    made = world(given, lambda machine, worker, now: rate if (machine < half) == (now < 4.0) else 0.0)
    most, _ = look(made, 4.0)
    waiting = sum(len(worker.waiting) for worker in made.workers)
    for worker in made.workers:
        worker.waiting.clear()
    reached: dict[float, float] = {}
    while made.now < 12.0 and 0.95 not in reached:
        made.run(made.now + STEP)
        most = max(most, made.believed())
        part = sum(made.machines[number].holder.share(made.now) for number in range(half, given.machines)) / given.limit
        for mark in (0.5, 0.9, 0.95):
            if part >= mark:
                reached.setdefault(mark, made.now - 4.0)
    shown = ", ".join(f"{mark:.0%} after {seconds:.2f} s" for mark, seconds in reached.items())
    print(
        f"all demand moves to the other half (requests of 0.5 s in the mean, {waiting} waiting ones gone): {shown}; "
        f"at most {most} believed"
    )
    return most <= given.limit


if __name__ == "__main__":
    raise SystemExit(main())
