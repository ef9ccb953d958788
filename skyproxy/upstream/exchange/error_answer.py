"""What an error answer means, and what it says of the key and the model that were asked."""

from __future__ import annotations

from skyproxy.errors import ErrorKind
from skyproxy.formats.error_body import read_error
from skyproxy.formats.error_kinds import kind_of
from skyproxy.upstream.dispatch.backoff import retry_after
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.attempt import Attempt
from skyproxy.upstream.exchange.upstream_request import UpstreamRequest
from skyproxy.upstream.guards.reservation import Reservation

_MAX_ERROR_BYTES = 64 * 1024
"""Bytes of an error answer that are looked at."""
_OF_THE_KEY = frozenset({ErrorKind.RATE, ErrorKind.KEY_INVALID, ErrorKind.NO_CREDIT})
"""Kinds of errors that say something of the key."""


async def read_error_answer(
    answer: Answer, request: UpstreamRequest, attempt: Attempt, reservation: Reservation, dialect: str, now: float
) -> None:
    """Read the beginning of *answer*, set its kind and error, and have the key and the rate guard know of it.

    The answer is closed when its body cannot be read.

    :param dialect: of the provider.
    :param now: the time of day, seconds since the epoch.
    :raise SkyproxyError: the body failed.
    """
    try:
        data = await answer.beginning(_MAX_ERROR_BYTES)
    except BaseException as failed:
        answer.close(failed)
        raise
    status = answer.status
    answer.error = error = read_error(data, answer.headers.last.get(b"content-type", b""))
    answer.kind = kind = kind_of(status, error, dialect)
    reservation.error_message, reservation.in_json, reservation.kind = error.message, error.value is not None, kind
    attempt.observer.failed(attempt, status, kind, error.message)
    if kind in _OF_THE_KEY:
        reservation.reported(kind, status, retry_delay(answer, now), hash(request.body))


def retry_delay(answer: Answer, now: float) -> float | None:
    """Seconds for which the provider wants to be left alone, as *answer* says; None if it does not.

    :param now: the time of day, seconds since the epoch.
    """
    delay = None if answer.error is None else answer.error.retry_delay
    return retry_after(answer.headers, now, answer.status, delay)
