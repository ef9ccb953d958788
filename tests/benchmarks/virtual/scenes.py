"""What happens in each row of the table: who comes when, and what the provider takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from .limits import AtOnce, Bucket, Chance, Limit, Minutes, Never, Once, Request

MINUTES = 15
BACKGROUND = 0.1
"""Of the requests, the share for which nobody waits."""


@dataclass(frozen=True)
class Scene:
    """One row of the table.

    :ivar limit: makes the provider.
    :ivar requests: makes the clients' requests of so many seconds.
    :ivar counts: which of them are of interest.
    :ivar fallback: there is another provider.
    """

    name: str
    limit: Callable[[Random, float], Limit]
    requests: Callable[[Random, float], list[Request]]
    counts: Callable[[Request], bool] = lambda request: True
    fallback: bool = False


def one(random: Random, at: float, model: str) -> Request:
    """A stream of about 4 s."""
    return Request(
        at=at,
        model=model,
        talk=random.random() >= BACKGROUND,
        first=random.uniform(0.2, 0.8),
        duration=random.uniform(2, 6),
        tokens=random.randint(1000, 15000),
    )


def bursts(per_minute: float, size: int, models: Sequence[str] = ("talk",)) -> Callable[[Random, float], list[Request]]:
    """Groups that come at any time.

    :param per_minute: requests.
    :param size: of a group, on average.
    """

    def times(random: Random, seconds: float) -> Iterator[float]:
        at = random.expovariate(per_minute / size / 60)
        while at < seconds:
            yield at
            at += random.expovariate(per_minute / size / 60)

    def make(random: Random, seconds: float) -> list[Request]:
        requests = []
        for at in times(random, seconds):
            for _ in range(random.randint(1, 2 * size - 1)):
                requests.append(one(random, at, random.choice(models)))
                at += random.expovariate(10)
        return requests

    return make


def waves(every: float, size: int) -> Callable[[Random, float], list[Request]]:
    """Groups of *size*, give or take a third, each *every* seconds, give or take a quarter."""

    def make(random: Random, seconds: float) -> list[Request]:
        requests = []
        start = random.uniform(1, every)
        while start < seconds:
            for _ in range(random.randint(size - size // 3, size + size // 3)):
                requests.append(one(random, start + random.uniform(0, 0.5), "talk"))
            start += every * random.uniform(0.75, 1.25)
        return requests

    return make


def with_free_model(random: Random, seconds: float) -> list[Request]:
    """Waves of talk, and each 5 s one request to a model that always answers 429."""
    requests = waves(12, 10)(random, seconds)
    for at in range(5, int(seconds), 5):
        requests.append(one(random, at, "free"))
    return requests


SCENES = (
    Scene("calm, one 429", lambda random, seconds: Once(random.uniform(0, seconds)), waves(12, 10)),
    Scene(
        "free model, 429 each 5 s",
        lambda random, seconds: Never("free"),
        with_free_model,
        lambda request: request.model != "free",
    ),
    Scene("60 a minute, offered 62", lambda random, seconds: Bucket(60, 10), bursts(62, 4)),
    Scene("60 a minute, offered 90", lambda random, seconds: Bucket(60, 10), bursts(90, 4)),
    Scene("60 each minute, offered 62", lambda random, seconds: Minutes(60, random.uniform(0, 60)), bursts(62, 4)),
    Scene("60 each minute, offered 90", lambda random, seconds: Minutes(60, random.uniform(0, 60)), bursts(90, 4)),
    Scene("... 90, with a fallback", lambda random, seconds: Bucket(60, 10), bursts(90, 4), fallback=True),
    Scene("8 at once, one model", lambda random, seconds: AtOnce((0, 8)), waves(13, 13)),
    Scene("2 at once, one model", lambda random, seconds: AtOnce((0, 2)), waves(22, 6)),
    Scene("8 at once, mixed models", lambda random, seconds: AtOnce((0, 8)), bursts(60, 12, ("a", "b", "c", "d"))),
    Scene("8 at once, then 3", lambda random, seconds: AtOnce((0, 8), (seconds * 7 / MINUTES, 3)), waves(13, 11)),
    Scene("3 at once, then 12", lambda random, seconds: AtOnce((0, 3), (seconds * 7 / MINUTES, 12)), waves(13, 11)),
    Scene(
        "400,000 tokens a minute",
        lambda random, seconds: Bucket(400_000, 60_000, of_tokens=True),
        bursts(62, 4),
    ),
    Scene("20 % 429s at random", lambda random, seconds: Chance(0.2, random), bursts(60, 4)),
)
