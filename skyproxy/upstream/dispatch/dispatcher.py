"""Asks candidates until one answers: retries, fallbacks, and a second request where the first is slow."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from skyproxy.clock import Clock
from skyproxy.errors import SkyproxyError, UpstreamError, UpstreamReported, forget
from skyproxy.upstream.dispatch.backoff import Backoff
from skyproxy.upstream.dispatch.candidate_request import CandidateRequest
from skyproxy.upstream.dispatch.race import race
from skyproxy.upstream.dispatch.results import discard, is_for_the_next, is_good, next_may_help, result_of
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from skyproxy.upstream.dispatch.retry_policy import Progress, Retry, RetryPolicy, words_of
from skyproxy.upstream.dispatch.turns import Turns, Windows
from skyproxy.upstream.dispatch.way_back import WayBack
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.attempt import Attempt, AttemptObserver
from skyproxy.upstream.exchange.buffered_bytes import BufferedBytes
from skyproxy.upstream.exchange.first_content import (
    AnswerKind,
    is_called_json,
    read_beginning,
    refuse_error,
    refuse_redirect,
    wait_for_beginning,
)
from skyproxy.upstream.guards.refusals import KeysResting

_log = Logger()

Candidates = Sequence[CandidateRequest]


class Dispatcher:
    """Asks one candidate after the other, or two at once.

    :param clock: for waiting.
    :param budget: of retries; that of the process.
    :param backoff: how long to wait where the provider does not say.
    :param buffered: the bytes of whole answers that the process buffers.
    """

    def __init__(
        self, clock: Clock, budget: RetryBudget, backoff: Backoff, buffered: BufferedBytes | None = None
    ) -> None:
        self._clock = clock
        self._budget = budget
        self._retries = RetryPolicy(clock, budget, backoff)
        self._buffered = buffered or BufferedBytes()
        self._windows = Windows()

    def dispatch(
        self, candidates: Candidates, observer: AttemptObserver, first: int = 0
    ) -> Coroutine[Any, Any, Answer]:
        """Ask each of *candidates* in turn, until one answers well.

        Nothing of an answer has been passed on when this returns, so that whatever failed before is unseen. If none
        succeeds, a candidate that was passed over because it would have had to be waited for is asked once more, see
        :class:`WayBack`; if there is none, the last candidate's failure, or its bad answer, is what comes of it.

        :param observer: observes each attempt.
        :param first: the index of the one that is asked first.
        :return: the answer: its body is not read, or only its beginning, which is kept.
        :raise SkyproxyError: see :meth:`Provider.send`.
        """
        self._budget.request()
        if len(candidates) - first == 1:
            return self._ask(first, candidates, (), observer)
        return self._ask_all(Turns(candidates, first, self._windows), observer)

    async def _ask_all(self, turns: Turns, observer: AttemptObserver) -> Answer:
        way_back, candidates = WayBack(self._clock, self._budget), turns.candidates
        try:
            answer = await self._ask_from(turns, observer, way_back)
        except SkyproxyError as error:
            index = way_back.index(candidates) if next_may_help(error) else None
            if index is None:
                raise
            forget(error)
        else:
            index = way_back.index(candidates) if is_for_the_next(answer) else None
            if index is None:
                return answer
            answer.close(None)
        candidate = candidates[index]
        _log.info(
            "Coming back",
            request_id=candidate.request_id,
            provider=candidate.provider.config.name,
            model=candidate.model,
        )
        return await self._ask(index, candidates, (), observer, way_back.began)

    async def _ask_from(self, turns: Turns, observer: AttemptObserver, way_back: WayBack) -> Answer:
        index = turns.take()
        while turns.left:
            hedge_after = turns.candidates[index].hedge_after
            if hedge_after is not None:
                return await self._hedge(index, turns, hedge_after, observer, way_back)
            answer = await self._ask_or_fall_back(index, turns, observer, way_back)
            if answer is not None:
                return answer
            index = turns.take()
        return await self._ask(index, turns.candidates, (), observer)

    async def _hedge(
        self, index: int, turns: Turns, hedge_after: float, observer: AttemptObserver, way_back: WayBack
    ) -> Answer:
        """Ask a candidate, and after a while those behind it, too."""
        candidate, following = turns.candidates[index], turns.after(index)
        delay = candidate.provider.hedge_delay(hedge_after)
        seconds = delay.take()
        first = Deferred.fromCoroutine(result_of(self._ask_or_fall_back(index, turns, observer, way_back)))

        def start_next() -> Deferred[Answer | SkyproxyError | None]:
            if not first.called:
                candidate.provider.counts.hedges += 1
                observer.hedging(index, self._clock.seconds(), seconds)
                _log.info(
                    "Hedging",
                    request_id=candidate.request_id,
                    provider=candidate.provider.config.name,
                    model=candidate.model,
                    attempt=observer.count,
                    cause=f"It had said nothing after {seconds:.3g} s (hedge_after).",
                    to=following.provider.config.name,
                    after_ms=round(seconds * 1000),
                )
            return Deferred.fromCoroutine(result_of(self._ask_from(turns, observer, way_back)))

        result: Answer | SkyproxyError = await race(
            self._clock, first, seconds, start_next, is_good=is_good, discard=discard, overtaken=delay.lost
        )
        if isinstance(result, SkyproxyError):
            raise result
        if result.attempt is not None and result.attempt.candidate == index:
            delay.won()
        return result

    async def _ask_or_fall_back(
        self, index: int, turns: Turns, observer: AttemptObserver, way_back: WayBack
    ) -> Answer | None:
        """Ask a candidate that has others behind it. None: their turn has come."""
        try:
            answer = await self._ask(index, turns.candidates, turns.left, observer)
        except SkyproxyError as error:
            if not next_may_help(error):
                raise
            forget(error)
            way_back.passed_over(index, error)
            turns.passed_over(index, error)
            reason, cause = error.code or "error", error.message
        else:
            if not is_for_the_next(answer):
                return answer
            way_back.passed_over(index, answer)
            turns.passed_over(index, answer)
            answer.close(None)
            reason, cause = f"status {answer.status}", words_of(answer)
        candidate, following = turns.candidates[index], turns.after(index)
        candidate.provider.counts.fallbacks += 1
        observer.falling_back(index, self._clock.seconds(), reason)
        _log.info(
            "Falling back",
            request_id=candidate.request_id,
            provider=candidate.provider.config.name,
            model=candidate.model,
            reason=reason,
            cause=cause,
            attempt=observer.count,
            to=following.provider.config.name,
        )
        return None

    async def _ask(
        self,
        index: int,
        candidates: Candidates,
        left: Sequence[int],
        observer: AttemptObserver,
        since: float | None = None,
    ) -> Answer:
        """Ask one candidate, again if that may help and the budget allows it. The permit is given back meanwhile.

        :param left: the indices of those whose turns are to come.
        :param since: when the request came, if it has come back.
        """
        candidate, clock = candidates[index], self._clock
        # A candidate counts as the last one where none behind it has a key that promises something.
        last = not any(candidates[each].provider.admission.has_key() for each in left)
        first_token_timeout = None if last or not candidate.streaming else candidate.timeouts.first_token
        began = clock.seconds() if since is None else since
        progress = Progress(candidate.provider, candidate.upstream_request(), last, began, limited_since=since)
        if since is None:
            self._budget.asked((candidate.provider.config.name, progress.request.model))
        while True:
            if progress.request.added:
                progress.request = candidate.provider.fitting(progress.request)
            attempt = Attempt(observer, index, clock.seconds)
            observer.started(attempt)
            began = clock.seconds()
            try:
                reserving = candidate.reserve(attempt)
                if reserving is not None:
                    await reserving
                answer = await candidate.provider.send(
                    progress.request,
                    attempt,
                    first_token_timeout,
                    last=last,
                    since=progress.limited_since,
                    avoid=progress.avoid,
                )
                if answer.status < 400:
                    waiting = self._read_beginning(candidate, answer, first_token_timeout)
                    if waiting is not None:
                        await waiting
            except (UpstreamError, KeysResting) as error:
                _note_failure(observer, attempt, error)
                retry = self._retries.after_failure(progress, error, clock.seconds() - began, attempt.key)
                if retry is None:
                    raise
                forget(error)
            except SkyproxyError as error:
                observer.refused(attempt, error)
                raise
            else:
                retry = None if answer.status < 400 else self._retries.after_answer(progress, answer)
                if retry is None:
                    return answer
                answer.close(None)
            observer.retrying(attempt, retry.wait, retry.reason)
            await self._wait_to_retry(candidate, progress, retry, observer.count)

    def _read_beginning(
        self, candidate: CandidateRequest, answer: Answer, first_token_timeout: float | None
    ) -> Coroutine[Any, Any, None] | None:
        """Read what tells whether *answer*, which is no error by its status, is good; returns what to wait for, if it
        has not come yet.

        :raise UpstreamError: the answer is not good.
        """
        kind, counts = candidate.kind, candidate.provider.counts
        if answer.status >= 300:
            refuse_redirect(answer, counts)
        if kind is AnswerKind.ANYTHING:
            called_json = is_called_json(answer)
            if called_json and answer.data is not None:
                refuse_error(answer, counts)
            elif called_json or first_token_timeout is not None:
                return wait_for_beginning(answer, kind, counts, self._buffered)
            return None
        if answer.data is None:
            return wait_for_beginning(answer, kind, counts, self._buffered, must_be_whole=candidate.must_be_whole)
        read_beginning(answer, answer.data, counts)
        return None

    async def _wait_to_retry(
        self, candidate: CandidateRequest, progress: Progress, retry: Retry, attempts: int
    ) -> None:
        provider = candidate.provider
        progress.number += 1
        _log.info(
            "Retrying",
            request_id=candidate.request_id,
            provider=provider.config.name,
            model=candidate.model,
            reason=retry.reason,
            cause=retry.cause,
            attempt=attempts,
            wait_ms=round(retry.wait * 1000, 1),
        )
        if retry.wait or progress.limited_since is None:
            await sleep(self._clock, retry.wait)
        provider.counts.retries += retry.was_sent


def _note_failure(observer: AttemptObserver, attempt: Attempt, error: UpstreamError | KeysResting) -> None:
    if isinstance(error, UpstreamReported):
        observer.failed(attempt, 200, error.kind, error.said)
    elif isinstance(error, KeysResting):
        observer.refused(attempt, error)
    else:
        observer.unanswered(attempt, error)


def sleep(clock: Clock, seconds: float) -> Deferred[None]:
    """Fires after *seconds*; cancelling it stops the timer."""
    waiting: Deferred[None] = Deferred(lambda _: timer.cancel())
    timer: Any = clock.callLater(seconds, waiting.callback, None)
    return waiting
