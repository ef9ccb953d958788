"""What an error answer means, and what it says of the key and the model that were asked."""

from __future__ import annotations

from skyproxy.clock import Clock
from skyproxy.errors import ErrorKind, UpstreamError, UpstreamTimeout, forget
from skyproxy.formats.error_body import read_error
from skyproxy.formats.error_kinds import kind_of
from skyproxy.formats.error_words import words_of_error
from skyproxy.upstream.dispatch.backoff import retry_after
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.attempt import Attempt
from skyproxy.upstream.exchange.upstream_request import UpstreamRequest
from skyproxy.upstream.guards.reservation import Reservation

_MAX_ERROR_BYTES = 64 * 1024
"""Bytes of an error answer that are looked at."""
_ERROR_BODY_SECONDS = 5.0
"""That the body of an error answer may take, after its status."""
_OF_THE_KEY = frozenset({ErrorKind.RATE, ErrorKind.KEY_INVALID, ErrorKind.NO_CREDIT})
"""Kinds of errors that say something of the key."""


async def read_error_answer(
    answer: Answer,
    request: UpstreamRequest,
    attempt: Attempt,
    reservation: Reservation,
    dialect: str,
    now: float,
    clock: Clock,
) -> None:
    """Read the beginning of *answer*, set its kind and error, and have the key and the rate guard know of it.

    A body that is cut, or does not come, is taken for as much as has come: the status says what matters most.

    :param dialect: of the provider.
    :param now: the time of day, seconds since the epoch.
    :param clock: for the time that the body may take.
    """
    whole = True
    try:
        if answer.data is None:
            whole = await _has_come(answer, clock)
        data = await answer.beginning(_MAX_ERROR_BYTES)
    except BaseException as failed:
        answer.close(failed)
        raise
    status, content_type = answer.status, answer.headers.last.get(b"content-type", b"")
    answer.error = error = read_error(data, content_type)
    answer.kind = kind = kind_of(status, error, dialect)
    said = words_of_error(error)
    reservation.error_message, reservation.kind = said, kind
    told = error.value is not None or (not whole and b"json" in content_type.lower())
    reservation.in_json = told and not error.of_gateway
    attempt.observer.failed(attempt, status, kind, said)
    if kind in _OF_THE_KEY:
        reservation.reported(kind, status, retry_delay(answer, now), hash(request.body))


async def _has_come(answer: Answer, clock: Clock) -> bool:
    """Wait for the beginning of the body. Whether it came as it should."""
    body = answer.body
    late = UpstreamTimeout("The provider did not say what is wrong.", timer="default_timeout")
    timer = clock.callLater(_ERROR_BODY_SECONDS, body.fail, late)
    try:
        await answer.beginning(_MAX_ERROR_BYTES)
    except UpstreamError as error:
        forget(error)
        body.settle_for_less()
        return False
    finally:
        if timer.active():
            timer.cancel()
    return True


def retry_delay(answer: Answer, now: float) -> float | None:
    """Seconds for which the provider wants to be left alone, as *answer* says; None if it does not.

    :param now: the time of day, seconds since the epoch.
    """
    error = answer.error
    if error is None:
        return retry_after(answer.headers, now, answer.status)
    return retry_after((*error.headers, *answer.headers), now, answer.status, error.retry_delay)
