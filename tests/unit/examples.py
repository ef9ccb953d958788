"""How many examples hypothesis tries: few, always the same, or, with ``python -m tests --full``, many new ones."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.e2e.sizes import size


def examples(count: int) -> settings:
    """Of *count* examples; a hundred times as many at full size."""
    many = size(1, 0) == 1
    return settings(
        max_examples=size(100, 1) * count, derandomize=not many, deadline=None, database=None, print_blob=many,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
