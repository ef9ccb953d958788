"""The circuit breaker: what fails and fails is left alone for a moment, and then tried again with care."""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from twisted.logger import Logger

from skyproxy.clock import Clock
from skyproxy.config import BreakerSettings
from skyproxy.upstream.guards.refusals import BreakerOpen
from skyproxy.upstream.guards.statistics import BreakerStatistics

if TYPE_CHECKING:
    from skyproxy.upstream.guards.findings import BreakerOpened, Teller

_log = Logger()

LONGEST_OPEN_SECONDS = 10.0
"""Seconds at which the doubling of ``open_for`` ends, unless the first is longer."""
GOOD_AFTER_SECONDS = 1.0
"""Seconds without a failure after which a probe counts as good, though nothing has come yet."""
_INTERACTIVE_SECONDS = 10.0
"""Seconds for which an interactive request counts as asking; a background request is no probe meanwhile."""


class BreakerState(Enum):
    """Whether requests are admitted: all, none, or one to find out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Admission:
    """One request that was admitted. The first word about how it went counts, any other does nothing.

    :ivar is_probe: whether others wait for how it goes.
    """

    __slots__ = ("_breaker", "_period", "is_probe")

    def __init__(self, breaker: Breaker, period: int, *, is_probe: bool) -> None:
        self._breaker: Breaker | None = breaker
        self._period = period
        self.is_probe = is_probe

    @property
    def current(self) -> bool:
        """Whether the breaker is in the state in which it admitted this."""
        return self._breaker is not None and self._breaker.period == self._period

    def waits(self) -> None:
        """The request waits, for a permit: until it is :meth:`sent` no time speaks for it."""
        if self._breaker is not None and self.is_probe and self.current:
            # It stays the one probe here; other processes may send theirs.
            self._breaker._probe_ignored(inf)

    def sent(self) -> None:
        """It waits no longer."""
        if self._breaker is not None and self.is_probe and self.current:
            self._breaker._probe_sent()

    def succeeded(self) -> None:
        """All was well, be it that a bad request was refused."""
        breaker, self._breaker = self._breaker, None
        if breaker is not None and breaker.period == self._period:
            breaker._succeeded()

    def failed(self, cause: str = "") -> None:
        """It was not.

        :param cause: for the message of the error that refuses others because of it.
        """
        breaker, self._breaker = self._breaker, None
        if breaker is not None and (breaker.period == self._period or not self.is_probe):
            breaker._failed(self, cause, current=breaker.period == self._period)

    def ignored(self) -> None:
        """There is no result: the request was cancelled, or not sent after all. A probe's place is free again."""
        breaker, self._breaker = self._breaker, None
        if breaker is not None and breaker.period == self._period and self.is_probe:
            breaker._probe_ignored()


class Breaker:
    """Admits requests while they do well, and none but one probe at a time after too many failed in a row.

    A request at its last candidate is always admitted: then the breaker only learns.

    :param clock: for the time that it stays open. It needs no timer.
    :param provider: the name of what it stands before, for messages.
    :param model: of it; None: all of the provider.
    :ivar tell: takes what other processes should know; None: there are none.
    :ivar calm: it is closed, and the last request went well: it need not be asked, and no success would change it.
    :ivar period: counts the changes of its state.
    """

    __slots__ = (
        "_cause",
        "_failures",
        "_interactive_at",
        "_model",
        "_open_until",
        "_opened",
        "_probe_at",
        "_provider",
        "_refused",
        "_rest",
        "_seconds",
        "_settings",
        "calm",
        "period",
        "tell",
    )  # fmt: skip

    def __init__(
        self,
        clock: Clock,
        settings: BreakerSettings,
        provider: str,
        model: str | None = None,
        tell: Teller | None = None,
    ) -> None:
        self._seconds = clock.seconds
        self._settings = settings
        self._provider = provider
        self._model = model
        self.tell = tell
        self._failures = 0
        self._cause = ""
        # None: closed.
        self._open_until: float | None = None
        self._probe_at: float | None = None
        self._rest = 0.0
        self.period = 0
        self.calm = True
        self._interactive_at = -inf
        self._opened = 0
        self._refused = 0

    def admit(self, *, last: bool = False, background: bool = False) -> Admission:
        """Let one request go.

        :param last: no other candidate is left.
        :param background: the request is a background one.
        :raise BreakerOpen: it must not.
        """
        if self._open_until is None:
            return Admission(self, self.period, is_probe=False)
        now = self._seconds()
        if not background:
            self._interactive_at = now
        self._look(now)
        if self._open_until is None:
            return Admission(self, self.period, is_probe=False)
        may_probe = self._open_until <= now and self._probe_at is None
        if may_probe and not (background and not last and now - self._interactive_at < _INTERACTIVE_SECONDS):
            self._probe_sent()
            return Admission(self, self.period, is_probe=True)
        if last:
            return Admission(self, self.period, is_probe=False)
        self._refused += 1
        again = max(self._open_until - now, 0.0) or GOOD_AFTER_SECONDS
        last_failure = f" What failed last: {self._cause}" if self._cause else ""
        what = f"Provider {self._provider!r}"
        if self._model is not None:
            what = f"Model {self._model[:200]!r} of provider {self._provider!r}"
        raise BreakerOpen(
            f"{what} has failed {self._settings.consecutive} times in a row, and is left alone for now; it is "
            f"asked again in {again:.1f} s.{last_failure}",
            failures=self._settings.consecutive,
            cause=self._cause,
            retry_after=again,
        )

    @property
    def state(self) -> BreakerState:
        """The state at this moment."""
        now = self._seconds()
        self._look(now)
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self._open_until > now else BreakerState.HALF_OPEN

    @property
    def idle(self) -> bool:
        """Whether a new breaker would do as well."""
        return self._open_until is None and not self._failures

    def statistics(self) -> BreakerStatistics:
        """The state at this moment, and the counts."""
        state, until = self.state, self._open_until
        return BreakerStatistics(
            state=state.value,
            consecutive=self._failures,
            retry_in=0.0 if until is None else max(0.0, until - self._seconds()),
            opened=self._opened,
            refused=self._refused,
            cause=self._cause,
        )

    def close(self, *, heard: bool = False) -> bool:
        """Admit all again, and forget what failed. What is under way from before counts no more.

        :param heard: another process has closed it, and logged that.
        :return: whether it was not closed.
        """
        was_open = self._open_until is not None
        self._failures, self._rest, self.calm = 0, 0.0, True
        if was_open:
            self._close(heard=heard)
        return was_open

    # What another process has found out. It is counted and told there.

    def hear_opened(self, found: BreakerOpened) -> None:
        """Leave it alone, too."""
        self._failures = self._settings.consecutive
        self._cause = found.cause or self._cause
        self._rest = found.doubled
        self._open_until = self._seconds() + found.seconds
        self._probe_at = None
        self.calm = False
        self.period += 1

    def hear_probe(self) -> None:
        """Wait for how it goes."""
        if self._open_until is not None and self._probe_at in (None, inf):
            self._probe_at = self._seconds()

    def hear_ignored(self) -> None:
        """Wait no longer."""
        self._probe_at = None

    def _succeeded(self) -> None:
        self._failures = 0
        self._rest = 0.0
        if self._open_until is not None:
            self._close()
            if self.tell is not None:
                self.tell.closed(self._model)
        self.calm = True

    def _probe_sent(self) -> None:
        self._probe_at = self._seconds()
        if self.tell is not None:
            self.tell.probes(self._model)

    def _probe_ignored(self, at: float | None = None) -> None:
        self._probe_at = at
        if self.tell is not None:
            self.tell.ignored(self._model)

    def _failed(self, admission: Admission, cause: str, *, current: bool) -> None:
        if cause:
            self._cause = cause
        if not current:
            return
        self._failures += 1
        self.calm = False
        if self._open_until is None:
            if self._failures >= self._settings.consecutive:
                self._open()
        elif admission.is_probe:
            self._open()

    def _look(self, now: float) -> None:
        if self._probe_at is not None and now - self._probe_at >= GOOD_AFTER_SECONDS:
            # Nothing has come yet: the next failure opens it again, for longer.
            self._close()
            self._failures = self._settings.consecutive - 1

    def _open(self) -> None:
        first = self._settings.open_for
        self._rest = min(self._rest * 2, max(first, LONGEST_OPEN_SECONDS)) or first
        self._open_until = self._seconds() + self._rest
        self._opened += 1
        self.period += 1
        self._probe_at = None
        _log.warn(
            "Circuit breaker opened",
            provider=self._provider,
            model=self._model,
            failures=self._failures,
            open_for=self._rest,
            cause=self._cause,
        )
        if self.tell is not None:
            self.tell.opened(self._model, self._rest, self._cause)

    def _close(self, *, heard: bool = False) -> None:
        self._open_until = self._probe_at = None
        self.period += 1
        if not heard:
            _log.info("Circuit breaker closed", provider=self._provider, model=self._model)
