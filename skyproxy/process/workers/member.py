"""One worker of a parent: its process, and what goes to and fro."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from enum import Enum
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from skyproxy.process.socket_ends import connect
from skyproxy.process.workers import messages
from skyproxy.process.workers.gathered import Gathered
from skyproxy.process.workers.hears import Hears
from skyproxy.process.workers.intake import Intake
from skyproxy.process.workers.main import CONNECTIONS, CONTROL, command
from skyproxy.process.workers.passing import Passage, Passed, left_in, pair
from skyproxy.process.workers.protocol import Channel, NotDone, late
from skyproxy.process.workers.state import WorkerState

_log = Logger()

SHORT_LIFE_SECONDS = 10.0
"""A worker that ends sooner is not started again at once."""

ADOPT_SECONDS = 30.0
"""Seconds that a worker has for another configuration."""

SILENT_SECONDS = 2.0
"""Seconds after which a worker that answers nothing is given no connection, and gives back those it has not taken."""

CLOSED_SECONDS = 5.0
"""Seconds after which a worker is killed that hears the parent no more."""


class Stage(Enum):
    """How far a worker is: it begins, is there and hears what it was told meanwhile, or serves."""

    BEGINS = "begins"
    BEGUN = "begun"
    SERVES = "serves"


class Others(Protocol):
    """What hears of a member: see :class:`~skyproxy.process.workers.crew.Crew`."""

    gathered: Gathered
    hears: Hears
    stopping: bool

    def eased(self) -> None: ...

    def began(self, member: Member) -> None: ...

    def lost(self, member: Member, waiting: Iterable[Passed]) -> None: ...


class Member(ProcessProtocol):
    """One worker's place, from one process to the next.

    :param crew: hears what comes of it.
    :ivar number: from 0.
    :ivar pid: of its process; None: there is none.
    :ivar restarts: how often it was started again.
    :ivar intake: the connections that its process was given.
    """

    def __init__(self, reactor: Any, number: int, crew: Others) -> None:
        self._reactor = reactor
        self._crew = crew
        self.number = number
        self.pid: int | None = None
        self._stage = Stage.BEGINS
        self.restarts = 0
        self.failures = 0
        self.intake = Intake(reactor.seconds)
        self._began = 0.0
        self._missing_since = reactor.seconds()
        self._ends: tuple[socket.socket, socket.socket] | None = None
        """Of the passage of connections: the parent's, and a duplicate of the worker's."""
        self.passage: Passage | None = None
        self.channel: Channel | None = None
        self._refreshing: Deferred[WorkerState] | None = None
        self._asked_at = 0.0

    @property
    def ready(self) -> bool:
        """Whether it serves."""
        return self._stage is Stage.SERVES

    @property
    def begun(self) -> bool:
        """Whether it serves, or is about to."""
        return self._stage is not Stage.BEGINS

    @property
    def answers(self) -> bool:
        """Whether it serves, and has answered lately."""
        if not self.ready:
            return False
        return self._refreshing is None or self._reactor.seconds() - self._asked_at < SILENT_SECONDS

    @property
    def missing(self) -> float:
        """Seconds for which it has not served, or not answered; 0.0: it does."""
        if self.answers:
            return 0.0
        return float(self._reactor.seconds() - (self._asked_at if self.ready else self._missing_since))

    def take_back(self) -> list[Passed]:
        """The connections that it has been given and has not taken."""
        if self.passage is None or self._ends is None:
            return []
        back = [*left_in(self._ends[1]), *self.passage.withdraw()]
        self.intake.took_back(len(back))
        return back

    def start(self, message: messages.Start) -> None:
        """Have a process begin.

        :raise OSError: the system cannot.
        """
        reactor = self._reactor
        self._began = reactor.seconds()
        ends = pair()
        own, its = socket.socketpair()
        channel = Channel(self._handle, self._ended)
        with its:
            connect(reactor, own, channel)
            # From here on its end tells of whatever fails.
            self.channel = channel
            end, its_end = self._ends = ends
            self.passage = Passage(reactor, end, self._crew.hears.relayed)
            process = reactor.spawnProcess(
                self,
                sys.executable,
                command(type(reactor).__module__),
                env=dict(os.environ),
                childFDs={0: 0, 1: 1, 2: 2, CONTROL: its.fileno(), CONNECTIONS: its_end.fileno()},
            )
        self.pid = process.pid
        channel.ask(message).addErrback(self._could_not_begin, self.pid)

    def start_again(self, message: messages.Start) -> None:
        """Have another one begin. That the system cannot now, for want of descriptors or memory, may pass."""
        self.restarts += 1
        try:
            self.start(message)
        except OSError as error:
            _log.error("A worker cannot be started now: it is tried again", worker=self.number, reason=str(error))
            if self.channel is None:
                self.failures += 1
                self._crew.lost(self, ())

    def give(self, tag: int, descriptor: int) -> None:
        """Pass a connection to it."""
        assert self.passage is not None
        self.intake.give()
        self.passage.send(tag, descriptor)

    def tell(self, message: object) -> None:
        """Tell it something, if it is there."""
        if self.channel is not None:
            self.channel.tell(message)

    def adopt(self, message: messages.Adopt) -> None:
        """Have it serve by another configuration. One that cannot is ended, and begins anew with it."""
        if self.channel is not None:
            adopted = self.channel.ask(message).addTimeout(ADOPT_SECONDS, self._reactor, late)
            adopted.addErrback(self.begin_anew, self.pid)

    def refresh(self, wanted: messages.Refresh) -> Deferred[Any]:
        """Have it tell how it is. Fires when it has."""
        if self.channel is None or not self.ready:
            return Deferred()
        if self._refreshing is None or any(wanted):
            if self._refreshing is None:
                self._asked_at = self._reactor.seconds()
            asked = self._refreshing = self.channel.ask(wanted)
            asked.addCallbacks(self._told, lambda _: None)
            asked.addBoth(lambda _: self._forget(asked))
        done: Deferred[Any] = Deferred()
        self._refreshing.addBoth(lambda _: done.callback(None))
        return done

    def _forget(self, asked: Deferred[Any]) -> None:
        if self._refreshing is asked:
            self._refreshing = None

    def _told(self, state: WorkerState) -> None:
        self._crew.gathered.take(self.number, state)

    def kill(self) -> None:
        """End its process."""
        if self.transport is not None:
            with suppress(ProcessExitedAlready):
                self.transport.signalProcess("KILL")

    def _could_not_begin(self, failure: Failure, pid: int | None) -> None:
        """End process *pid*, which would never serve: the next one may find again what this one has not."""
        if failure.check(NotDone) and pid == self.pid:
            _log.error("A worker could not begin", worker=self.number, pid=pid, reason=failure.getErrorMessage())
            self.kill()

    def begin_anew(self, failure: Failure, pid: int | None) -> None:
        """End process *pid*, which has not taken what holds for all, so that another one begins with it."""
        # One that is gone begins anew with it in any case.
        if failure.check(NotDone) and pid == self.pid and self.begun:
            reason = failure.getErrorMessage()
            _log.error(
                "A worker did not take what is new: it is started anew with it", worker=self.number, reason=reason
            )
            self.kill()

    def _handle(self, message: Any) -> Any:
        match message:
            case messages.Load():
                self.intake.told(message)
                self._crew.eased()
            case messages.Over():
                self._crew.hears.over(message.batch)
            case messages.Ready():
                self._begins()
            case messages.Logged():
                self._crew.hears.logged(message.lines, message.missed)
            case messages.Bye():
                self._told(message.state)
            case _:
                self._crew.hears.found(self.number, message)
        return None

    def _begins(self) -> None:
        """It is given no connection before it has heard all that it was told while it began."""
        channel = self.channel
        assert channel is not None
        self._stage = Stage.BEGUN
        channel.done().addCallback(lambda _: self._serves(channel))

    def _serves(self, channel: Channel) -> None:
        if self.channel is channel:
            self._stage = Stage.SERVES
            _log.info("A worker serves", worker=self.number, pid=self.pid)
            self._crew.began(self)

    # Its end comes in two parts: all that it has said is heard, and the process is gone.

    def processExited(self, reason: Failure) -> None:
        if not self._crew.stopping:
            why = reason.getErrorMessage()
            _log.error("A worker ended: it is started again", worker=self.number, pid=self.pid, reason=why)
        self.transport = None
        self.pid = None
        self._serves_no_more()
        if self.channel is None:
            self._gone()

    def _ended(self) -> None:
        self.channel = None
        self._serves_no_more()
        if self.pid is None:
            self._gone()
        else:
            # One that has closed its side serves nobody any more.
            self._reactor.callLater(CLOSED_SECONDS, self._kill_if, self.pid)

    def _serves_no_more(self) -> None:
        if self.ready:
            self._missing_since = self._reactor.seconds()
        self._stage = Stage.BEGINS

    def _kill_if(self, pid: int) -> None:
        if self.pid == pid:
            self.kill()

    def _gone(self) -> None:
        assert self.passage is not None and self._ends is not None
        waiting = self.take_back()
        # What it had sent before its end.
        self.passage.take_all()
        self.passage.close()
        for end in self._ends:
            end.close()
        self.passage = None
        lived = self._reactor.seconds() - self._began
        self.failures = 0 if lived >= SHORT_LIFE_SECONDS else self.failures + 1
        self.intake = Intake(self._reactor.seconds)
        self._crew.lost(self, waiting)
