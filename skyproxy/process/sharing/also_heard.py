"""What a machine hears from the store besides its shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Hearer(Protocol):
    """Hears what is told to all."""

    def ready(self) -> None:
        """It is heard, and scripts can be run."""

    def lost(self) -> None:
        """No longer."""

    def heard(self, message: bytes) -> None:
        """A message has come."""


@dataclass(slots=True)
class AlsoHeard:
    """What else is heard than shares, and whether it is."""

    channel: str
    listener: Hearer
    hears: bool = False
