"""Parts of the process as services: children of the one that twistd runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred


class Child(Service):
    """A service that is started and stopped by calling two functions. It is stopped only if it was started.

    :param stop: may return what is to be waited for.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], object] | None = None,
        stop: Callable[[], Awaitable[Any] | object] | None = None,
    ) -> None:
        self.name = name
        self._start = start
        self._stop = stop

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        if self._start is not None:
            self._start()

    def stopService(self) -> Deferred[Any] | None:
        """:return: fires when it has stopped; None: it has."""
        has_started, self.running = self.running, 0
        if self._stop is None or not self._is_to_be_stopped(bool(has_started)):
            return None
        return maybeDeferred(self._stop)

    def _is_to_be_stopped(self, has_started: bool) -> bool:
        return has_started


class Resource(Child):
    """A child that has something open from before its start on: it is stopped in any case."""

    def _is_to_be_stopped(self, has_started: bool) -> bool:
        return True
