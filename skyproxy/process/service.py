"""The service that `twistd skyproxy` runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, succeed
from twisted.logger import ILogObserver
from twisted.python.components import Componentized

from skyproxy.config import Config
from skyproxy.process.draining import IDLE_SECONDS
from skyproxy.process.parts import Parts
from skyproxy.process.stopping import StopStep, take_all
from skyproxy.process.upgrade.outcome import SILENT_SECONDS, Outcome
from skyproxy.process.upgrade.refusing import OF_A_GAME

if TYPE_CHECKING:
    from skyproxy.process.upgrade.handing_over import Upgrade


class SkyproxyService(MultiService):
    """The life of the process: start, serve, reload, drain, stop.

    Its children are started in their order, as those of any MultiService are. They are stopped in the reverse order,
    one after the other: each when the one before has stopped, or failed to.

    :param reactor: is stopped at the first signal.
    :cvar ends_process: whether its end is that of the process.
    :ivar upgrades: has another process take over; None: none can.
    :ivar handed_over: another process has taken over.
    """

    ends_process: ClassVar[bool] = True
    upgrades: Upgrade | None = None
    handed_over = False

    def __init__(self, reactor: Any, parts: Parts) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reactor = reactor
        self.parts = parts

    @property
    def config(self) -> Config:
        """The configuration that is in use."""
        return self.parts.configuration.current

    @property
    def base_url(self) -> str:
        """Of the API, at the first place where it listens; once it does."""
        return self.parts.endpoints.address()[0]

    def setServiceParent(self, parent: Any) -> None:
        """Take twistd's own log over too, so that it never blocks the reactor (twistd asks the application for it)."""
        observer = self.parts.logging.observer
        if isinstance(parent, Componentized) and observer is not None:
            parent.setComponent(ILogObserver, observer)
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    def listen(self) -> None:
        """Bind the ports, while the process may still bind low ones, and an error still reaches the terminal.

        :raise NotListening: one cannot be bound.
        """
        self.parts.endpoints.listen()

    def stopService(self) -> Deferred[None]:
        """Drain, then stop.

        :return: fires when all is done: at the latest ``stop_delay``, ``drain_timeout`` and a bounded close after the
            call.
        """
        self.running = 0
        if self.upgrades is not None:
            self.upgrades.cancel()
        steps: list[StopStep] = [(child.name, child.stopService) for child in reversed(self.services)]
        return Deferred.fromCoroutine(take_all(steps))

    def terminate(self) -> None:
        """Have the process stopped; at the second call, do not wait for what is under way."""
        if self.running:
            self._reactor.stop()
        elif self.handed_over:
            # It ends already, which nobody but the new process has wanted. Who stops both waits for this one, too.
            self.handed_over = False
        else:
            self.parts.drain.hurry()

    def upgrade(self, by: str, seconds: float = SILENT_SECONDS) -> Deferred[Outcome]:
        """Have a new process take over, for *by*. Fires when that is over, whichever way it went.

        :param seconds: in which the new process must say something.
        """
        if self.upgrades is None:
            return succeed(Outcome(problem=OF_A_GAME))
        return self.upgrades.begin(by, seconds)

    def hand_over(self) -> None:
        """End, for another process has taken over: connections are given time to hear of that."""
        self.handed_over = True
        self.parts.drain.outlive(IDLE_SECONDS)
        self._reactor.stop()

    def terminate_within(self, seconds: float) -> None:
        """Have the process stopped, with so many seconds for what is under way: it will be ended soon in any case."""
        self.parts.drain.limit(seconds)
        if self.running:
            self._reactor.stop()
