"""The keys of one provider: which one carries the next request."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import inf
from typing import TYPE_CHECKING

from pydantic import SecretStr
from twisted.logger import Logger

from skyproxy.clock import Clock
from skyproxy.config import ApiKeyConfig
from skyproxy.errors import ErrorKind
from skyproxy.upstream.guards.learned_limits import LONGEST_STATED_SECONDS
from skyproxy.upstream.guards.refusals import KeysResting
from skyproxy.upstream.guards.statistics import KeyStatistics

if TYPE_CHECKING:
    from skyproxy.upstream.guards.findings import Teller

_log = Logger()

# For a rate limit whose end the provider does not say: doubled each time that the key meets it again after its rest.
_FIRST_REST_SECONDS = 1.0
_LONGEST_UNSTATED_SECONDS = 10.0
# Providers have refused good keys while their own accounts were in trouble.
ASIDE_SECONDS = 300.0
_MOMENT_SECONDS = 1.0
"""Seconds for which a key comes last that was refused, or with which the provider failed: a request that is tried again
at once gets another one.
"""
_NO_CREDIT = "Provider has no credit for the key of this variable"
_REFUSED = "Provider refuses the key of this variable"
_REST_TOLD_AGAIN, _REFUSAL_TOLD_AGAIN = 0.1, 1.0
"""Seconds by which a rest, or the time for which a key is put aside, must grow to be told of again."""


class _Key:
    __slots__ = (
        "aside_until", "busy", "failed_until", "forbidden", "refused_until", "requests", "rests", "rests_until",
        "secret", "variable", "warned",
    )  # fmt: skip

    def __init__(self, config: ApiKeyConfig) -> None:
        self.variable = config.variable
        self.secret = config.secret
        self.busy = self.requests = self.rests = 0
        self.rests_until = self.aside_until = self.refused_until = self.failed_until = 0.0
        self.forbidden: int | None = None
        self.warned = False


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

    def limited(self, seconds: float | None) -> float | None:
        """The provider answered 429: let the key rest.

        The only key does not rest: each request waits, or goes elsewhere, on its own account.

        :param seconds: for how long the provider asks, at most an hour of which is obeyed. None or 0.0 if it does not
            say: one second then, twice that when it happens again after that rest, and so on up to ten.
        :return: seconds for which it rests now; None: it does not.
        """
        return self._ring._limited(self._key, seconds)

    def rejected(self, status: int, request: int, kind: ErrorKind = ErrorKind.KEY_INVALID) -> None:
        """The provider refuses the key, or has no credit for it, by *status*: put the key aside for five minutes.

        At once, but where 403 may be about the key: it is also what providers answer to content that they do not
        allow. It takes two different requests, with no success between them, and one that is forbidden with another
        key, too, does not count.

        The last key that is in use is not put aside: then the provider's own answer says more than skyproxy could.

        :param request: a number that distinguishes this request from others.
        """
        self._ring._rejected(self._key, status, request, kind)

    @property
    def aside(self) -> float | None:
        """Seconds for which the key is put aside; None if it is not."""
        return self._ring._aside(self._key)

    def worked(self) -> None:
        """The provider answered well: whatever it refused, it was not the key, or is no more."""
        key = self._key
        key.rests, key.forbidden = 0, None
        if key.refused_until and self._ring._aside(key) is None:
            key.refused_until = 0.0

    def failed(self) -> None:
        """The provider failed: for a moment the other keys go first. One that always fails is always the least busy."""
        self._key.failed_until = self._ring._clock.seconds() + _MOMENT_SECONDS


class KeyRing:
    """Gives each request the key that fewest others use now.

    :param clock: for rests.
    :param keys: at least one.
    :param provider: its name, for messages.
    :param tell: takes what other processes should know; None: there are none.
    """

    def __init__(self, clock: Clock, keys: Sequence[ApiKeyConfig], provider: str, tell: Teller | None = None) -> None:
        if not keys:
            raise ValueError("a ring needs a key")
        self._clock = clock
        self._keys = [_Key(each) for each in keys]
        self._provider = provider
        self._tell = tell
        self._forbidden: int | None = None

    def keep(self, earlier: KeyRing) -> None:
        """Have each key that *earlier* has, too, be as it is there."""
        known = {(each.variable, each.secret): each for each in earlier._keys}
        self._keys = [known.get((each.variable, each.secret), each) for each in self._keys]

    def take(self, may_go: Callable[[str], bool] | None = None) -> Lease:
        """A key for one request: the least busy; among equally busy ones, the first. Those that were refused, or failed
        with, a moment ago come last.

        :param may_go: whether a key, by the name of its variable, may be used now for what is asked; None: all may.
        :raise KeysResting: all rest after a rate limit, but for those that were put aside.
        """
        now = self._clock.seconds()
        best: _Key | None = None
        best_order = (False, False, 0)
        for key in self._keys:
            if key.rests_until <= now and key.aside_until <= now and (may_go is None or may_go(key.variable)):
                order = (key.refused_until > now, key.failed_until > now, key.busy)
                if best is None or order < best_order:
                    best, best_order = key, order
        if best is None:
            raise KeysResting(
                f"Provider {self._provider!r} has met the rate limit of every key it has.", retry_after=self.rest()
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
                rejected=now < key.aside_until < inf,
                requests=key.requests,
                by_hand=key.aside_until == inf,
            )
            for key in self._keys
        )

    def put_aside(self, variables: Collection[str]) -> list[str]:
        """Have the keys of *variables*, if they are not all, rest until this is called without them. Those that were
        refused are used again where no other is left. Returns the variables of those that need not rest any more.
        """
        back = []
        aside = {key.variable for key in self._keys}.intersection(variables)
        for key in self._keys:
            if key.variable in aside and len(aside) < len(self._keys):
                key.aside_until = inf
            elif key.aside_until == inf:
                self.put_back(key.variable)
                back.append(key.variable)
        self._use_one()
        return back

    def put_back(self, variable: str) -> None:
        """Use the key of *variable* again, whatever was heard of it."""
        for key in self._keys:
            if key.variable == variable:
                key.aside_until = key.refused_until = key.rests_until = 0.0
                key.rests, key.forbidden, key.warned = 0, None, False

    def in_use(self) -> list[str]:
        """The variables of the keys that are not put aside."""
        now = self._clock.seconds()
        return [key.variable for key in self._keys if key.aside_until <= now]

    def rest(self) -> float:
        """Seconds until a key may be used; 0 if one may now."""
        now = self._clock.seconds()
        return max(0.0, min(max(key.rests_until, key.aside_until) for key in self._keys) - now)

    def usable(self) -> bool:
        """Whether there is a key that promises something; see :meth:`promising`."""
        return bool(self.promising())

    def promising(self) -> list[str]:
        """The variables of the keys that promise something: that neither rests nor was refused lately (in the last
        five minutes; where that may concern the request alone, in the last second)."""
        now = self._clock.seconds()
        return [key.variable for key in self._keys if key.rests_until <= now and key.refused_until <= now]

    # What another process has found out. It is told there.

    def hear_rest(self, variable: str, seconds: float) -> None:
        """The key of *variable* rests."""
        for key in self._keys:
            if key.variable == variable and len(self._keys) > 1:
                key.rests_until = max(key.rests_until, self._clock.seconds() + seconds)

    def hear_refused(self, variable: str, seconds: float) -> None:
        """The provider refuses the key of *variable*. The last that is in use is not put aside here, either."""
        until = self._clock.seconds() + seconds
        for key in self._keys:
            if key.variable == variable and key.refused_until < until:
                key.warned = True
                self._refuse(key, until)

    def _limited(self, key: _Key, seconds: float | None) -> float | None:
        if len(self._keys) == 1:
            return None
        now = self._clock.seconds()
        if not seconds:
            if key.rests_until > now:
                # It was sent before the rest began.
                return key.rests_until - now
            seconds = min(_LONGEST_UNSTATED_SECONDS, _FIRST_REST_SECONDS * 2.0 ** min(key.rests, 8))
            key.rests += 1
        before = max(key.rests_until, now)
        key.rests_until = max(before, now + min(seconds, LONGEST_STATED_SECONDS))
        if self._tell is not None and key.rests_until - before > _REST_TOLD_AGAIN:
            self._tell.key_rests(key.variable, key.rests_until - now)
        return key.rests_until - now

    def _rejected(self, key: _Key, status: int, request: int, kind: ErrorKind) -> None:
        now = self._clock.seconds()
        empty = kind is ErrorKind.NO_CREDIT
        if status == 403 and not empty and not self._blames(key, request):
            key.refused_until = max(key.refused_until, now + _MOMENT_SECONDS)
            return
        if not key.warned:
            key.warned = True
            _log.warn(_NO_CREDIT if empty else _REFUSED, provider=self._provider, variable=key.variable, status=status)
        if self._tell is not None and now + ASIDE_SECONDS - key.refused_until > _REFUSAL_TOLD_AGAIN:
            self._tell.key_refused(key.variable, ASIDE_SECONDS)
        self._refuse(key, now + ASIDE_SECONDS)

    def _refuse(self, key: _Key, until: float) -> None:
        now = self._clock.seconds()
        key.refused_until = until
        if key.aside_until != inf and any(each.aside_until <= now for each in self._keys if each is not key):
            key.aside_until = key.refused_until

    def _use_one(self) -> None:
        """The last one in use is never put aside, whatever was heard of it; nor does the only one rest."""
        if len(self._keys) == 1:
            self._keys[0].rests_until = 0.0
        if not self.in_use():
            for key in self._keys:
                if key.aside_until < inf:
                    key.aside_until = 0.0

    def _aside(self, key: _Key) -> float | None:
        left = key.aside_until - self._clock.seconds()
        return left if 0 < left < inf else None

    def _blames(self, key: _Key, request: int) -> bool:
        """Whether it is the fault of *key* that *request* is forbidden with it. The only key has no other to show."""
        if request == self._forbidden:
            return False
        others = [each for each in self._keys if each is not key and each.forbidden == request]
        if others:
            self._forbidden = request
            for each in others:
                each.forbidden = None
            return False
        if key.forbidden is None or key.forbidden == request:
            key.forbidden = request
            return False
        return True
