"""What keeps to a share of a limit."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol


class Sort(IntEnum):
    """How a limit is shared.

    :cvar PLAIN: who wants more waits until it comes.
    :cvar ASKS: who wants more waits until it comes, or is known not to. Where nobody divides, each has its even part.
    :cvar PARTS: likewise; and each has its even part until somebody wants more: nobody need tell that it uses that.
    """

    PLAIN = 0
    ASKS = 1
    PARTS = 2


class Use(Protocol):
    """What uses a limit here.

    :ivar sort: how it is shared.

    :ivar changed: to be called when more is wanted than there is, and when what is in use goes down to the share.
    """

    sort: Sort
    changed: Callable[[], object] | None

    @property
    def whole(self) -> int:
        """All of it, as the configuration says."""

    @property
    def in_use(self) -> int:
        """Units in use."""

    @property
    def wanted(self) -> tuple[int, int]:
        """Units that interactive requests use or wait for, and those of background."""

    def keep_to(self, share: int | None) -> None:
        """Use at most *share* from now on; None: as much as there is."""

    def told(self, asked: int, due: int) -> None:
        """Whoever divides the limit has answered that *asked* units were wanted: *due* come soon, and no more."""
