"""Durations and sizes, as people write them."""

from __future__ import annotations

import math
import re

from skyproxy.util.durations import parse_duration

_UNITS = ("ms", "s", "m", "h")
_LONGEST_SECONDS = 1e12

_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_MOST_BYTES = 10**15

_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?) ?([kmg]i?b|b)", re.IGNORECASE)


def seconds(value: object) -> float:
    """A duration: a number of seconds, or text such as ``500ms``, ``60s``, ``1m30s``, ``1h``.

    :raise ValueError: it is neither, or not above zero.
    """
    result = _seconds(value)
    if not 0 < result < math.inf:
        raise ValueError("must be a duration above zero, and a finite one")
    return result


def seconds_or_none(value: object) -> float:
    """A duration as :func:`seconds` takes it, or 0.

    :raise ValueError: it is neither.
    """
    result = _seconds(value)
    if not 0 <= result < math.inf:
        raise ValueError("must be a duration, or 0")
    return result


def _seconds(value: object) -> float:
    number: float | None = None
    if isinstance(value, str):
        number = parse_duration(value.strip(), _UNITS)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = value
    if number is None:
        raise ValueError("must be a duration: seconds, or a text such as 500ms, 60s, 5m, 1h")
    # The comparison comes before the conversion, which fails for an integer beyond the range of floats.
    return float(number) if abs(number) < _LONGEST_SECONDS else math.inf


def byte_count(value: object) -> int:
    """A size: a number of bytes, or text such as ``10MB`` (powers of 1000) or ``512KiB`` (powers of 1024).

    :raise ValueError: it is neither, or less than one byte.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        result = value
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        result = int(float(match[1]) * _BYTES[match[2].lower()])
    else:
        raise ValueError("must be a size: bytes, or a text such as 10MB or 512KiB")
    if result < 1:
        raise ValueError("must be a size of at least one byte")
    if result > _MOST_BYTES:
        raise ValueError("must be a size of 1,000,000 GB at most")
    return result


def byte_count_or_off(value: object) -> int | None:
    """A size, or None for ``off``.

    :raise ValueError: it is neither.
    """
    # YAML reads `off` as a boolean.
    return None if value is False or value in ("off", None) else byte_count(value)
