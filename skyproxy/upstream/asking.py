"""Asks providers until one answers: retries, fallbacks, and a second question where the first is slow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from skyproxy.errors import (
    SkyproxyError,
    Unavailable,
    UpstreamBroken,
    UpstreamError,
    UpstreamReported,
    UpstreamTimeout,
)
from skyproxy.opening import Opening
from skyproxy.upstream.backoff import Backoff, retry_after
from skyproxy.upstream.budget import RetryBudget
from skyproxy.upstream.provider import Answer, Call, Provider
from skyproxy.upstream.race import first_success, within
from skyproxy.upstream.timers import Clock
from skyproxy.upstream.whole import read_json

_log = Logger()

RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses with which asking again can help."""


class Kind(Enum):
    """What an answer is, and so what can be known of it before it goes down."""

    JSON = "json"
    """An object, or a stream of them whose beginning tells whether it has begun."""
    ANYTHING = "anything"


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to have a request answered.

    :ivar kind: of the answer.
    :ivar first_token_timeout: seconds to the first content of a stream, after which the next plan's turn comes.
    :ivar hedge_after: seconds to it, after which the next plan is tried besides.
    """

    provider: Provider
    call: Call
    kind: Kind = Kind.ANYTHING
    first_token_timeout: float | None = None
    hedge_after: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What asking came to.

    :ivar plan: the index of the one that answered.
    """

    plan: int
    answer: Answer


class Asker:
    """Asks.

    :param clock: for waiting.
    :param wall: the time of day, seconds since the epoch, which Retry-After may speak of.
    :param budget: of retries; that of the process.
    :param backoff: how long to wait where the provider does not say.
    """

    def __init__(self, clock: Clock, wall: Callable[[], float], budget: RetryBudget, backoff: Backoff) -> None:
        self._clock = clock
        self._wall = wall
        self._budget = budget
        self._backoff = backoff

    async def ask(self, plans: Sequence[Plan], asked: Callable[[int], None]) -> Outcome:
        """Ask by each of *plans* in turn, until one answers well.

        Nothing of an answer has been passed on when this returns, so that whatever failed before is unseen. The last
        plan's failure, or its bad answer, is what comes of it if none succeeds.

        :param asked: told the index of the plan, each time a provider is asked.
        :return: the answer: its body is not read, or only its beginning, which is kept.
        :raise SkyproxyError: see :meth:`Provider.send`.
        """
        self._budget.request()
        return await self._from(0, plans, asked)

    async def _from(self, index: int, plans: Sequence[Plan], asked: Callable[[int], None]) -> Outcome:
        plan = plans[index]
        if index == len(plans) - 1:
            return Outcome(index, await self._try(plan, lambda: asked(index), last=True))
        trying = self._first(index, plan, asked)
        if plan.hedge_after is None:
            try:
                return await trying
            except _Failed as failed:
                self._log_fallback(plan, plans[index + 1], failed.reason)
            return await self._from(index + 1, plans, asked)
        return await first_success(
            self._clock,
            Deferred.fromCoroutine(trying),
            plan.hedge_after,
            lambda: Deferred.fromCoroutine(self._from(index + 1, plans, asked)),
            lambda outcome: outcome.answer.close(CancelledError()),
            _Failed,
        )

    async def _first(self, index: int, plan: Plan, asked: Callable[[int], None]) -> Outcome:
        """Ask by a plan that has others behind it.

        :raise _Failed: their turn has come.
        """
        try:
            answer = await self._try(plan, lambda: asked(index), last=False)
        except SkyproxyError as error:
            if not error.retryable and not isinstance(error, Unavailable):
                raise
            raise _Failed(error.code or "error") from error
        if answer.status in RETRYABLE:
            answer.close(None)
            raise _Failed(f"status {answer.status}")
        return Outcome(index, answer)

    async def _try(self, plan: Plan, asked: Callable[[], None], *, last: bool) -> Answer:
        """Ask one provider, again if that may help and the budget allows it. The permit is not held meanwhile."""
        config = plan.provider.config
        attempt = 0
        while True:
            asked()
            more = attempt < config.max_retries
            wait: float | None = None
            try:
                answer = await self._once(plan, None if last else plan.first_token_timeout)
            except UpstreamError as error:
                if not more or not _may_ask_again(error):
                    raise
                reason = error.code or "error"
                if not self._budget.take():
                    raise
            else:
                if more and answer.key is not None and plan.provider.other_key(answer.status):
                    wait = 0.0
                elif answer.status not in RETRYABLE or not more:
                    return answer
                else:
                    wait = retry_after(answer.headers, self._wall(), answer.status)
                if (wait or 0.0) > config.retry_after_max or not self._budget.take():
                    return answer
                answer.close(None)
                reason = f"status {answer.status}"
            if wait is None:
                wait = self._backoff.delay(attempt)
            attempt += 1
            plan.provider.counts.retries += 1
            _log.info("Retrying", provider=config.name, reason=reason, attempt=attempt, wait_ms=round(wait * 1000, 1))
            await sleep(self._clock, wait)

    async def _once(self, plan: Plan, first_token_timeout: float | None) -> Answer:
        """Send one request, and wait for all of a whole answer, or for a stream to say something."""
        if plan.kind is Kind.ANYTHING:
            return await plan.provider.send(plan.call)
        if first_token_timeout is None:
            return await self._open(plan)
        name = plan.provider.config.name
        late = UpstreamTimeout(
            f"Provider {name!r} said nothing within {first_token_timeout:g} s (first_token_timeout).",
            timer="first_token_timeout",
        )
        return await within(self._clock, Deferred.fromCoroutine(self._open(plan)), first_token_timeout, late)

    async def _open(self, plan: Plan) -> Answer:
        answer = await plan.provider.send(plan.call)
        if answer.status != 200:
            return answer
        try:
            if answer.is_event_stream:
                await self._hold(answer)
            else:
                answer.whole = await read_json(answer.body, answer.headers)
        except BaseException as error:
            answer.close(error)
            raise
        return answer

    async def _hold(self, answer: Answer) -> None:
        """Wait for content.

        :raise UpstreamReported: the stream begins with an error.
        :raise UpstreamBroken: it ends before it has said anything.
        """
        opening = Opening()
        body = answer.body
        if await body.first() is None:
            body.stream()
            await body.first(opening.feed)
        if opening.state == "error":
            raise UpstreamReported(opening.error or {})
        if opening.state != "content":
            raise UpstreamBroken("The provider sent a stream that says nothing.")

    def _log_fallback(self, plan: Plan, following: Plan, reason: str) -> None:
        _log.info("Falling back", provider=plan.provider.config.name, reason=reason, to=following.provider.config.name)


class _Failed(Exception):
    """The next plan's turn has come.

    :ivar reason: why, for the log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _may_ask_again(error: UpstreamError) -> bool:
    # Who has waited for the whole of a timer shall not wait for it again: that is for another provider.
    if isinstance(error, UpstreamTimeout):
        return error.timer == "connect_timeout"
    return error.retryable


def sleep(clock: Clock, seconds: float) -> Deferred[None]:
    """Fires after *seconds*; cancelling it stops the timer."""
    waiting: Deferred[None] = Deferred(lambda _: timer.cancel())
    timer: Any = clock.callLater(seconds, waiting.callback, None)
    return waiting
