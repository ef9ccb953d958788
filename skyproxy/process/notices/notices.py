"""Tells other machines what this one finds out and what people do at it, and has it follow what they tell."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from twisted.logger import Logger

from skyproxy.clock import Clock
from skyproxy.process.notices.by_hand import ByHand, Hands
from skyproxy.process.notices.hearsay import Hearsay
from skyproxy.process.notices.kept import KeptNotices
from skyproxy.process.notices.names import Names
from skyproxy.process.notices.notice import KEY_BACK, PROFILE, PURGE, REVOKED, Notice, Subject, read_message
from skyproxy.process.notices.outbox import RESTS, Outbox, left_of
from skyproxy.process.notices.translation import found_by, notice_of
from skyproxy.process.workers.news import Found
from skyproxy.process.workers.telling import about

_log = Logger()

_MOST_AHEAD = 2**40
"""By which the count of a stamp may be above all others: nobody shall use up the numbers."""

_SAME_SECONDS = 0.1
"""By which a rest must be longer than the one that is known, to be another."""

_BY_HAND = frozenset({PURGE, PROFILE, KEY_BACK})


class Notices:
    """A process, alone or a parent with its workers, as one of several machines that tell each other.

    What another machine tells is applied and not told again. No request waits for any of it.

    :param machine: its name, which no other has, nor this one after a restart.
    :ivar by_hand: takes what people do here.
    :ivar news: notices of others that were news here.
    :ivar ignored: what was in the channel, or in the store, and was none.
    """

    def __init__(self, clock: Clock, store: KeptNotices, machine: str, hearsay: Hearsay, names: Names) -> None:
        self._store = store
        self._machine = machine
        self._hearsay = hearsay
        self._names = names
        self._outbox = Outbox(clock, machine, store.tell)
        self.by_hand = ByHand(clock, self._outbox, hearsay, names)
        self._connected = self._begun = False
        self.news = self.ignored = 0
        hearsay.publisher.elsewhere = self._found
        store.listen(self)

    def begin(self, hands: Hands) -> None:
        """Follow from now on what others tell, and learn what holds.

        :param hands: does what people have done there.
        """
        self._begun = True
        self.by_hand.begin(hands)
        if self._connected:
            self._store.read(self._read)
        hands.recall(self._recalled)

    def stop(self) -> None:
        """Neither tell nor follow anything any more."""
        self._begun = False
        self._outbox.stop()
        self.by_hand.stop()

    @property
    def told(self) -> int:
        """Notices that were passed on to all."""
        return self._outbox.told

    def _found(self, found: Found) -> None:
        notice = notice_of(found, self._names)
        if notice is not None:
            self._outbox.put(notice)

    def _recalled(self, digests: Collection[bytes]) -> None:
        if self._begun and digests:
            self.by_hand.recall_revoked(digests)
            if self._connected:
                self._store.read(self._read)

    # What the store says.

    def ready(self) -> None:
        self._connected = True
        if self._begun:
            self._store.read(self._read)

    def lost(self) -> None:
        self._connected = False
        self._outbox.lost()

    def heard(self, message: bytes) -> None:
        if not self._begun:
            return
        told = read_message(message)
        if told is None:
            self.ignored += 1
        elif told.machine != self._machine:
            self.ignored += told.broken
            # Who stood still hears of it later, and what is over by then is over.
            late = self._store.late(told.sent)
            left = (left_of(each, late) for each in told.notices)
            self._apply_all([each for each in left if each is not None])

    def _read(self, notices: list[Notice], broken: int) -> None:
        if not self._begun or not self._connected:
            return
        self.ignored += broken
        known = self._known()
        self.by_hand.note_past(notices)
        self._apply_all([each for each in notices if not self._holds(each, known)])
        # What still holds and is not there was lost, or never told: the store was emptied, or has begun anew.
        kept = {each.subject for each in notices}
        for subject, each in self._known().items():
            untold = each.kind == REVOKED and self.by_hand.tell_recalled(each.key)
            if subject not in kept:
                self._outbox.put(each, publish=untold)
        self._outbox.ready()

    def _known(self) -> dict[Subject, Notice]:
        """What holds here, and concerns others."""
        notices = (notice_of(found, self._names) for found in self._hearsay.board.known().found)
        rests = [each for each in notices if each is not None and each.seconds > 0]
        return {each.subject: each for each in (*rests, *self.by_hand.revoked)}

    @staticmethod
    def _holds(notice: Notice, known: Mapping[Subject, Notice]) -> bool:
        """Whether it is of a rest that holds here for as long: it would begin anew with one request."""
        here = known.get(notice.subject)
        if here is None or notice.kind not in RESTS:
            return False
        return notice.kind == here.kind and notice.seconds - here.seconds < _SAME_SECONDS

    def _apply_all(self, notices: Sequence[Notice]) -> None:
        revoked = frozenset(each.key for each in notices if each.kind == REVOKED)
        if revoked:
            # There may be many, and many clients: those are gone through once.
            self._apply(REVOKED, lambda: self.by_hand.revoke(revoked))
        board = self._hearsay.board
        for each in notices:
            if each.stamp[0] - board.latest > _MOST_AHEAD:
                self.ignored += 1
            elif each.kind != REVOKED:
                board.heard_of(each.stamp)
                self._apply(each.kind, partial(self.by_hand.take if each.kind in _BY_HAND else self._hear, each))

    def _apply(self, kind: str, apply: Callable[[], int]) -> None:
        try:
            self.news += apply()
        except Exception:
            # Whatever one machine tells, this one serves on.
            _log.failure("What another machine has told could not be applied", kind=kind)
            self.ignored += 1

    def _hear(self, notice: Notice) -> bool:
        news = False
        for each in found_by(notice, self._names, self._hearsay.board.seen):
            if self._hearsay.publisher.heard(each):
                news = True
                _log.debug(
                    "Heard of another machine",
                    provider=each.provider,
                    found=type(each.finding).__name__,
                    about=about(each.finding),
                )
        return news
