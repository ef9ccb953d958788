"""Providers with limits, and clients that never stop asking, on a clock that only tests move."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock

from skyproxy.upstream.adaptive import AdaptiveLimit
from skyproxy.upstream.limiter import Limiter, Permit

REFUSAL = 0.05
PAUSE = 0.5


class Provider:
    """Answers after :attr:`latency`, but refuses, at once, what is over its limits.

    :param concurrent: requests at once.
    :param per_second: requests, of which as many can come at once.
    """

    def __init__(self, clock: Clock, concurrent: float = float("inf"), per_second: float = float("inf")) -> None:
        self._clock = clock
        self._concurrent = concurrent
        self._per_second = per_second
        self._tokens = per_second
        self._filled = 0.0
        self._busy = 0
        self.latency = 1.0

    def ask(self, done: Callable[[bool], None]) -> None:
        """Tell *done* whether the request was served, when that is known."""
        now = self._clock.seconds()
        if self._per_second < float("inf"):
            self._tokens = min(self._per_second, self._tokens + (now - self._filled) * self._per_second)
        self._filled = now
        if self._busy >= self._concurrent or self._tokens < 1:
            self._clock.callLater(REFUSAL, done, False)
            return
        self._tokens -= 1
        self._busy += 1
        self._clock.callLater(self.latency, self._serve, done)

    def lift(self) -> None:
        """Have no limit on requests at once any more."""
        self._concurrent = float("inf")

    def _serve(self, done: Callable[[bool], None]) -> None:
        self._busy -= 1
        done(True)


class Crowd:
    """Clients that ask *provider* again and again through *limiter*.

    :ivar served: requests that were answered well.
    :ivar refused: answers 429, after each of which the client waits for :data:`PAUSE`.
    """

    def __init__(
        self, clock: Clock, provider: Provider, limiter: Limiter, adaptive: AdaptiveLimit | None, clients: int
    ) -> None:
        self._clock = clock
        self._provider = provider
        self._limiter = limiter
        self._adaptive = adaptive
        self.served = 0
        self.refused = 0
        for number in range(clients):
            clock.callLater(number / clients, self._ask)

    def _ask(self) -> None:
        self._limiter.acquire(1e9).addCallback(self._send)

    def _send(self, permit: Permit) -> None:
        asked = self._clock.seconds()
        self._provider.ask(lambda served: self._over(permit, asked, served))

    def _over(self, permit: Permit, asked: float, served: bool) -> None:
        if served:
            self.served += 1
            if self._adaptive is not None:
                self._adaptive.completed(self._clock.seconds() - asked)
        else:
            self.refused += 1
            if self._adaptive is not None:
                self._adaptive.limited()
        permit.release()
        self._clock.callLater(0 if served else PAUSE, self._ask)
