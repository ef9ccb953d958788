"""A worker's place, from one process to the next."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.error import ConnectionDone, ProcessDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.workers import messages
from skyproxy.process.workers.crew import Crew
from skyproxy.process.workers.gathered import Gathered
from skyproxy.process.workers.hears import Hears


class ShortReactor(Clock):
    """A reactor of a system that is short of something.

    :ivar lacks: of what each start lacks: descriptors, or processes, or nothing.
    :ivar began: processes that have begun.
    """

    def __init__(self, *lacks: str) -> None:
        super().__init__()
        self.lacks = list(lacks)
        self.began = 0
        self.channel: Any = None

    def addReader(self, reader: Any) -> None:
        """As of IReactorFDSet."""

    removeReader = removeWriter = addWriter = addReader

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Any) -> None:
        """As of IReactorSocket."""
        if self.lacks[0] == "descriptors":
            self.lacks.pop(0)
            raise OSError(errno.EMFILE, "Too many open files")
        self.channel = factory.buildProtocol(None)
        self.channel.makeConnection(StringTransport())

    def spawnProcess(self, *_: Any, **__: Any) -> Any:
        """As of IReactorProcess. What would be the process's is closed when there is none."""
        if self.lacks.pop(0) == "processes":
            self.callLater(0, self.channel.connectionLost, Failure(ConnectionDone()))
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        self.began += 1
        return SimpleNamespace(pid=self.began)


class StartAgainTests(SynchronousTestCase):
    """When a worker that is to be started again cannot be."""

    def test_it_is_tried_until_it_can(self) -> None:
        reactor = ShortReactor("", "descriptors", "descriptors", "processes", "")
        nothing: Any = lambda *_: None  # noqa: E731
        hears = Hears(nothing, nothing, nothing, nothing, nothing, nothing)
        crew = Crew(reactor, 1, nothing, Gathered(reactor.seconds), hears)
        crew.start()
        (member,) = crew.members
        reactor.advance(3600)
        with capturedLogs() as logged:
            member.processExited(Failure(ProcessDone(0)))
            reactor.channel.connectionLost(Failure(ConnectionDone()))
            reactor.pump([0.1] * 100)
        self.assertEqual((reactor.began, member.pid, member.restarts), (2, 2, 4))
        told = [each["reason"] for each in logged if each["log_format"].startswith("A worker cannot be started now")]
        short, none = "Too many open files", "Resource temporarily unavailable"
        self.assertEqual([each.partition("] ")[2] for each in told], [short, short, none])

    def test_for_how_long_it_does_not_serve(self) -> None:
        """One that ends again and again before it serves has not served since the first of these."""
        reactor = ShortReactor("", "", "")
        nothing: Any = lambda *_: None  # noqa: E731
        hears = Hears(nothing, nothing, nothing, nothing, nothing, nothing)
        crew = Crew(reactor, 1, nothing, Gathered(reactor.seconds), hears)
        crew.start()
        (member,) = crew.members
        reactor.advance(3)
        self.assertEqual(member.missing, 3)
        channel = SimpleNamespace(done=lambda: succeed(None))
        member.channel = channel  # type: ignore[assignment]
        member._handle(messages.Ready())
        reactor.advance(600)
        self.assertEqual(member.missing, 0)
        for _ in range(2):
            member.processExited(Failure(ProcessDone(0)))
            reactor.advance(4)
            reactor.channel.connectionLost(Failure(ConnectionDone()))
            reactor.advance(1)
        self.assertEqual((member.missing, member.restarts), (10, 2))
