"""Many machines that share one limit by a Redis, in virtual time: what it is asked, and how fast shares follow.

``python -m tests.benchmarks.shared_limits`` prints the figures. They are those of what machines say and when; nothing
is measured on this machine.
"""

from __future__ import annotations

import argparse
import random

from tests.unit.shares.machines import World


def main() -> int:
    """Print all figures; 1 if the limit did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.shared_limits", description=__doc__)
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--limit", type=int, default=1000, help="permits")
    given = parser.parse_args()
    world = World(given.limit, given.machines, seconds=1.0)
    chosen = random.Random(3)
    requests = list(world.requests.values())
    print(f"{given.machines} machines, {given.limit} permits; a message takes up to 2 ms")

    def tell(what: str, seconds: float, asked: int = 0) -> int:
        """What happens in *seconds*, while so many requests come in five milliseconds."""
        before = world.meeting.commands

        def ask() -> None:
            for _ in range(asked):
                chosen.choice(requests).ask()

        most = world.run(seconds, ask)
        commands = (world.meeting.commands - before) / seconds
        print(f"{what}: {commands:.0f} scripts a second at Redis; at most {most} believed")
        return most

    world.run(5.0)
    most = [tell("nothing is asked", 5.0), tell("800 requests a second, of 1 s", 6.0, 4)]
    print(f"  the longest wait was {max(each.longest for each in requests):.2f} s")
    world.run(5.0)
    few = requests[: given.machines // 10]
    for each in few:
        each.seconds = 60.0
        each.ask(given.limit // len(few))
    began = world.clock.seconds()
    while sum(each.in_use for each in few) < given.limit and world.clock.seconds() < began + 10:
        most.append(world.run(0.01))
    print(f"a tenth of them wants all: it has it after {world.clock.seconds() - began:.2f} s")
    held = max(most) <= given.limit
    print("the limit held" if held else "THE LIMIT DID NOT HOLD")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
