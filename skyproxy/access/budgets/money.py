"""Amounts of money, exact: in whole billionths of a currency."""

from __future__ import annotations

from collections.abc import Mapping

BILLION = 1_000_000_000

_NEARLY_ONE = 0.999
"""What rounds up all but what errors of rounding have made more than a whole number."""

_MOST = 10**18
"""A billion of any currency: more than what any answer costs, and what SQLite can add up."""

Rates = Mapping[tuple[str, str], float]
"""What one unit of a currency is worth in another, by both of their codes."""


def billionths(amount: float) -> int:
    """*amount*, no less than it is: whoever adds up what is rounded down spends more than is counted."""
    number = int(amount * BILLION + _NEARLY_ONE)
    return number if number < _MOST else _MOST


def amount_of(number: int) -> float:
    """A number of billionths as an amount."""
    return number / BILLION


def converted(amount: float, currency: str, wanted: str, rates: Rates) -> float | None:
    """*amount*, which is in *currency*, in the currency *wanted*; None if no rate says what it is worth."""
    if currency == wanted:
        return amount
    rate = rates.get((currency, wanted))
    return None if rate is None else amount * rate
