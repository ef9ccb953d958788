"""The name that was meant where a name is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_SIMILARITY = 0.6


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of *known* that *name* was probably meant to be; None: none is like it."""
    return next(iter(close_matches(name, known, 1)), None)


def close_matches(name: str, known: Iterable[str], count: int) -> list[str]:
    """Up to *count* of *known* that are like *name*, the nearest first. Capital letters make no difference."""
    folded = {each.lower(): each for each in known}
    return [folded[each] for each in get_close_matches(name.lower(), folded, n=count, cutoff=_SIMILARITY)]
