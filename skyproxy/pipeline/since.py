"""Since when what was heard of providers and slots tells how they are now.

What a provider said of a key tells nothing of the key that has come in its place, nor how a model did of the one that
serves the slot now.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

Candidates = tuple[tuple[str, str], ...]
"""Provider and model of each, the best first."""


class Since:
    """Times, in seconds since the epoch. What has none is as it was at the start.

    :param wall: the time of day.
    :ivar providers: by name: since when nothing is different by which one may have failed.
    :ivar slots: by name: since when the same models have served one.
    :ivar configured: since when the embedded demo no longer serves.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._reached: dict[str, float] = {}
        self._welcome: dict[str, float] = {}
        self.providers: dict[str, float] = {}
        self.slots: dict[str, float] = {}
        self.configured = 0.0

    def changed(self, providers: Iterable[str], slots: Iterable[str], *, configured: bool) -> None:
        """These are different from now on.

        :param configured: the demo has given way to a configuration.
        """
        now = self._wall()
        self.providers.update(dict.fromkeys(providers, now))
        self.slots.update(dict.fromkeys(slots, now))
        if configured:
            self.configured = now

    def tested(self, provider: str, *, welcome: bool) -> None:
        """Somebody has had *provider* tested, and it could be reached.

        :param welcome: it takes the keys.
        """
        self._reached[provider] = self._wall()
        if welcome:
            self._welcome[provider] = self._wall()

    def reached(self, provider: str) -> float:
        """When a test last reached *provider*."""
        return self._reached.get(provider, 0.0)

    def welcome(self, provider: str) -> float:
        """When a test last found that *provider* takes the keys."""
        return self._welcome.get(provider, 0.0)


def different(before: Mapping[str, Candidates], now: Mapping[str, Candidates]) -> list[str]:
    """The slots that other models serve *now*, or of which there was none of the name *before*."""
    return [name for name, candidates in now.items() if before.get(name) != candidates]
