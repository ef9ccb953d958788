"""The keys of one provider: which one carries the next request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import SecretStr
from twisted.logger import Logger

from skyproxy.config import ApiKeyConfig
from skyproxy.errors import KeysResting
from skyproxy.upstream.timers import Clock

_log = Logger()

# For a rate limit of which nobody says when it ends.
_REST = 10.0
# A quota may be asked for once an hour even where it is said to come back tomorrow.
_LONGEST_REST = 3600.0
# Providers have refused good keys while their own accounts were in trouble.
_ASIDE = 300.0


@dataclass(frozen=True, slots=True)
class KeyStatistics:
    """The state of one key.

    :ivar variable: the environment variable that it came from; the key itself is nowhere.
    :ivar busy: requests under way with it.
    :ivar resting: seconds until it may be used again after a rate limit; 0 if it may.
    :ivar rejected: whether the provider refused it, so that it is put aside.
    :ivar requests: that it was ever used for.
    """

    variable: str
    busy: int
    resting: float
    rejected: bool
    requests: int


class _Key:
    __slots__ = ("aside_until", "busy", "refused_until", "requests", "rests_until", "secret", "told", "variable")

    def __init__(self, config: ApiKeyConfig) -> None:
        self.variable = config.variable
        self.secret = config.secret
        self.busy = 0
        self.requests = 0
        self.rests_until = 0.0
        self.aside_until = 0.0
        self.refused_until = 0.0
        self.told = False


class Lease:
    """The use of one key for one request.

    :ivar secret: the key.
    :ivar variable: where it came from.
    """

    __slots__ = ("_key", "_released", "_ring", "secret", "variable")

    def __init__(self, ring: KeyRing, key: _Key) -> None:
        self._ring = ring
        self._key = key
        self._released = False
        self.secret: SecretStr = key.secret
        self.variable: str = key.variable

    def release(self) -> None:
        """The request is over. Does nothing when that was said before."""
        if not self._released:
            self._released = True
            self._key.busy -= 1

    def limited(self, seconds: float | None) -> None:
        """The provider answered 429: let the key rest.

        The only key does not rest: each request waits, or goes elsewhere, on its own account.

        :param seconds: for how long the provider asks, at most an hour of which is obeyed. None if it does not say:
            ten seconds then.
        """
        self._ring._limited(self._key, seconds)

    def rejected(self, status: int) -> None:
        """The provider answered *status*, 401 or 403: put the key aside for five minutes.

        The last key that is in use is not put aside: then the provider's own answer says more than skyproxy could.
        """
        self._ring._rejected(self._key, status)


class KeyRing:
    """Gives each request the key that fewest others use now.

    :param clock: for rests.
    :param keys: at least one.
    :param provider: its name, for messages.
    """

    def __init__(self, clock: Clock, keys: Sequence[ApiKeyConfig], provider: str) -> None:
        if not keys:
            raise ValueError("a ring needs a key")
        self._clock = clock
        self._keys = [_Key(each) for each in keys]
        self._provider = provider

    def take(self) -> Lease:
        """A key for one request. Among equally busy ones, the first goes first.

        :raise KeysResting: all rest after a rate limit, but for those that were put aside.
        """
        now = self._clock.seconds()
        best: _Key | None = None
        for key in self._keys:
            if key.rests_until <= now and key.aside_until <= now and (best is None or key.busy < best.busy):
                best = key
        if best is None:
            waits = [max(key.rests_until, key.aside_until) - now for key in self._keys]
            raise KeysResting(
                f"Provider {self._provider!r} has met the rate limit of every key it has.", retry_after=min(waits)
            )
        best.busy += 1
        best.requests += 1
        return Lease(self, best)

    def statistics(self) -> tuple[KeyStatistics, ...]:
        """The state of each key at this moment, in order."""
        now = self._clock.seconds()
        return tuple(
            KeyStatistics(
                variable=key.variable,
                busy=key.busy,
                resting=max(0.0, key.rests_until - now),
                rejected=key.aside_until > now,
                requests=key.requests,
            )
            for key in self._keys
        )

    def usable(self) -> bool:
        """Whether there is a key that promises something: one that neither rests nor was refused in the last
        five minutes. The last key that is in use may have been."""
        now = self._clock.seconds()
        return any(key.rests_until <= now and key.refused_until <= now for key in self._keys)

    def _limited(self, key: _Key, seconds: float | None) -> None:
        if len(self._keys) == 1:
            return
        if seconds is None:
            seconds = _REST
        key.rests_until = max(key.rests_until, self._clock.seconds() + min(seconds, _LONGEST_REST))

    def _rejected(self, key: _Key, status: int) -> None:
        if not key.told:
            key.told = True
            _log.warn(
                "Provider refuses the key of this variable",
                provider=self._provider,
                variable=key.variable,
                status=status,
            )
        now = self._clock.seconds()
        key.refused_until = now + _ASIDE
        if any(each.aside_until <= now for each in self._keys if each is not key):
            key.aside_until = key.refused_until
