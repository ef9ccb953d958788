"""How long to wait before asking again: what the provider says, or else exponential backoff."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from skyproxy.util.durations import parse_duration

_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")

_RESET = "x-ratelimit-reset"
_REMAINING = "x-ratelimit-remaining"

# anthropic-ratelimit-requests-reset and its kin (https://docs.anthropic.com/en/api/rate-limits#response-headers).
_ANTHROPIC = re.compile(r"(anthropic-ratelimit-[a-z-]{1,80})-reset")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")

# No limit is reset in thirty years: from here on a number is the time of day.
_EPOCH_SECONDS = 1e9
_EPOCH_MILLISECONDS = 1e11


def retry_after(
    headers: Sequence[tuple[bytes, bytes]], now: float, status: int = 429, body_delay: float | None = None
) -> float | None:
    """Seconds after which the provider that answered with *headers* wants to be asked again; never negative.

    ``retry-after-ms`` is more exact than ``Retry-After``, which it stands beside; both are meant for this very
    request, and so is what the body says: they go before ``x-ratelimit-reset…``. Those tell of all limits, exhausted or
    not, with any answer: they are read for status 429 only, and only where the same limit's ``x-ratelimit-remaining…``
    is not above zero; ``anthropic-ratelimit-…-reset`` where its ``-remaining`` is zero. Of several that apply, and
    of several ``Retry-After``, the longest counts. What cannot be read is as if it were not there.

    :param now: seconds since the epoch. A ``Date`` among *headers* goes before it: the two clocks may differ.
    :param body_delay: seconds that the answer's body asks for.
    :return: None if the provider does not say.
    """
    fields: dict[str, str] = {}
    asked: dict[str, list[str]] = {"retry-after-ms": [], "retry-after": []}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        fields[name] = value
        if name in asked:
            asked[name].append(value)
    milliseconds = [each for value in asked["retry-after-ms"] if (each := _number(value)) is not None]
    if milliseconds:
        return max(milliseconds) / 1000
    here = _date(fields.get("date"))
    provider_now = now if here is None else here
    delays = [each for value in asked["retry-after"] if (each := _delay(value, provider_now)) is not None]
    if delays:
        return max(delays)
    if body_delay is not None:
        return max(0.0, body_delay)
    return max(_resets(fields, provider_now), default=None) if status == 429 else None


def _resets(fields: dict[str, str], now: float) -> Iterable[float]:
    for name, value in fields.items():
        if not name.startswith(_RESET):
            limit = _ANTHROPIC.fullmatch(name)
            if limit is not None and _number(fields.get(f"{limit.group(1)}-remaining")) == 0:
                moment = _moment(value)
                if moment is not None:
                    yield max(0.0, moment - now)
            continue
        if (_number(fields.get(_REMAINING + name.removeprefix(_RESET))) or 0) > 0:
            continue
        number = _number(value)
        if number is None:
            duration = parse_duration(value)
            if duration is not None:
                yield duration
        else:
            yield _from_now(number, now)


def _delay(text: str, now: float) -> float | None:
    """Seconds until what ``Retry-After`` says."""
    seconds = _number(text)
    if seconds is not None:
        return _from_now(seconds, now)
    date = _date(text)
    return None if date is None else max(0.0, date - now)


def _from_now(number: float, now: float) -> float:
    """Seconds until what *number* says, be it in how many seconds, or at what time of day."""
    if number >= _EPOCH_MILLISECONDS:
        return max(0.0, number / 1000 - now)
    return max(0.0, number - now) if number >= _EPOCH_SECONDS else number


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text) else None


def _moment(text: str) -> float | None:
    """A moment as RFC 3339 writes it, in seconds since the epoch."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    day, hour, fraction, offset = match.groups()
    try:
        # Python 3.10 reads neither Z nor fractions of any length.
        moment = datetime.fromisoformat(f"{day}T{hour}{'+00:00' if offset in 'Zz' else offset}")
        return moment.timestamp() + float(fraction or 0)
    except (ValueError, ArithmeticError):
        return None


def _date(text: str | None) -> float | None:
    """An HTTP-date in any of its three forms (RFC 9110, section 5.6.7), in seconds since the epoch."""
    if not text:
        return None
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, LookupError, ArithmeticError):
        return None


class Backoff:
    """Exponential backoff with full jitter.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    :param random: gives a number from 0 up to, and not including, 1.
    :param base: seconds before the first retry, at most.
    :param cap: seconds before any retry, at most.
    """

    __slots__ = ("_base", "_cap", "_random")

    def __init__(self, random: Callable[[], float], base: float = 0.25, cap: float = 8.0) -> None:
        self._random = random
        self._base = base
        self._cap = cap

    def delay(self, attempt: int) -> float:
        """Seconds to wait before a retry.

        :param attempt: how many retries there were before it.
        """
        # Beyond this many doublings any base is over any cap, and a float would overflow.
        return self._random() * min(self._cap, self._base * 2.0 ** min(attempt, 64))
