"""Asks providers until one answers: retries, fallbacks, and a second question where the first is slow."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from enum import Enum
from typing import Any, NamedTuple

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
from skyproxy.upstream.answer import Answer
from skyproxy.upstream.backoff import Backoff, retry_after
from skyproxy.upstream.budget import RetryBudget
from skyproxy.upstream.provider import Call, Provider
from skyproxy.upstream.race import first_success, within
from skyproxy.upstream.timers import Clock
from skyproxy.upstream.whole import json_of, plain, read_json

_log = Logger()

RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses with which asking again can help."""


class Kind(Enum):
    """What an answer is, and so what can be known of it before it goes down."""

    JSON = "json"
    """An object, or a stream of them whose beginning tells whether it has begun."""
    ANYTHING = "anything"


class Plan(NamedTuple):
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


class Outcome(NamedTuple):
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

    def ask(self, plans: Sequence[Plan], asked: Callable[[int], None]) -> Coroutine[Any, Any, Outcome]:
        """Ask by each of *plans* in turn, until one answers well.

        Nothing of an answer has been passed on when this returns, so that whatever failed before is unseen. The last
        plan's failure, or its bad answer, is what comes of it if none succeeds.

        :param asked: told the index of the plan, each time a provider is asked.
        :return: the answer: its body is not read, or only its beginning, which is kept.
        :raise SkyproxyError: see :meth:`Provider.send`.
        """
        self._budget.request()
        if len(plans) == 1:
            return self._try(0, plans[0], asked, None)
        return self._from(0, plans, asked)

    async def _from(self, first: int, plans: Sequence[Plan], asked: Callable[[int], None]) -> Outcome:
        last = len(plans) - 1
        for index in range(first, last):
            if plans[index].hedge_after is not None:
                return await self._race(index, plans, asked)
            try:
                return await self._or_next(index, plans, asked)
            except _Failed as failed:
                _log_fallback(plans[index], plans[index + 1], failed.reason)
        return await self._try(last, plans[last], asked, None)

    def _race(self, index: int, plans: Sequence[Plan], asked: Callable[[int], None]) -> Deferred[Outcome]:
        """Ask by a plan, and after a while by those behind it, too."""
        hedge_after = plans[index].hedge_after
        assert hedge_after is not None
        return first_success(
            self._clock,
            Deferred.fromCoroutine(self._or_next(index, plans, asked)),
            hedge_after,
            lambda: Deferred.fromCoroutine(self._from(index + 1, plans, asked)),
            lambda outcome: outcome.answer.close(CancelledError()),
            _Failed,
        )

    async def _or_next(self, index: int, plans: Sequence[Plan], asked: Callable[[int], None]) -> Outcome:
        """Ask by a plan that has others behind it.

        :raise _Failed: their turn has come.
        """
        plan = plans[index]
        try:
            outcome = await self._try(index, plan, asked, plan.first_token_timeout)
        except SkyproxyError as error:
            if not error.retryable and not isinstance(error, Unavailable):
                raise
            raise _Failed(error.code or "error") from error
        answer = outcome.answer
        if answer.status in RETRYABLE:
            answer.close(None)
            raise _Failed(f"status {answer.status}")
        return outcome

    async def _try(
        self, index: int, plan: Plan, asked: Callable[[int], None], first_token_timeout: float | None
    ) -> Outcome:
        """Ask one provider, again if that may help and the budget allows it. The permit is not held meanwhile."""
        retries = 0
        while True:
            asked(index)
            try:
                if first_token_timeout is None:
                    answer = await plan.provider.send(plan.call)
                    if answer.status == 200 and plan.kind is Kind.JSON:
                        if answer.data is None or answer.is_event_stream:
                            await _open(answer)
                        else:
                            _read(answer, answer.data)
                else:
                    answer = await self._in_time(plan, first_token_timeout)
            except UpstreamError as error:
                if retries == plan.provider.config.max_retries or not _may_ask_again(error) or not self._budget.take():
                    raise
                reason, wait = error.code or "error", self._backoff.delay(retries)
            else:
                again = None if answer.status < 400 else self._again(plan, answer, retries)
                if again is None:
                    return Outcome(index, answer)
                answer.close(None)
                reason, wait = f"status {answer.status}", again
            retries += 1
            plan.provider.counts.retries += 1
            _log.info(
                "Retrying",
                provider=plan.provider.config.name,
                reason=reason,
                attempt=retries,
                wait_ms=round(wait * 1000, 1),
            )
            await sleep(self._clock, wait)

    def _again(self, plan: Plan, answer: Answer, retries: int) -> float | None:
        """After how many seconds to ask again, once there was *answer*; None: it is what comes of it."""
        config, status = plan.provider.config, answer.status
        if retries == config.max_retries:
            return None
        if answer.key is not None and plan.provider.other_key(status):
            wait: float | None = 0.0
        elif status not in RETRYABLE:
            return None
        else:
            wait = retry_after(answer.headers, self._wall(), status)
        if (wait or 0.0) > config.retry_after_max or not self._budget.take():
            return None
        return self._backoff.delay(retries) if wait is None else wait

    def _in_time(self, plan: Plan, first_token_timeout: float) -> Deferred[Answer]:
        name = plan.provider.config.name
        late = UpstreamTimeout(
            f"Provider {name!r} said nothing within {first_token_timeout:g} s (first_token_timeout).",
            timer="first_token_timeout",
        )

        async def begun() -> Answer:
            answer = await plan.provider.send(plan.call)
            if answer.status == 200 and plan.kind is Kind.JSON:
                await _open(answer)
            return answer

        return within(self._clock, Deferred.fromCoroutine(begun()), first_token_timeout, late)


async def _open(answer: Answer) -> None:
    """Wait for all of a whole answer, or for a stream to say something."""
    try:
        if answer.is_event_stream:
            await _hold(answer)
        else:
            answer.whole = await read_json(answer.body, answer.headers)
    except BaseException as error:
        answer.close(error)
        raise


def _read(answer: Answer, data: bytes) -> None:
    """Read an answer that came whole."""
    try:
        answer.whole = json_of(plain(data, answer.headers) if answer.is_encoded else data, answer.headers)
    except BaseException as error:
        answer.close(error)
        raise


async def _hold(answer: Answer) -> None:
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


def _log_fallback(plan: Plan, following: Plan, reason: str) -> None:
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
