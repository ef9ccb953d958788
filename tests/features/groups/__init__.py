"""The groups: one module for each kind of feature."""

from __future__ import annotations

from tests.features.groups import (
    breaker,
    budget,
    budgets,
    cache,
    coalescing,
    fallback,
    guards,
    hedging,
    instruments,
    keys,
    queue,
    retry,
    slots,
    usage,
)
from tests.features.lab import Group

GROUPS = (
    Group("retry", retry.show),
    Group("budget", budget.show),
    Group("fallback", fallback.show),
    Group("hedging", hedging.show),
    Group("keys", keys.show),
    Group("breaker", breaker.show),
    Group("guards", guards.show),
    Group("queue", queue.show),
    Group("cache", cache.show),
    Group("coalescing", coalescing.show),
    Group("slots", slots.show),
    Group("usage", usage.show),
    Group("budgets", budgets.show),
    Group("instruments", instruments.show),
)
"""In the order in which they are shown."""
