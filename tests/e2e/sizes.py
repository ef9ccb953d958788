"""How much some tests do: in full or as much as shows the kind of mistake."""

from __future__ import annotations

import os

FULL = "SKYPROXY_TESTS_FULL"
"""The variable of the environment that asks for the full sizes; ``python -m tests --full`` sets it."""


def size(full: int, quick: int) -> int:
    """*full* where that is asked for, else *quick*."""
    return full if os.environ.get(FULL) else quick
