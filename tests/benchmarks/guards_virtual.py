"""The rule for 429s in virtual time, beside no guard and one who knows the provider's limit.

Run ``python -m tests.benchmarks.guards_virtual [--seeds N] [--minutes M]``.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from random import Random

from .virtual.gates import Gate, NoGate, Oracle, Outcome, Rule
from .virtual.scenes import MINUTES, SCENES, Scene
from .virtual.time import VirtualTime

GATES: Mapping[str, type[Gate]] = {"none": NoGate, "rule": Rule, "oracle": Oracle}


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


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which *share* of *values* are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def row(scene: Scene, seeds: Sequence[int], minutes: float = MINUTES) -> str:
    """A line of the table: averages over the seeds, and the worst seed of the rule."""
    outcomes = {name: [play(scene, gate, seed, minutes) for seed in seeds] for name, gate in GATES.items()}
    cells = [scene.name]
    for runs in outcomes.values():
        count = len(runs)
        answered = 100 * sum(each.share for each in runs) / count
        refused = sum(each.talk_refused for each in runs) / count
        limited = sum(each.limited for each in runs) / count
        late = percentile((wait for each in runs for wait in each.waits), 0.95)
        cells.append(f"{answered:.1f} / {refused:.0f} / {limited:.0f} / {late:.1f}")
    shares = [rule.share / oracle.share for rule, oracle in zip(outcomes["rule"], outcomes["oracle"], strict=True)]
    cells.append(f"{100 * sum(shares) / len(shares):.1f}, worst {100 * min(shares):.1f}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    options = parser.parse_args()
    print("Each cell: % answered / talk refused / 429s at the provider / seconds waited, 95th percentile")
    print("| | none | this rule | oracle | rule, % of the oracle |\n|---|---|---|---|---|")
    for scene in SCENES:
        print(row(scene, range(options.seeds), options.minutes), flush=True)


if __name__ == "__main__":
    main()
