"""How long a provider is waited for before a hedge is sent to the next."""

from __future__ import annotations

from twisted.logger import Logger

from skyproxy.clock import Clock

_log = Logger()

_LOSSES = 5
"""Races in a row that a provider may lose with nothing said."""

_PAUSE_SECONDS = 30.0
"""Seconds after which one that lost as many is waited for again, by one request."""


class HedgeDelay:
    """The time before the next candidate is asked besides, as long as waiting for the first is worth anything.

    A provider that hangs loses each race, so that its breaker never learns of a failure, and each request would wait
    in vain. After five losses in a row both are asked at once: no more is sent than before. A provider that wins again
    has its delay back. One request every 30 s has the delay, too: without it, a provider that is good but slower than
    the next would win no race.

    :param seconds: of the delay.
    :param provider: whose; for the log.
    """

    def __init__(self, clock: Clock, seconds: float, provider: str) -> None:
        self._clock = clock
        self._seconds = seconds
        self._provider = provider
        self._losses = 0
        self._until = 0.0

    def take(self) -> float:
        """Seconds for the race that begins now."""
        if self._losses < _LOSSES:
            return self._seconds
        now = self._clock.seconds()
        if now < self._until:
            return 0.0
        self._until = now + _PAUSE_SECONDS
        return self._seconds

    def won(self) -> None:
        """The provider has answered first."""
        self._losses = 0

    def lost(self) -> None:
        """The next has answered first, and the provider had said nothing."""
        self._losses += 1
        # Only now: races that are lost without the delay do not postpone the request that finds out.
        if self._losses == _LOSSES:
            self._until = self._clock.seconds() + _PAUSE_SECONDS
            _log.warn(
                "Hedges are sent at once for now: overtaken again and again",
                provider=self._provider,
                hedge_after=self._seconds,
            )
