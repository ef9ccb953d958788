"""The old process's side of an upgrade: its states, from the request to the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from skyproxy.access.audit import NAMESPACE
from skyproxy.process.upgrade.control import Heard
from skyproxy.process.upgrade.outcome import SILENT_SECONDS, Outcome

_log = Logger()
_audit = Logger(namespace=NAMESPACE)

TAKE_SECONDS = 10.0
"""Seconds that a process which is ready has to take over: nobody accepts connections meanwhile."""


class New(Protocol):
    """See :class:`~skyproxy.process.upgrade.successor.Successor`."""

    pid: int | None

    def begin(self, hello: dict[str, Any], descriptors: Sequence[int]) -> None: ...
    def say(self, word: str, **fields: Any) -> None: ...
    def let_go(self) -> None: ...
    def kill(self) -> None: ...
    def last_words(self) -> str: ...


class Old(Protocol):
    """What serves, and is to be handed over: see :class:`~skyproxy.process.upgrade.serving.Serving`."""

    def refusal(self) -> str | None:
        """Why there can be no upgrade here."""

    def hello(self) -> tuple[dict[str, Any], Sequence[int]]:
        """What the new process is told at first, and the descriptors that it gets."""

    def begins(self) -> None:
        """An upgrade is under way."""

    def pause(self, pid: int) -> dict[str, Any]:
        """Accept nobody, for process *pid* is about to; gives what that is told."""

    def resume(self) -> None:
        """Accept as before, though :meth:`pause` was called."""

    def failed(self) -> None:
        """There is no upgrade any more."""

    def leave(self) -> None:
        """Let go of the sockets and of what else is the new one's, and end, when all under way is finished."""


class Upgrade:
    """Has another process take over.

    :param old: what serves here.
    :param successor: makes the other process, of what takes its words and what is told of its end.
    """

    def __init__(self, reactor: Any, old: Old, successor: Callable[[Heard, Callable[[str], None]], New]) -> None:
        self._reactor = reactor
        self._old = old
        self._successor = successor
        self._new: New | None = None
        self._paused = False
        self._taken: Outcome | None = None
        self._version = ""
        self._seconds = SILENT_SECONDS
        self._late: IDelayedCall | None = None
        self._done: Deferred[Outcome] = Deferred()

    def begin(self, by: str, seconds: float = SILENT_SECONDS) -> Deferred[Outcome]:
        """Begin, unless one is under way.

        :param by: who wants it.
        :param seconds: in which the new process must say something.
        :return: fires when it is over, whichever way it went.
        """
        _audit.info("An upgrade is asked for", by=by)
        problem = self._problem()
        if problem is not None:
            _log.warn("There is no upgrade: {problem}", problem=problem)
            return succeed(Outcome(problem=problem))
        self._done, self._version, self._seconds = Deferred(), "", seconds
        self._new = self._successor(self._heard, self._ended)
        self._old.begins()
        try:
            self._new.begin(*self._old.hello())
        except OSError as error:
            done = self._done
            self._fail(f"it cannot be started: {error.strerror or error}")
            return done
        _log.info("An upgrade begins: a new process starts", pid=self._new.pid)
        self._wait(seconds)
        return self._done

    def cancel(self) -> None:
        """Give it up: this process is about to end."""
        if self._new is not None:
            reason = "the old process was stopped meanwhile"
            _log.warn("The upgrade is given up: {reason}", reason=reason)
            self._give_up(reason)

    def _problem(self) -> str | None:
        if self._taken is not None:
            return f"process {self._taken.pid} has taken over already"
        if self._new is not None:
            return f"one is under way: process {self._new.pid} starts"
        return self._old.refusal()

    def _heard(self, word: str, told: dict[str, Any]) -> None:
        if self._new is None:
            return
        self._wait(self._seconds)
        if word == "ready" and not self._paused:
            self._wait(min(self._seconds, TAKE_SECONDS))
            self._paused, self._version = True, str(told.get("version", ""))
            self._new.say("go", **self._old.pause(self._new.pid or 0))
        elif word == "taken" and self._paused:
            self._take(self._new)

    def _take(self, new: New) -> None:
        self._stop_waiting()
        self._new, self._paused = None, False
        outcome = self._taken = Outcome(new.pid, self._version)
        new.let_go()
        _log.info("Another process has taken over: this one finishes what is under way", pid=new.pid)
        # Who asked gets the answer before the end begins.
        self._done.callback(outcome)
        self._old.leave()

    def _ended(self, reason: str) -> None:
        if self._new is not None:
            self._fail(reason)

    def _is_late(self, seconds: float) -> None:
        self._late = None
        words = self._new.last_words() if self._new is not None else ""
        written = f", and last wrote: {words}" if words else ""
        self._fail(f"the new process has said nothing for {seconds:g} seconds{written}")

    def _fail(self, reason: str) -> None:
        _log.error("The upgrade failed, the old process serves on: {reason}", reason=reason)
        self._give_up(reason)

    def _give_up(self, reason: str) -> None:
        self._stop_waiting()
        new, self._new = self._new, None
        paused, self._paused = self._paused, False
        if new is not None:
            new.kill()
        if paused:
            self._old.resume()
        self._old.failed()
        self._done.callback(Outcome(problem=reason))

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._late = self._reactor.callLater(seconds, self._is_late, seconds)

    def _stop_waiting(self) -> None:
        late, self._late = self._late, None
        if late is not None and late.active():
            late.cancel()
