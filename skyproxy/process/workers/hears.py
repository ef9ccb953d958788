"""Where that goes which workers send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from skyproxy.process.workers.passing import Passed


class Hears(NamedTuple):
    """What takes that which workers send.

    :ivar over: takes requests that are over, *logged* lines of the log and how many are missing before them,
        *relayed* connections that ask the parent, *found* what the worker of a number has found out, or wants of
        limits, or of flights; *left* hears that it has ended, and *silent* that it does not answer.
    """

    over: Callable[[bytes], None]
    logged: Callable[[list[bytes], int], None]
    relayed: Callable[[Passed], None]
    found: Callable[[int, Any], None]
    left: Callable[[int], None]
    silent: Callable[[int], None]
