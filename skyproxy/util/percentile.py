"""Percentiles by the nearest rank: always a value that was there, never one between two."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest of *ordered* that at least *share* percent of them do not exceed; None: there is none."""
    # 99.9 % of 1,000 are 999 of them, and not one more for the sake of a rounding error.
    return ordered[max(0, ceil(len(ordered) * share / 100 - 1e-9) - 1)] if ordered else None
