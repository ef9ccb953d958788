"""Time, as every package sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Cancellable(Protocol):
    """A call to come, as IDelayedCall."""

    def active(self) -> bool:
        """Whether it is still to come."""

    def cancel(self) -> None:
        """Do without it."""


class Clock(Protocol):
    """What tells the time and calls later: an IReactorTime, or ``Timers``."""

    def seconds(self) -> float:
        """The time, in seconds."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> Any:
        """Call in *delay* seconds; returns a :class:`Cancellable`."""
