"""Numbers in the query of a URL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skyproxy.errors import InvalidRequest

_MOST_DIGITS = 15


def whole_number(given: Mapping[str, Sequence[str]], name: str) -> int | None:
    """The last value of *name*; None: there is none.

    :raise InvalidRequest: it is no whole number.
    """
    value = given.get(name, [""])[-1]
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > _MOST_DIGITS:
        raise InvalidRequest(f"{name} must be a whole number.", param=name)
    return int(value)
