"""The rule for 429s in virtual time, beside no guard and one who knows the provider's limit.

Run ``python -m tests.benchmarks.guards_virtual [--workers] [--seeds N] [--minutes M]``.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from random import Random

from .virtual.gates import QUEUE_TIMEOUT, Gate, NoGate, Oracle, Outcome, Rule
from .virtual.scenes import MINUTES, SCENES, Scene
from .virtual.several import SPREADS, Several, Spread
from .virtual.time import VirtualTime

GATES: Mapping[str, type[Gate]] = {"none": NoGate, "rule": Rule, "oracle": Oracle}

WORKERS = (2, 4)
OF_WORKERS = (
    "60 a minute, offered 62",
    "60 a minute, offered 90",
    "8 at once, one model",
    "2 at once, one model",
)
"""The scenes that are played with several workers."""


def play(scene: Scene, gate: type[Gate], seed: int, minutes: float = MINUTES) -> Outcome:
    """One run of *scene*. The same *seed* gives the same clients and the same provider to all gates."""
    seconds = minutes * 60
    time = VirtualTime()
    limit = scene.limit(Random(f"limit {seed}"), seconds)
    door = gate(time, limit, scene.counts, fallback=scene.fallback)
    for request in scene.requests(Random(f"clients {seed}"), seconds):
        time.callLater(request.at, door.come, copy(request))
    time.run()
    return door.outcome


def play_several(
    scene: Scene, workers: int, spread: Spread, seed: int, minutes: float = MINUTES, *, lent: bool = True
) -> Outcome:
    """One run of *scene* with so many workers.

    :param lent: whether they share their marks.
    """
    seconds = minutes * 60
    time = VirtualTime()
    door = Several(time, scene.limit(Random(f"limit {seed}"), seconds), scene.counts, workers, spread, lent=lent)
    for request in scene.requests(Random(f"clients {seed}"), seconds):
        time.callLater(request.at, door.come, copy(request))
    # Workers tell their parent something for ever.
    time.run(seconds + 2 * QUEUE_TIMEOUT)
    return door.outcome


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which *share* of *values* are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def cell(runs: Sequence[Outcome]) -> str:
    """The averages of several runs."""
    count = len(runs)
    answered = 100 * sum(each.share for each in runs) / count
    refused = sum(each.talk_refused for each in runs) / count
    limited = sum(each.limited for each in runs) / count
    late = percentile((wait for each in runs for wait in each.waits), 0.95)
    return f"{answered:.1f} / {refused:.0f} / {limited:.0f} / {late:.1f}"


def row_of_workers(scene: Scene, seeds: Sequence[int], minutes: float = MINUTES, *, lent: bool = True) -> str:
    """A line of the table of several workers."""
    cells = [scene.name, cell([play(scene, Rule, seed, minutes) for seed in seeds])]
    for workers in WORKERS:
        for spread in SPREADS.values():
            cells.append(cell([play_several(scene, workers, spread, seed, minutes, lent=lent) for seed in seeds]))
    return "| " + " | ".join(cells) + " |"


def row(scene: Scene, seeds: Sequence[int], minutes: float = MINUTES) -> str:
    """A line of the table: averages over the seeds, and the worst seed of the rule."""
    outcomes = {name: [play(scene, gate, seed, minutes) for seed in seeds] for name, gate in GATES.items()}
    cells = [scene.name, *map(cell, outcomes.values())]
    shares = [rule.share / oracle.share for rule, oracle in zip(outcomes["rule"], outcomes["oracle"], strict=True)]
    cells.append(f"{100 * sum(shares) / len(shares):.1f}, worst {100 * min(shares):.1f}")
    return "| " + " | ".join(cells) + " |"


def several(seeds: Sequence[int], minutes: float) -> None:
    """Print the tables of several workers."""
    heads = [f"{workers} workers, {name}" for workers in WORKERS for name in SPREADS]
    for title, lent in (("Marks of all workers", True), ("Marks of each", False)):
        print(f"\n| {title} | one worker | {' | '.join(heads)} |\n|{'---|' * (2 + len(heads))}")
        for scene in SCENES:
            if scene.name in OF_WORKERS:
                print(row_of_workers(scene, seeds, minutes, lent=lent), flush=True)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--workers", action="store_true", help="several workers, with marks of all and marks of each")
    options = parser.parse_args()
    print("Each cell: % answered / talk refused / 429s at the provider / seconds waited, 95th percentile")
    if options.workers:
        several(range(options.seeds), options.minutes)
        return
    print("| | none | this rule | oracle | rule, % of the oracle |\n|---|---|---|---|---|")
    for scene in SCENES:
        print(row(scene, range(options.seeds), options.minutes), flush=True)


if __name__ == "__main__":
    main()
