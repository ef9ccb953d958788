"""What keeps to a share of a limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Use(Protocol):
    """What uses a limit here.

    :ivar changed: to be called when more is wanted than there is, and when what is in use goes down to the share.
    """

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
