"""Looks whether a game runs, again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from skyproxy.process.game.names import LINGER_SECONDS, LOOK_SECONDS

_log = Logger()


class GameWatch:
    """Says after each look whether skyproxy is to serve: while the game runs, and for a while after it has ended.

    :param reactor: ``callLater`` and ``seconds`` are used.
    :param look: looks whether the game runs, elsewhere than in the reactor's thread.
    :param follow: is told.
    """

    def __init__(
        self,
        reactor: Any,
        look: Callable[[], Deferred[bool]],
        follow: Callable[[bool], object],
        look_seconds: float = LOOK_SECONDS,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._reactor = reactor
        self._look = look
        self._follow = follow
        self._look_seconds = look_seconds
        self._linger_seconds = linger_seconds
        self._seen: float | None = None
        self._next: IDelayedCall | None = None
        self._is_running = False
        self._fails = False

    def start(self) -> None:
        """Look now, and from now on."""
        self._is_running = True
        self._begin()

    def stop(self) -> None:
        """Look no more. A look that is under way comes to nothing."""
        self._is_running = False
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _begin(self) -> None:
        self._next = None
        self._look().addCallbacks(self._looked, self._failed).addErrback(_unexpected).addBoth(self._again)

    def _looked(self, runs: bool) -> None:
        if not self._is_running:
            return
        self._fails = False
        now = self._reactor.seconds()
        if runs:
            self._seen = now
        self._follow(self._seen is not None and now - self._seen <= self._linger_seconds)

    def _failed(self, failure: Any) -> None:
        """Nobody knows whether the game runs: all stays as it is."""
        if not self._fails:
            _log.warn("Nobody can tell whether the game runs", reason=failure.getErrorMessage())
        self._fails = True

    def _again(self, _: object) -> None:
        if self._is_running:
            self._next = self._reactor.callLater(self._look_seconds, self._begin)


def _unexpected(failure: Any) -> None:
    _log.failure("What follows the game failed", failure)
