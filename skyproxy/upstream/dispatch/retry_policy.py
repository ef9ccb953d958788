"""Whether the same provider is asked again, and when. What is done for a kind of error is data: ``ACTIONS``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from skyproxy.clock import Clock
from skyproxy.errors import (
    ErrorKind,
    UpstreamError,
    UpstreamReported,
    UpstreamTimeout,
    UpstreamUnreachable,
    UpstreamUnusable,
)
from skyproxy.formats.dialects import DIALECTS
from skyproxy.formats.error_body import ErrorBody, error_of_object
from skyproxy.formats.error_kinds import ACTIONS, parameter_of
from skyproxy.formats.error_words import words_of_error
from skyproxy.upstream.dispatch.backoff import Backoff
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.exchange.upstream_request import UpstreamRequest
from skyproxy.upstream.guards.refusals import KeysResting

RETRYABLE = frozenset({408, 429, 498, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Statuses with which asking again can help. 520 to 524 are Cloudflare's for servers that it does not reach
(https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/), 529 is Anthropic's
for too much load (https://docs.anthropic.com/en/api/errors)."""

_OF_A_FIELD = frozenset({ErrorKind.PARAMETER, ErrorKind.CLIENT})
"""Kinds of errors that may be about a field which skyproxy has added."""

_OF_ACCESS = frozenset({401, 403})
"""Statuses by which something is refused to who asks."""

_LONG_SECONDS = 1.0
"""A request that waited so long for a failure is not tried again while the breaker is open; nor does any wait so long
for a provider while a fallback is left."""

_LOADING_SECONDS = 1.0
"""Until a server is asked again that loads its model."""


class Retry(NamedTuple):
    """The decision to ask the same provider again.

    :ivar wait: seconds to wait before it.
    :ivar reason: a short one, for the log: a code or a status.
    :ivar cause: what the provider or skyproxy said.
    :ivar was_sent: whether the attempt before it was sent at all.
    """

    wait: float
    reason: str
    cause: str
    was_sent: bool = True


@dataclass(slots=True)
class Progress:
    """How far the asking of one candidate has come.

    :ivar provider: who is asked.
    :ivar request: what is sent, without what the model has refused.
    :ivar last: no other candidate is left.
    :ivar began: when the candidate's turn came.
    :ivar number: of times that it was asked again.
    :ivar retries: those of them that count.
    :ivar limited_since: *began*, once there was a 429.
    :ivar avoid: variables of keys that shall not carry the request again.
    """

    provider: Provider
    request: UpstreamRequest
    last: bool
    began: float
    number: int = 0
    retries: int = 0
    limited_since: float | None = None
    avoid: set[str] = field(default_factory=set)


class RetryPolicy:
    """Decides whether a request is sent to the same provider again, and when.

    :param budget: of retries; that of the process.
    :param backoff: how long to wait where the provider does not say.
    """

    def __init__(self, clock: Clock, budget: RetryBudget, backoff: Backoff) -> None:
        self._clock = clock
        self._budget = budget
        self._backoff = backoff

    def after_failure(
        self, progress: Progress, error: UpstreamError | KeysResting, took: float, key: str | None = None
    ) -> Retry | None:
        """What follows *error*; None: it is what comes of the request.

        :param took: seconds until the error came.
        :param key: the variable of the key that was used.
        """
        wait = self._wait_after_failure(progress, error, took, key)
        if wait is None:
            return None
        return Retry(wait, error.code or "error", error.message, was_sent=isinstance(error, UpstreamError))

    def after_answer(self, progress: Progress, answer: Answer) -> Retry | None:
        """What follows *answer*, whose status is 400 or above; None: it is what comes of the request."""
        wait = self._wait_after_answer(progress, answer)
        return None if wait is None else Retry(wait, f"status {answer.status}", words_of(answer))

    def _wait_after_failure(
        self, progress: Progress, error: UpstreamError | KeysResting, took: float, key: str | None
    ) -> float | None:
        provider, last, other_key = progress.provider, progress.last, False
        if isinstance(error, UpstreamReported):
            other_key = _may_use_other_key(progress, key, error.kind, error.status)
            if error.kind is ErrorKind.RATE and provider.guards.rate:
                return self._after_rate_limit(progress, may_wait=last, other_key=other_key)
            if error.kind in _OF_A_FIELD:
                return _after_parameter(progress, error_of_object(dict(error.reported)))
            if other_key and _blames_key(error.kind, error.status):
                return 0.0
        if progress.retries >= provider.config.max_retries:
            return None
        if other_key:
            return self._counted(progress, 0.0)
        if isinstance(error, KeysResting):
            wait = error.retry_after or 0.0
            # A fallback need not wait for another provider's keys; and where there are guards, they were waited for.
            if not last or provider.guards.rate or wait > self._time_left(progress):
                return None
            return self._counted(progress, wait)
        if not _same_may_help(error) or (isinstance(error, UpstreamUnreachable | UpstreamTimeout) and not last):
            return None
        if took > _LONG_SECONDS and provider.admission.fails(progress.request.model):
            return None
        return self._counted(progress, self._backoff.delay(progress.retries))

    def _wait_after_answer(self, progress: Progress, answer: Answer) -> float | None:
        provider, kind = progress.provider, answer.kind
        if kind in _OF_A_FIELD and answer.error is not None:
            wait = _after_parameter(progress, answer.error)
            if wait is not None or kind is ErrorKind.PARAMETER:
                return wait
        action = ACTIONS[kind or ErrorKind.BROKEN]
        advice = answer.headers.last.get(b"x-should-retry", b"").lower()
        other_key = _may_use_other_key(progress, answer.key, kind or ErrorKind.BROKEN, answer.status, advice)
        if kind is ErrorKind.RATE and provider.guards.rate:
            return self._after_rate_limit(progress, may_wait=progress.last and advice != b"false", other_key=other_key)
        if other_key and _blames_key(kind, answer.status):
            return 0.0
        if advice != b"false" and self._waits_for_a_model(progress, answer):
            return _LOADING_SECONDS
        if progress.retries >= provider.config.max_retries:
            return None
        if other_key:
            return self._counted(progress, 0.0)
        same_again = action.same_again and (answer.status in RETRYABLE or kind is ErrorKind.OVERLOADED)
        if advice == b"false" or not (same_again or advice == b"true"):
            return None
        return self._after_delay(progress, answer)

    def _waits_for_a_model(self, progress: Progress, answer: Answer) -> bool:
        """Whether the last candidate loads its model, which others of its kind do while the request waits. To ask it
        again costs nothing, and is no retry.
        """
        config = progress.provider.config
        loading = DIALECTS[config.dialect].loading
        return (
            progress.last
            and answer.kind is ErrorKind.OVERLOADED
            and loading is not None
            and config.max_retries > 0
            and loading.search(words_of(answer)) is not None
            and self._time_left(progress) > _LOADING_SECONDS
        )

    def _after_delay(self, progress: Progress, answer: Answer) -> float | None:
        """As long as the provider asks to be left alone, or its keys rest, or the backoff says; None: too long."""
        last, wait = progress.last, progress.provider.retry_delay(answer)
        if answer.status >= 500 and answer.error is not None and answer.error.of_gateway:
            # It writes the same minutes into each answer, however soon the provider is back.
            wait = None
        if answer.status == 429 and (rest := progress.provider.admission.keys_rest()):
            wait = rest
            if not last:
                return None
        if wait is None:
            return self._counted(progress, self._backoff.delay(progress.retries))
        if wait > (self._time_left(progress) if last else _LONG_SECONDS):
            return None
        return self._counted(progress, wait)

    def _after_rate_limit(self, progress: Progress, *, may_wait: bool, other_key: bool) -> float | None:
        """0.0: the request goes to another key, or to the head of the line, which is no retry; None: to neither."""
        if not other_key:
            rest = progress.provider.admission.rest(progress.request.model, progress.avoid) if may_wait else None
            if not may_wait or (rest or 0.0) >= self._time_left(progress):
                return None
        if progress.limited_since is None:
            progress.limited_since = progress.began
        return 0.0

    def _time_left(self, progress: Progress) -> float:
        """Seconds that the request may still wait."""
        return progress.began + progress.request.timeouts.queue - self._clock.seconds()

    def _counted(self, progress: Progress, wait: float) -> float | None:
        """*wait*, if the budget has another retry."""
        request = progress.request
        who = (progress.provider.config.name, request.model)
        if not self._budget.take(who, background=request.priority == "background"):
            return None
        progress.retries += 1
        return wait


def words_of(answer: Answer) -> str:
    """The provider's own, of an error answer."""
    return "" if answer.error is None else words_of_error(answer.error)[:300]


def _may_use_other_key(progress: Progress, key: str | None, kind: ErrorKind, status: int, advice: bytes = b"") -> bool:
    """Whether another key than *key* may do better; this one is avoided from now on where it is at fault."""
    if key is None:
        return False
    # A model that an account has not is one that another may have: nothing is wrong with the key.
    other_key = ACTIONS[kind].other_key or (kind is ErrorKind.MODEL_UNKNOWN and status in _OF_ACCESS)
    if advice == b"false" or (other_key and kind is not ErrorKind.RATE):
        progress.avoid.add(key)
    request = progress.request
    return other_key and progress.provider.admission.other_key(request.model, progress.avoid, request.priority)


def _blames_key(kind: ErrorKind | None, status: int) -> bool:
    """Whether the key alone is at fault, and is put aside: no storm comes of asking with each of the others once. 403
    may be of the content, which each would be refused.
    """
    return kind is ErrorKind.NO_CREDIT or (kind is ErrorKind.KEY_INVALID and status != 403)


def _after_parameter(progress: Progress, error: ErrorBody) -> float | None:
    """0.0: the field that *error* is about is skyproxy's own, and is left out; None: it is not."""
    if not progress.request.added:
        return None
    request = progress.provider.refuse_field(progress.request, parameter_of(error, progress.request.added))
    if request is None:
        return None
    progress.request = request
    return 0.0


def _same_may_help(error: UpstreamError) -> bool:
    # A request that has waited for the whole of a timer shall not wait for it again: that is for another provider.
    if isinstance(error, UpstreamTimeout):
        return error.timer == "connect_timeout"
    return error.retryable and not isinstance(error, UpstreamUnusable)
