"""Asks providers until one answers: retries, fallbacks, and a second question where the first is slow."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from skyproxy.clock import Clock
from skyproxy.errors import (
    KeysResting,
    SkyproxyError,
    UpstreamError,
    UpstreamReported,
    UpstreamTimeout,
    UpstreamUnusable,
    forget,
)
from skyproxy.upstream.answer import Answer
from skyproxy.upstream.backoff import Backoff, retry_after
from skyproxy.upstream.beginning import Kind, read_beginning, refuse_redirect, wait_for_beginning
from skyproxy.upstream.budget import RetryBudget
from skyproxy.upstream.provider import Call, Provider
from skyproxy.upstream.race import race

_log = Logger()

RETRYABLE = frozenset({408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Statuses with which asking again can help. 520 to 524 are Cloudflare's for servers that it does not reach
(https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/), 529 is Anthropic's
for too much load (https://docs.anthropic.com/en/api/errors)."""

_REFUSALS = frozenset({401, 402, 403, 404, 413})
"""Statuses with which asking the same provider again does not help, but asking another can: it does not serve this
user, does not want this content, has no such model, or takes no request of this length."""


def _is_for_the_next(status: int) -> bool:
    """Whether another provider may answer better."""
    return status in RETRYABLE or status in _REFUSALS or status >= 500


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
        head_start = provider.head_start(hedge_after)
        seconds = head_start.take()
        first = Deferred.fromCoroutine(_outcome(self._or_next(index, plans, asked)))

        def start_next() -> Deferred[Outcome | SkyproxyError | None]:
            if not first.called:
                provider.counts.hedges += 1
                following = plans[index + 1].provider.config.name
                _log.info("Hedging", provider=provider.config.name, to=following, after_ms=round(seconds * 1000))
            return Deferred.fromCoroutine(_outcome(self._from(index + 1, plans, asked)))

        outcome: Outcome | SkyproxyError = await race(
            self._clock,
            first,
            seconds,
            start_next,
            is_good=_is_good,
            discard=_discard,
            overtaken=head_start.lost,
        )
        if isinstance(outcome, SkyproxyError):
            raise outcome
        if outcome.plan == index:
            head_start.won()
        return outcome

    async def _or_next(self, index: int, plans: Sequence[Plan], asked: Callable[[int], None]) -> Outcome | None:
        """Ask by a plan that has others behind it. None: their turn has come."""
        try:
            outcome = await self._try(index, plans, asked)
        except SkyproxyError as error:
            if not (error.for_the_next if isinstance(error, UpstreamReported) else _is_for_the_next(error.status)):
                raise
            forget(error)
            reason = error.code or "error"
        else:
            answer = outcome.answer
            if not _is_for_the_next(answer.status):
                return outcome
            answer.close(None)
            reason = f"status {answer.status}"
        failed, following = plans[index].provider, plans[index + 1].provider
        failed.counts.fallbacks += 1
        _log.info("Falling back", provider=failed.config.name, reason=reason, to=following.config.name)
        return None

    async def _try(self, index: int, plans: Sequence[Plan], asked: Callable[[int], None]) -> Outcome:
        """Ask one provider, again if that may help and the budget allows it. The permit is not held meanwhile."""
        plan, last = plans[index], index == len(plans) - 1
        first_token_timeout = None if last else plan.first_token_timeout
        retries = 0
        while True:
            asked(index)
            try:
                answer = await plan.provider.send(plan.call, first_token_timeout)
                if answer.status < 300:
                    if plan.kind is Kind.ANYTHING:
                        if first_token_timeout is not None:
                            await wait_for_beginning(answer, plan.kind, plan.provider.counts)
                    elif answer.data is None:
                        await wait_for_beginning(answer, plan.kind, plan.provider.counts)
                    else:
                        read_beginning(answer, answer.data, plan.provider.counts)
                elif answer.status < 400:
                    refuse_redirect(answer, plan.provider.counts)
            except (UpstreamError, KeysResting) as error:
                again = self._after_failure(plan, error, retries, last=last)
                if again is None:
                    raise
                forget(error)
                reason, wait = error.code or "error", again
                sent = isinstance(error, UpstreamError)
            else:
                again = None if answer.status < 400 else self._after_answer(plan, answer, retries, last=last)
                if again is None:
                    return Outcome(index, answer)
                answer.close(None)
                reason, wait = f"status {answer.status}", again
                sent = True
            retries += 1
            plan.provider.counts.retries += sent
            _log.info(
                "Retrying",
                provider=plan.provider.config.name,
                reason=reason,
                attempt=retries,
                wait_ms=round(wait * 1000, 1),
            )
            await sleep(self._clock, wait)

    def _after_failure(
        self, plan: Plan, error: UpstreamError | KeysResting, retries: int, *, last: bool
    ) -> float | None:
        """After how many seconds to ask again, once there was *error*; None: it is what comes of it."""
        config = plan.provider.config
        if retries == config.max_retries:
            return None
        if isinstance(error, KeysResting):
            wait = error.retry_after or 0.0
            # A fallback need not wait for anybody's keys.
            if not last or wait > config.retry_after_max:
                return None
        elif _may_ask_again(error):
            wait = self._backoff.delay(retries)
        else:
            return None
        return wait if self._budget.take() else None

    def _after_answer(self, plan: Plan, answer: Answer, retries: int, *, last: bool) -> float | None:
        """After how many seconds to ask again, once there was *answer*; None: it is what comes of it."""
        config, status = plan.provider.config, answer.status
        if retries == config.max_retries:
            return None
        if answer.key is not None and plan.provider.other_key(status):
            wait: float | None = 0.0
        elif status not in RETRYABLE:
            return None
        elif status == 429 and (rest := plan.provider.keys_rest()):
            if not last:
                return None
            wait = rest
        else:
            wait = retry_after(answer.headers, self._wall(), status)
        if (wait or 0.0) > config.retry_after_max or not self._budget.take():
            return None
        return self._backoff.delay(retries) if wait is None else wait


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
