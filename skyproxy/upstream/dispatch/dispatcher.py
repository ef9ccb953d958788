"""Asks providers until one answers: retries, fallbacks, and a second question where the first is slow."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from skyproxy.clock import Clock
from skyproxy.errors import (
    ErrorKind,
    KeysResting,
    SkyproxyError,
    UpstreamError,
    UpstreamReported,
    UpstreamTimeout,
    UpstreamUnreachable,
    UpstreamUnusable,
    forget,
)
from skyproxy.formats.error_kinds import ACTIONS, parameter_of
from skyproxy.upstream.dispatch.backoff import Backoff
from skyproxy.upstream.dispatch.race import race
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.buffered_bytes import BufferedBytes
from skyproxy.upstream.exchange.first_content import Kind, read_beginning, refuse_redirect, wait_for_beginning
from skyproxy.upstream.exchange.provider import Call, Provider

_log = Logger()

RETRYABLE = frozenset({408, 429, 498, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Statuses with which asking again can help. 520 to 524 are Cloudflare's for servers that it does not reach
(https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/), 529 is Anthropic's
for too much load (https://docs.anthropic.com/en/api/errors)."""

_LONG = 1.0
"""Seconds: who has waited so long for a failure does not try again while the breaker is open; nor does anybody wait so
long for a provider while a fallback is left."""


class Plan(NamedTuple):
    """One way to have a request answered.

    :ivar kind: of the answer.
    :ivar first_token_timeout: seconds to the first content of a stream, after which the next plan's turn comes.
    :ivar hedge_after: seconds to it, after which the next plan is tried besides.
    :ivar must_be_whole: nothing can be done with a part of a whole answer.
    """

    provider: Provider
    call: Call
    kind: Kind = Kind.ANYTHING
    first_token_timeout: float | None = None
    hedge_after: float | None = None
    must_be_whole: bool = False


class Outcome(NamedTuple):
    """What asking came to.

    :ivar plan: the index of the one that answered.
    """

    plan: int
    answer: Answer


class Dispatcher:
    """Asks.

    :param clock: for waiting.
    :param wall: the time of day, seconds since the epoch, which Retry-After may speak of.
    :param budget: of retries; that of the process.
    :param backoff: how long to wait where the provider does not say.
    :param held: what is held back of whole answers, by the whole process.
    """

    def __init__(
        self,
        clock: Clock,
        wall: Callable[[], float],
        budget: RetryBudget,
        backoff: Backoff,
        held: BufferedBytes | None = None,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._budget = budget
        self._backoff = backoff
        self._held = held or BufferedBytes()

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
            return self._try(0, plans, asked)
        return self._from(0, plans, asked)

    async def _from(self, first: int, plans: Sequence[Plan], asked: Callable[[int], None]) -> Outcome:
        last = len(plans) - 1
        for index in range(first, last):
            hedge_after = plans[index].hedge_after
            if hedge_after is not None:
                return await self._race(index, plans, hedge_after, asked)
            outcome = await self._or_next(index, plans, asked)
            if outcome is not None:
                return outcome
        return await self._try(last, plans, asked)

    async def _race(
        self, index: int, plans: Sequence[Plan], hedge_after: float, asked: Callable[[int], None]
    ) -> Outcome:
        """Ask by a plan, and after a while by those behind it, too."""
        provider = plans[index].provider
        hedge_delay = provider.hedge_delay(hedge_after)
        seconds = hedge_delay.take()
        first = Deferred.fromCoroutine(_outcome(self._or_next(index, plans, asked)))

        def start_next() -> Deferred[Outcome | SkyproxyError | None]:
            if not first.called:
                provider.counts.hedges += 1
                following = plans[index + 1].provider.config.name
                _log.info(
                    "Hedging",
                    request_id=plans[index].call.request_id,
                    provider=provider.config.name,
                    model=plans[index].call.model,
                    to=following,
                    after_ms=round(seconds * 1000),
                )
            return Deferred.fromCoroutine(_outcome(self._from(index + 1, plans, asked)))

        outcome: Outcome | SkyproxyError = await race(
            self._clock,
            first,
            seconds,
            start_next,
            is_good=_is_good,
            discard=_discard,
            overtaken=hedge_delay.lost,
        )
        if isinstance(outcome, SkyproxyError):
            raise outcome
        if outcome.plan == index:
            hedge_delay.won()
        return outcome

    async def _or_next(self, index: int, plans: Sequence[Plan], asked: Callable[[int], None]) -> Outcome | None:
        """Ask by a plan that has others behind it. None: their turn has come."""
        try:
            outcome = await self._try(index, plans, asked)
        except SkyproxyError as error:
            if not _may_do_better(error):
                raise
            forget(error)
            reason, cause = error.code or "error", error.message
        else:
            answer = outcome.answer
            if answer.kind is None or not ACTIONS[answer.kind].next_candidate:
                return outcome
            answer.close(None)
            reason, cause = f"status {answer.status}", _words(answer)
        plan, following = plans[index], plans[index + 1].provider
        plan.provider.counts.fallbacks += 1
        _log.info(
            "Falling back",
            request_id=plan.call.request_id,
            provider=plan.provider.config.name,
            model=plan.call.model,
            reason=reason,
            cause=cause,
            to=following.config.name,
        )
        return None

    async def _try(self, index: int, plans: Sequence[Plan], asked: Callable[[int], None]) -> Outcome:
        """Ask one provider, again if that may help and the budget allows it. The permit is not held meanwhile."""
        plan, last = plans[index], index == len(plans) - 1
        first_token_timeout = None if last else plan.first_token_timeout
        progress = _Progress(self._clock.seconds(), plan.call)
        while True:
            if progress.call.added:
                progress.call = plan.provider.fitting(progress.call)
            asked(index)
            began = self._clock.seconds()
            try:
                answer = await plan.provider.send(
                    progress.call, first_token_timeout, last=last, since=progress.limited_since, avoid=progress.avoid
                )
                if answer.status < 300:
                    if plan.kind is Kind.ANYTHING:
                        if first_token_timeout is not None:
                            await wait_for_beginning(answer, plan.kind, plan.provider.counts, self._held)
                    elif answer.data is None:
                        await wait_for_beginning(
                            answer, plan.kind, plan.provider.counts, self._held, must_be_whole=plan.must_be_whole
                        )
                    else:
                        read_beginning(answer, answer.data, plan.provider.counts)
                elif answer.status < 400:
                    refuse_redirect(answer, plan.provider.counts)
            except (UpstreamError, KeysResting) as error:
                if isinstance(error, UpstreamReported) and plan.call.refused is not None:
                    plan.call.refused(200, error.kind, error.said)
                again = self._after_failure(plan, error, progress, self._clock.seconds() - began, last=last)
                if again is None:
                    raise
                forget(error)
                reason, cause, wait = error.code or "error", error.message, again
                sent = isinstance(error, UpstreamError)
            else:
                again = None if answer.status < 400 else self._after_answer(plan, answer, progress, last=last)
                if again is None:
                    return Outcome(index, answer)
                answer.close(None)
                reason, cause, wait = f"status {answer.status}", _words(answer), again
                sent = True
            plan.provider.counts.retries += sent
            progress.number += 1
            _log.info(
                "Retrying",
                request_id=plan.call.request_id,
                provider=plan.provider.config.name,
                model=plan.call.model,
                reason=reason,
                cause=cause,
                progress=progress.number,
                wait_ms=round(wait * 1000, 1),
            )
            if wait or progress.limited_since is None:
                await sleep(self._clock, wait)

    def _after_failure(
        self, plan: Plan, error: UpstreamError | KeysResting, progress: _Progress, took: float, *, last: bool
    ) -> float | None:
        """After how many seconds to ask again, once there was *error*; None: it is what comes of it."""
        provider = plan.provider
        if isinstance(error, UpstreamReported):
            if error.kind is ErrorKind.RATE and provider.guards.rate:
                other_key = provider.other_key(plan.call, progress.avoid)
                return self._after_limit(plan, progress, wait=last, other_key=other_key)
            if error.kind is ErrorKind.PARAMETER:
                return _after_parameter(plan, progress, error.parameter)
        if progress.retries >= provider.config.max_retries:
            return None
        if isinstance(error, KeysResting):
            wait = error.retry_after or 0.0
            # A fallback need not wait for anybody's keys; and where there are guards, it was waited for.
            if not last or provider.guards.rate or wait > self._left(plan, progress):
                return None
        elif _may_ask_again(error):
            if isinstance(error, UpstreamUnreachable | UpstreamTimeout) and not last:
                return None
            if took > _LONG and provider.fails(plan.call):
                return None
            wait = self._backoff.delay(progress.retries)
        else:
            return None
        return self._again(progress, wait)

    def _after_answer(self, plan: Plan, answer: Answer, progress: _Progress, *, last: bool) -> float | None:
        """After how many seconds to ask again, once there was *answer*; None: it is what comes of it."""
        provider, status = plan.provider, answer.status
        if answer.kind is ErrorKind.PARAMETER and answer.error is not None:
            return _after_parameter(plan, progress, parameter_of(answer.error))
        action = ACTIONS[answer.kind or ErrorKind.BROKEN]
        advice = answer.headers.last.get(b"x-should-retry", b"").lower()
        if answer.key is not None and (advice == b"false" or (action.other_key and answer.kind is not ErrorKind.RATE)):
            progress.avoid.add(answer.key)
        other_key = action.other_key and answer.key is not None and provider.other_key(plan.call, progress.avoid)
        if answer.kind is ErrorKind.RATE and provider.guards.rate:
            return self._after_limit(plan, progress, wait=last and advice != b"false", other_key=other_key)
        if progress.retries >= provider.config.max_retries:
            return None
        if other_key:
            return self._again(progress, 0.0)
        same_again = action.same_again and (status in RETRYABLE or answer.kind is ErrorKind.OVERLOADED)
        if advice == b"false" or not (same_again or advice == b"true"):
            return None
        wait = provider.asks_to_wait(answer)
        if status == 429 and (rest := provider.keys_rest()):
            wait = rest
            if not last:
                return None
        if wait is None:
            return self._again(progress, self._backoff.delay(progress.retries))
        if wait > (self._left(plan, progress) if last else _LONG):
            return None
        return self._again(progress, wait)

    def _after_limit(self, plan: Plan, progress: _Progress, *, wait: bool, other_key: bool) -> float | None:
        """0.0: the request goes to another key, or to the head of the line, which is no retry; None: to neither."""
        if not other_key and (
            not wait or (plan.provider.rest(plan.call, progress.avoid) or 0.0) >= self._left(plan, progress)
        ):
            return None
        if progress.limited_since is None:
            progress.limited_since = progress.began
        return 0.0

    def _left(self, plan: Plan, progress: _Progress) -> float:
        """Seconds that the request may still wait."""
        return progress.began + plan.call.queue_timeout - self._clock.seconds()

    def _again(self, progress: _Progress, wait: float) -> float | None:
        """*wait*, if the budget has another retry."""
        if not self._budget.take():
            return None
        progress.retries += 1
        return wait


@dataclass(slots=True)
class _Progress:
    """How far the asking of one provider has come.

    :ivar began: when it began.
    :ivar call: what is sent, without what the model has refused.
    :ivar number: of times that it was asked again.
    :ivar retries: those of them that count.
    :ivar limited_since: *began*, once there was a 429.
    :ivar avoid: variables of keys that shall not carry the request again.
    """

    began: float
    call: Call
    number: int = 0
    retries: int = 0
    limited_since: float | None = None
    avoid: set[str] = field(default_factory=set)


def _after_parameter(plan: Plan, progress: _Progress, parameter: str | None) -> float | None:
    """0.0: *parameter*, which the provider does not take, is skyproxy's own, and is left out; None: it is not."""
    call = plan.provider.take_back(progress.call, parameter)
    if call is None:
        return None
    progress.call = call
    return 0.0


def _may_do_better(error: SkyproxyError) -> bool:
    """Whether another provider may, after *error*."""
    if isinstance(error, UpstreamReported):
        return error.for_the_next
    return error.status >= 500 or error.status == 408


def _words(answer: Answer) -> str:
    """The provider's own."""
    return "" if answer.error is None else answer.error.message[:300]


def _may_ask_again(error: UpstreamError) -> bool:
    # Who has waited for the whole of a timer shall not wait for it again: that is for another provider.
    if isinstance(error, UpstreamTimeout):
        return error.timer == "connect_timeout"
    return error.retryable and not isinstance(error, UpstreamUnusable)


async def _outcome(asking: Coroutine[Any, Any, Outcome | None]) -> Outcome | SkyproxyError | None:
    """What *asking* comes to, or fails with; None, too, if it is cancelled: then nobody wants to know."""
    try:
        return await asking
    except SkyproxyError as error:
        forget(error)
        return error
    except CancelledError as cancelled:
        forget(cancelled)
        return None


def _is_good(outcome: Outcome | SkyproxyError) -> bool:
    return isinstance(outcome, Outcome) and outcome.answer.status < 400


def _discard(outcome: Outcome | SkyproxyError) -> None:
    if isinstance(outcome, Outcome):
        # A bad answer says what it says of its provider, whoever wins.
        outcome.answer.close(CancelledError() if _is_good(outcome) else None)


def sleep(clock: Clock, seconds: float) -> Deferred[None]:
    """Fires after *seconds*; cancelling it stops the timer."""
    waiting: Deferred[None] = Deferred(lambda _: timer.cancel())
    timer: Any = clock.callLater(seconds, waiting.callback, None)
    return waiting
