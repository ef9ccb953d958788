"""Who else is to know what people have done: it is done on other machines, too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Deeds(Protocol):
    """Takes what was done."""

    def purged(self) -> None:
        """All answers that were kept are forgotten."""

    def profile_used(self, name: str) -> None:
        """A profile is in use, or none: ``off``."""

    def key_put_back(self, provider: str, variable: str) -> None:
        """A key is used again."""

    def breakers_closed(self, provider: str, models: Iterable[str | None]) -> None:
        """Breakers of a provider are closed: of these models; None: of all of it."""


class NobodyElse(Deeds):
    """There is no other machine."""

    def purged(self) -> None: ...

    def profile_used(self, name: str) -> None: ...

    def key_put_back(self, provider: str, variable: str) -> None: ...

    def breakers_closed(self, provider: str, models: Iterable[str | None]) -> None: ...
