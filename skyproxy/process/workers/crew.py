"""The workers of a parent: they are started, given connections, told what changes, and started again."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from skyproxy.process.workers import messages
from skyproxy.process.workers.gathered import Gathered
from skyproxy.process.workers.hears import Hears
from skyproxy.process.workers.member import Member
from skyproxy.process.workers.passing import Passed
from skyproxy.process.workers.protocol import NotDone, late
from skyproxy.process.workers.spreading import next_worker, restart_delay

_log = Logger()

REFRESH_SECONDS = 0.3
FILES_SECONDS = 3.0
"""Seconds that workers have for their figures, and those in files. Of one that is later the last ones count."""

READY_SECONDS = 10.0
"""Seconds that a worker waits for others before the supervisor hears that all is ready."""
TOGETHER_SECONDS = 2.0
"""Seconds for which connections wait at the start, when a worker serves, until all do: those that come at once, as
after a restart, would stay with the first one.
"""
PASS_SECONDS = 1.0
"""Seconds that workers have, at the end, to take the connections that were accepted last."""

SETTLED_SECONDS = 5.0
"""Seconds for which somebody waits for workers that have not done yet what they were told."""


class Crew:
    """All workers.

    :param workers: how many.
    :param start: makes what a worker is told when it begins.
    :param gathered: keeps what they tell.
    :param hears: takes what they send.
    :ivar stopping: none is started again.
    :ivar ready: fires when all serve, or some for a while.
    """

    def __init__(
        self,
        reactor: Any,
        workers: int,
        start: Callable[[int], messages.Start],
        gathered: Gathered,
        hears: Hears,
    ) -> None:
        self._reactor = reactor
        self._start = start
        self.gathered = gathered
        self.hears = hears
        self.members = [Member(reactor, number, self) for number in range(workers)]
        self.stopping = False
        self.ready: Deferred[None] = Deferred()
        self._together = False
        self._last: int | None = None
        self._held: deque[Passed] = deque()
        self._eased: list[Callable[[], None]] = []
        self._stopped: Deferred[None] | None = None
        self._lines = self._leaving = False
        self._silent: set[int] = set()

    def start(self) -> None:
        """Start all."""
        for each in self.members:
            each.start(self._start(each.number))

    # Connections.

    def give(self, tag: int, descriptor: int) -> None:
        """Pass a connection to the worker that has the fewest; it waits while there is none."""
        self._held.append(Passed(tag, descriptor))
        self._give_all()

    @property
    def may_give(self) -> bool:
        """Whether a connection would not wait. Otherwise none is to be accepted before :meth:`when_eased` says so."""
        return self._together and not self._held and bool(self._able())

    def when_eased(self, call: Callable[[], None]) -> None:
        """Have *call* called when connections can be passed again."""
        self._eased.append(call)

    def eased(self) -> None:
        """A worker can take more."""
        self._give_all()
        if not self._held:
            eased, self._eased = self._eased, []
            for call in eased:
                call()

    def _give_all(self) -> None:
        while self._held and self._together:
            number = next_worker(self._able(), self._last)
            if number is None:
                return
            self._last = number
            self.members[number].give(*self._held.popleft())

    def _able(self) -> dict[int, int]:
        return {each.number: each.intake.open for each in self.members if each.answers and each.intake.has_room}

    def look(self) -> None:
        """Ask all how they are; what one that is silent, or has no room, has not taken goes to others."""
        self.refresh()
        for each in self.members:
            if each.intake.is_stuck and not self.stopping and self._able().keys() - {each.number}:
                each.intake.rest()
                self._pass_on(each.take_back())
            if each.ready and not each.answers and not self.stopping:
                self._pass_on(each.take_back())
                if each.number not in self._silent:
                    self._silent.add(each.number)
                    self.hears.silent(each.number)
                    _log.warn("A worker does not answer: others get the connections", worker=each.number, pid=each.pid)
            elif each.number in self._silent and each.answers:
                self._silent.discard(each.number)
                _log.info("A worker answers again", worker=each.number, pid=each.pid)
        self.eased()

    def _pass_on(self, waiting: Iterable[Passed]) -> None:
        self._held.extendleft(reversed(list(waiting)))
        self.eased()

    # Their lives.

    def began(self, member: Member) -> None:
        """*member* serves."""
        if self._lines:
            member.tell(messages.Lines(True))
        if self._leaving:
            member.tell(messages.Leave())
        complete = all(each.ready for each in self.members)
        if self._together or complete:
            self._begin_together()
        else:
            self._reactor.callLater(TOGETHER_SECONDS, self._begin_together)
        if complete:
            self._are_ready()
        else:
            # One that cannot begin shall not keep those that serve from saying so.
            self._reactor.callLater(READY_SECONDS, self._are_ready)

    def _begin_together(self) -> None:
        self._together = True
        self.eased()

    def _are_ready(self) -> None:
        if not self.ready.called and any(each.ready for each in self.members):
            self.ready.callback(None)

    def lost(self, member: Member, waiting: Iterable[Passed]) -> None:
        """*member* is gone; *waiting* are the connections that it had not taken."""
        self.gathered.lost(member.number)
        self.hears.left(member.number)
        self._silent.discard(member.number)
        self._pass_on(waiting)
        if self.stopping:
            self._look_for_end()
        else:
            self._reactor.callLater(restart_delay(member.failures - 1), self._restart, member)

    def _restart(self, member: Member) -> None:
        if not self.stopping:
            member.start_again(self._start(member.number))

    # What all are told.

    def tell(self, message: object) -> None:
        """Tell all."""
        for each in self.members:
            each.tell(message)

    def sum_of(self, message: object) -> Deferred[int]:
        """Have all do something of which each tells a number; fires with the sum. Who does not answer tells none, and
        who cannot do it begins anew.

        One that begins is told, too, and serves nobody before it has heard it: it is not waited for.
        """
        waited: list[Deferred[int]] = []
        for each in self.members:
            if each.channel is not None:
                asked = each.channel.ask(message).addErrback(self._refused, each, each.pid)
                if each.begun:
                    waited.append(
                        asked.addTimeout(SETTLED_SECONDS, self._reactor, late).addErrback(self._late, each, 0)
                    )
                else:
                    asked.addErrback(lambda _: None)
        return gatherResults(waited).addCallback(sum)

    def settled(self) -> Deferred[Any]:
        """Fires when all that serve have done what they were told, or soon."""
        waited = [
            each.channel.done().addTimeout(SETTLED_SECONDS, self._reactor, late).addErrback(self._late, each)
            for each in self.members
            if each.channel is not None and each.begun
        ]
        return gatherResults(waited)

    def _refused(self, failure: Failure, member: Member, pid: int | None) -> Failure:
        if failure.check(NotDone):
            member.begin_anew(failure, pid)
        return failure

    def _late(self, failure: Failure, member: Member, instead: Any = None) -> Any:
        if member.begun:
            _log.warn(
                "A worker has not yet done what it was told", worker=member.number, reason=failure.getErrorMessage()
            )
        return instead

    def adopt(self, message: messages.Adopt) -> None:
        """Have all serve by another configuration."""
        for each in self.members:
            each.adopt(message)

    def leave(self) -> None:
        """Have all say that they are not ready, for they are about to stop."""
        self._leaving = True
        self.tell(messages.Leave())

    def want_lines(self, wanted: bool) -> None:
        """Have all tell the lines of their logs, or no more."""
        self._lines = wanted
        self.tell(messages.Lines(wanted))

    def refresh(self, wanted: messages.Refresh = messages.FIGURES) -> Deferred[None]:
        """Have all tell how they are. Fires when they have, or soon."""
        done: Deferred[None] = Deferred()
        waited = [each for each in self.members if each.ready]
        left = len(waited)
        if not left:
            done.callback(None)
            return done
        late = self._reactor.callLater(FILES_SECONDS if any(wanted) else REFRESH_SECONDS, done.callback, None)

        def told(_: object) -> None:
            nonlocal left
            left -= 1
            if not left and late.active():
                late.cancel()
                done.callback(None)

        for each in waited:
            each.refresh(wanted).addBoth(told)
        return done

    # The end.

    def stop(self, seconds: float, idle_seconds: float = 0.0) -> Deferred[None]:
        """Have all finish what is under way, and end.

        :param seconds: after which they are killed.
        :param idle_seconds: which idle connections get for another request.
        :return: fires when all have ended.
        """
        self.stopping = self._together = True
        self._stopped = Deferred()
        self._reactor.callLater(seconds, self.kill_all)
        self._stop_when_passed(self._reactor.seconds() + PASS_SECONDS, idle_seconds)
        return self._stopped

    def _stop_when_passed(self, until: float, idle_seconds: float) -> None:
        """Have all stop when they, or those that begin, have been passed the last connections, or soon."""
        waiting = self._held or any(each.passage is not None and each.passage.unsent for each in self.members)
        begin = self._held and any(each.pid is not None and not each.ready for each in self.members)
        if waiting and (begin or self._reactor.seconds() < until):
            self._give_all()
            self._reactor.callLater(0.01, self._stop_when_passed, until, idle_seconds)
            return
        self.tell(messages.Stop(idle_seconds))
        self._look_for_end()

    def kill_all(self) -> None:
        """End the processes of those that have not ended yet."""
        for each in self.members:
            if each.pid is not None:
                _log.error("A worker did not end in time: it is killed", worker=each.number, pid=each.pid)
                each.kill()

    def _look_for_end(self) -> None:
        gone = all(each.pid is None and each.channel is None for each in self.members)
        if gone and self._stopped is not None and not self._stopped.called:
            for each in self._held:
                os.close(each.descriptor)
            self._held.clear()
            self._stopped.callback(None)
