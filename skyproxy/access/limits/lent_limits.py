"""The limits of a client whose requests come to several processes: each is lent a share of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from skyproxy.access.limits.client_limits import ClientLimits, Limits
from skyproxy.access.limits.window import SlidingWindow

KINDS = ("requests_per_minute", "tokens_per_minute", "concurrent")


class LentLimits(ClientLimits):
    """At first nothing is lent.

    A request that the share does not suffice for waits until it does, or until it is known that it will not.

    :param followed: called when the limits may have become others.
    """

    __slots__ = ("_followed", "_waiting")

    def __init__(self, name: str, limits: Limits, followed: Callable[[LentLimits], object]) -> None:
        self._followed = followed
        self._waiting: dict[str, list[tuple[int, Deferred[bool]]]] = {kind: [] for kind in KINDS}
        super().__init__(name, limits)

    def follow(self, limits: Limits) -> None:
        shares = {kind: self._share(kind) for kind in KINDS}
        super().follow(limits)
        for kind, share in shares.items():
            self._set(kind, share)
        self._followed(self)

    def is_idle(self, now: int) -> bool:
        return not any(self._waiting.values()) and super().is_idle(now)

    def leave(self) -> None:
        super().leave()
        if self._waiting["concurrent"]:
            # Nobody else says that there is room: the share is as it was.
            self.lend("concurrent", self.concurrent_share, 0)

    def settle(self, second: int, estimated: int, used: int) -> None:
        super().settle(second, estimated, used)
        window = self.tokens
        for entry in list(self._waiting["tokens_per_minute"]):
            if window is not None and window.used + entry[0] <= window.share:
                self._call("tokens_per_minute", entry, is_there=True)

    def whole(self, kind: str) -> int | None:
        """The limit of that kind; None: there is none."""
        window = self._window(kind)
        if window is not None:
            return window.limit
        return self.concurrent if kind == "concurrent" else None

    def used(self, kind: str, second: int) -> int:
        """What is used of it here.

        :param second: the time.
        """
        window = self._window(kind)
        if window is None:
            return self.under_way if kind == "concurrent" else 0
        window.advance(second)
        return window.used

    def waiting(self, kind: str) -> int:
        """What the requests want that wait."""
        return sum(amount for amount, _ in self._waiting[kind])

    def wait(self, kind: str, amount: int) -> Deferred[bool]:
        """Wait for so much. Fires when it is there, True, or will not come, False."""
        place: Deferred[bool] = Deferred(lambda _: waiting.remove((amount, place)))
        waiting = self._waiting[kind]
        waiting.append((amount, place))
        return place

    def lend(self, kind: str, share: int, second: int) -> None:
        """Have so much of it here."""
        self._set(kind, share)
        for entry in list(self._waiting[kind]):
            if self.used(kind, second) + entry[0] <= share:
                self._call(kind, entry, is_there=True)

    def answered(self, kind: str, asked: int, due: int, second: int) -> None:
        """Let those go that will not get what they want.

        :param asked: what those wanted that this concerns: those that came first.
        :param due: the share that there will be soon.
        """
        used = self.used(kind, second)
        for entry in list(self._waiting[kind]):
            asked -= entry[0]
            if asked < 0:
                return
            if used + entry[0] > due:
                self._call(kind, entry, is_there=False)
            else:
                used += entry[0]

    def _call(self, kind: str, entry: tuple[int, Deferred[bool]], *, is_there: bool) -> None:
        waiting = self._waiting[kind]
        if entry in waiting:
            waiting.remove(entry)
            entry[1].callback(is_there)

    def _window(self, kind: str) -> SlidingWindow | None:
        found: Any = {"requests_per_minute": self.requests, "tokens_per_minute": self.tokens}.get(kind)
        return found  # type: ignore[no-any-return]

    def _share(self, kind: str) -> int:
        window = self._window(kind)
        if window is not None:
            return window.share
        return self.concurrent_share if kind == "concurrent" and self.concurrent is not None else 0

    def _set(self, kind: str, share: int) -> None:
        window = self._window(kind)
        if window is not None:
            window.share = share
        elif kind == "concurrent":
            self.concurrent_share = share
