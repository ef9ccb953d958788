"""The service of ``skyproxy run --with-game``: each time that the game runs, another one serves."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, Logger
from twisted.python.components import Componentized
from zope.interface import implementer

from skyproxy.process.console import ConsoleEvents
from skyproxy.process.game.watch import GameWatch
from skyproxy.process.parts import Parts
from skyproxy.process.service import SkyproxyService
from skyproxy.process.signals import NAMES, Signals
from skyproxy.process.systemd import Notifier

_log = Logger()


class Endpoint(Protocol):
    """The admin socket, while nothing serves."""

    def listen(self) -> None: ...

    async def close(self) -> None: ...


class Teller(Protocol):
    """Tells the user how it goes."""

    def waits(self) -> None:
        """Nothing serves from now on, until the game runs."""

    def serves(self, service: SkyproxyService) -> None:
        """It does from now on."""

    def cannot(self, reason: str) -> None:
        """The game runs, and nothing can serve."""


@implementer(ILogObserver)
class LogSwitch:
    """Hands events on to the log of the service that serves.

    :param otherwise: gets them while nothing serves.
    :ivar to: that log; None: nothing serves.
    """

    def __init__(self, otherwise: Callable[[LogEvent], object]) -> None:
        self._otherwise = otherwise
        self.to: ILogObserver | None = None

    def __call__(self, event: LogEvent) -> None:
        (self.to or self._otherwise)(event)


class GameSession(SkyproxyService):
    """Serves for as long as the game runs. Its end is not that of the process.

    :param end: has the process end; returns whether nobody has wanted that before.
    """

    ends_process = False

    def __init__(self, reactor: Any, parts: Parts, end: Callable[[], bool]) -> None:
        super().__init__(reactor, parts)
        self._end = end

    def terminate(self) -> None:
        """Have the process end; at the second call, do not wait for what is under way."""
        if not self._end():
            self.parts.drain.hurry()


class GameService(Service):
    """Waits for a game, serves while it runs, stops as any skyproxy does, and waits again.

    :param reactor: is stopped at the first signal.
    :param make: makes the session, which listens already; is handed what ends the process. Raises SystemExit, with a
        message, if it cannot: it is called again after the next look.
    :param endpoint: makes the admin socket for a time in which nothing serves, of what ends the process.
    :param signals: those of the process, which are taken.
    :param notifier: tells whoever supervises the process.
    :param log: all events come to it.
    :ivar watch: calls :meth:`follow`.
    """

    watch: GameWatch

    def __init__(
        self,
        reactor: Any,
        make: Callable[[Callable[[], bool]], SkyproxyService],
        endpoint: Callable[[Callable[[], object]], Endpoint],
        signals: Signals,
        teller: Teller,
        notifier: Notifier,
        log: LogSwitch,
    ) -> None:
        self._reactor = reactor
        self._make = make
        self._new_endpoint = endpoint
        self._signals = signals
        self._teller = teller
        self._notifier = notifier
        self._log = log
        self._endpoint: Endpoint | None = None
        self._session: SkyproxyService | None = None
        self._change: Deferred[None] | None = None
        """Fires when a session has begun, or ended; None: neither is under way."""
        self._complaint = ""
        self._is_ending = False
        # Not one for each session: Windows keeps to what it has once been told to call.
        self._console = ConsoleEvents(reactor, self.end_within)

    def setServiceParent(self, parent: Any) -> None:
        """Take the log of the application over, too."""
        if isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._log)
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._console.listen()
        self._wait()
        self._reactor.callWhenRunning(self._notifier.ready)
        self._reactor.callWhenRunning(self.watch.start)

    def stopService(self) -> Deferred[None]:
        """:return: fires when all that served has stopped."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._is_ending = True
        self.watch.stop()
        self._notifier.stopping()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._change is not None:
            await self._change
        if self._session is not None:
            await self._end_session(self._session)
        await self._close_endpoint()
        self._console.stopped()

    def end(self) -> bool:
        """Have the process end.

        :return: whether nobody has wanted that before.
        """
        if self._is_ending:
            return False
        self._is_ending = True
        self._reactor.stop()
        return True

    def end_within(self, seconds: float) -> None:
        """Have the process end, with so many seconds for what is under way."""
        if self._session is not None:
            self._session.parts.drain.limit(seconds)
        self.end()

    def follow(self, wanted: bool) -> None:
        """Serve, or wait, as is *wanted*. While the one turns into the other nothing is done: it is asked again."""
        if self._is_ending or self._change is not None:
            return
        if wanted and self._session is None:
            self._begin(self._begin_session())
        elif not wanted and self._session is not None:
            self._begin(self._turn_to_waiting(self._session))

    def _begin(self, change: Coroutine[Any, Any, None]) -> None:
        self._change = Deferred()
        Deferred.fromCoroutine(change).addErrback(_unexpected).addBoth(self._changed)

    def _changed(self, _: object) -> None:
        change, self._change = self._change, None
        if change is not None:
            change.callback(None)

    async def _begin_session(self) -> None:
        # The socket of the session has the same path.
        await self._close_endpoint()
        if self._is_ending:
            return
        try:
            session = self._make(self.end)
        except SystemExit as error:
            self._cannot(str(error.code))
            return
        self._complaint = ""
        self._session, self._log.to = session, session.parts.logging.observer
        try:
            session.startService()  # type: ignore[no-untyped-call]
        except Exception as error:
            _log.failure("The session could not be started")
            await self._end_session(session)
            self._cannot(f"skyproxy: cannot start: {error}")
            return
        self._notifier.status(f"serves at {session.base_url}")
        self._teller.serves(session)

    def _cannot(self, reason: str) -> None:
        if reason != self._complaint:
            self._teller.cannot(reason)
        self._complaint = reason
        self._notifier.status(reason.partition("\n")[0])
        self._listen()

    async def _turn_to_waiting(self, session: SkyproxyService) -> None:
        await self._end_session(session)
        if not self._is_ending:
            self._wait()

    async def _end_session(self, session: SkyproxyService) -> None:
        await session.stopService()
        self._session = self._log.to = None
        atexit.unregister(session.parts.logging.finish)
        # What lives as long as the session was put out of the collector's reach when it began.
        gc.unfreeze()
        self._reactor.callLater(0, gc.collect)

    def _wait(self) -> None:
        self._listen()
        self._notifier.status("waits for the game")
        self._teller.waits()

    def _listen(self) -> None:
        """Have signals and commands reach this service: those of a session have gone with it."""
        self._endpoint = self._new_endpoint(self.end)
        self._endpoint.listen()
        handlers: dict[str, Callable[[], object]] = dict.fromkeys(NAMES, _nothing)
        handlers |= dict.fromkeys(("SIGTERM", "SIGINT", "SIGBREAK"), self.end)
        self._signals.serve(self._reactor, handlers)

    async def _close_endpoint(self) -> None:
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            await endpoint.close()


def _nothing() -> None:
    """Nothing."""


def _unexpected(failure: Any) -> None:
    _log.failure("A session could not begin, or end", failure)
