"""Durations as text, such as ``500ms`` or ``1m30s``."""

from __future__ import annotations

import math
import re
from collections.abc import Collection

SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Of each unit that may be written."""

_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(ms|us|ns|d|h|m|s)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")


def parse_duration(text: str, units: Collection[str] = SECONDS.keys()) -> float | None:
    """The seconds that *text* says, as Go and people write them: numbers, each with its unit; None if it says none.

    :param units: those that are taken.
    """
    if not _DURATION.fullmatch(text):
        return None
    parts = _PART.findall(text)
    if any(unit not in units for _, unit in parts):
        return None
    return math.fsum(float(number) * SECONDS[unit] for number, unit in parts)
