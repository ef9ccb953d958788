"""What a machine has to tell all others, and has not told yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any, NamedTuple, Protocol

from skyproxy.clock import Clock
from skyproxy.process.notices.notice import (
    CLOSED,
    KEY_BACK,
    KEY_REFUSED,
    KEY_RESTS,
    MAX_MESSAGE_BYTES,
    MAX_NOTICES,
    MODEL_RESTS,
    OPENED,
    PROFILE,
    PURGE,
    REVOKED,
    Notice,
    Subject,
    message_of,
)

MAX_WAITING = 1024
"""Notices that wait; those that wait longest are given up first."""

PROFILE_SECONDS = 30.0
"""For which a profile is kept for machines that begin, unless one that uses it says that it still does."""
PURGE_SECONDS = 86_400.0
REVOKED_SECONDS = 30 * 86_400.0
ENDED_SECONDS = 3600.0
"""For which is kept that a breaker was closed, or a key put back: a machine that was cut off does not know it yet."""

_RATE, _BURST = 4.0, 4
"""Messages a second, and how many may go at once after a quiet time."""
_SOON_SECONDS = 0.005
"""Seconds for which a notice waits for others."""
_AGAIN_SECONDS = 0.5
"""Seconds after which is sent again what the store has refused."""
_ROOM = 1024
"""Bytes of a message that are not of notices."""

_NEWEST = "9" * 20
"""A rank above all others."""
RESTS = frozenset({MODEL_RESTS, KEY_RESTS, KEY_REFUSED})
"""The kinds of which the one that ends last counts."""
_HELD = RESTS | {OPENED}
_KEPT_SECONDS = {
    CLOSED: ENDED_SECONDS,
    PROFILE: PROFILE_SECONDS,
    PURGE: PURGE_SECONDS,
    REVOKED: REVOKED_SECONDS,
}


class State(NamedTuple):
    """What the store keeps of one notice, for machines that begin.

    :ivar rank: what has a lower one does not take its place; empty: what holds longer has the higher.
    :ivar seconds: for which it is kept; 0.0: what there is, is removed.
    """

    subject: Subject
    rank: str
    seconds: float
    value: bytes


class Pass(Protocol):
    """Passes a message on to all machines, and keeps states.

    :param message: None: there is nothing to be passed on.
    :param done: called with whether that is so.
    """

    def __call__(self, message: bytes | None, states: Sequence[State], done: Callable[[bool], object], /) -> object: ...


class _Waiting(NamedTuple):
    notice: Notice
    since: float
    publish: bool


class Outbox:
    """Tells notices soon, several by one message, and not more than a few messages a second, however many there are.

    Of several about the same the last is told, and of rests the one that ends last. While the store is not to be
    reached they wait, until they hold no more.

    :param machine: the name of this one.
    :param send: passes them on.
    """

    def __init__(self, clock: Clock, machine: str, send: Pass) -> None:
        self._clock = clock
        self._machine = machine
        self._send = send
        self._waiting: dict[Subject, _Waiting] = {}
        self._timer: Any = None
        self._ready = self._sending = False
        # When all that have gone would have gone one by one.
        self._even = -inf
        self.told = 0
        """Notices that were passed on."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, notice: Notice, *, publish: bool = True) -> None:
        """Tell *notice*.

        :param publish: it is not only kept for those that begin.
        """
        subject = notice.subject
        before = self._waiting.pop(subject, None)
        if notice.kind in (OPENED, CLOSED):
            # A probe is one of the opening before.
            self._waiting.pop(("probe", *subject[1:]), None)
        if notice.kind == KEY_BACK:
            for kind in (KEY_RESTS, KEY_REFUSED):
                self._waiting.pop((kind, *subject[1:]), None)
        waiting = _Waiting(notice, self._clock.seconds(), publish or (before is not None and before.publish))
        if before is not None and _outlasts(before, waiting):
            waiting = before._replace(publish=waiting.publish)
        self._waiting[subject] = waiting
        if len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
        self._soon()

    def ready(self) -> None:
        """The store can be spoken to, again."""
        self._ready = True
        self._soon()

    def lost(self) -> None:
        """It cannot, until :meth:`ready`."""
        self._ready = False

    def stop(self) -> None:
        """Tell nothing any more."""
        self._ready = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _soon(self, least: float = _SOON_SECONDS) -> None:
        if self._timer is None and self._ready and not self._sending and self._waiting:
            now = self._clock.seconds()
            at = max(now + least, self._even - (_BURST - 1) / _RATE)
            self._timer = self._clock.callLater(at - now, self._go)

    def _go(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        self._even = max(now, self._even) + 1 / _RATE
        taken = self._take(now)
        if not taken:
            self._soon()
            return
        published = [each.notice for each in taken if each.publish]
        states = [state for each in taken for state in states_of(each.notice)]
        message = message_of(self._machine, published) if published else None
        self._sending = True

        def done(passed: bool) -> None:
            self._sending = False
            if passed:
                self.told += len(published)
                self._soon()
            else:
                self._put_back(taken)
                self._soon(_AGAIN_SECONDS)

        self._send(message, states, done)

    def _take(self, now: float) -> list[_Waiting]:
        """As many as one message holds, with the seconds that are left now."""
        taken: list[_Waiting] = []
        size = _ROOM
        for subject, waiting in list(self._waiting.items()):
            left = left_of(waiting.notice, now - waiting.since)
            if left is not None:
                size += len(left.encoded()) + 1
                if size > MAX_MESSAGE_BYTES or len(taken) == MAX_NOTICES:
                    break
                taken.append(_Waiting(left, now, waiting.publish))
            del self._waiting[subject]
        return taken

    def _put_back(self, taken: Iterable[_Waiting]) -> None:
        newer, self._waiting = self._waiting, {}
        for each in taken:
            if each.notice.subject not in newer:
                self._waiting[each.notice.subject] = each
        self._waiting.update(newer)
        for subject in list(self._waiting)[:-MAX_WAITING]:
            del self._waiting[subject]


def _outlasts(before: _Waiting, waiting: _Waiting) -> bool:
    """Whether both are of the same rest, and the one before ends later."""
    kind = before.notice.kind
    if kind != waiting.notice.kind or kind not in RESTS:
        return False
    return before.since + before.notice.seconds > waiting.since + waiting.notice.seconds


def left_of(notice: Notice, passed: float) -> Notice | None:
    """*notice* after *passed* seconds; None: it holds no more."""
    if notice.kind not in _HELD:
        return notice
    seconds = notice.seconds - passed
    return notice._replace(seconds=seconds) if seconds > 0 else None


def states_of(notice: Notice) -> list[State]:
    """What is kept of *notice*."""
    subject, value = notice.subject, notice.encoded()
    if notice.kind == KEY_BACK:
        ended = [State((kind, *subject[1:]), _NEWEST, 0.0, b"") for kind in (KEY_RESTS, KEY_REFUSED)]
        return [*ended, State(subject, "", ENDED_SECONDS, value)]
    if notice.kind == OPENED:
        return [State(subject, _rank(notice), notice.seconds, value)]
    if notice.kind in RESTS:
        states = [State(subject, "", notice.seconds, value)]
        if notice.kind != MODEL_RESTS:
            # It was put back before.
            states.append(State((KEY_BACK, *subject[1:]), _NEWEST, 0.0, b""))
        return states
    if notice.kind in _KEPT_SECONDS:
        return [State(subject, _rank(notice), _KEPT_SECONDS[notice.kind], value)]
    return []


def _rank(notice: Notice) -> str:
    count, origin = notice.stamp
    return f"{count:020d}.{max(0, origin):020d}"
