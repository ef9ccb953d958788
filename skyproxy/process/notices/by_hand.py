"""What people do by hand on one machine, done on all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

from skyproxy.clock import Clock
from skyproxy.process.notices.hearsay import Hearsay
from skyproxy.process.notices.names import Names
from skyproxy.process.notices.notice import KEY_BACK, MAX_TEXT, PROFILE, PURGE, REVOKED, Notice
from skyproxy.process.notices.outbox import PROFILE_SECONDS, PURGE_SECONDS, Outbox
from skyproxy.process.notices.translation import notice_of
from skyproxy.process.workers.news import Found, Stamp
from skyproxy.upstream.guards.findings import BreakerClosed

_PURGES = 64
"""That are remembered."""
_REVOKED = 1024
"""Revoked keys that are remembered, for a store that loses them."""


class Hands(Protocol):
    """Does here what people have done at another machine."""

    def purge(self) -> object:
        """Forget the answers that are kept."""

    def profile(self, name: str) -> bool:
        """Use a profile, or none: ``off``; tells whether there is that one here."""

    def put_back(self, provider: str, variable: str) -> object:
        """Use a key again that a provider had refused."""

    def revoke(self, is_revoked: Callable[[bytes], bool]) -> object:
        """Take the keys of clients of whose digests *is_revoked* says so."""

    def recall(self, done: Callable[[Collection[bytes]], object]) -> object:
        """Have *done* know the digests of keys that people have revoked here lately."""


class ByHand:
    """Tells what people do here, and has it done here what they do at other machines.

    What it is told to do is not told again.
    """

    def __init__(self, clock: Clock, outbox: Outbox, hearsay: Hearsay, names: Names) -> None:
        self._clock = clock
        self._began = clock.seconds()
        self._outbox = outbox
        self._hearsay = hearsay
        self._names = names
        self._hands: Hands | None = None
        self._applying = False
        self._profile: Notice | None = None
        self._profile_is_here = False
        self._renewal: Any = None
        self._purges: deque[Stamp] = deque(maxlen=_PURGES)
        self._revoked: dict[str, None] = {}
        self._recalled: set[str] = set()

    def begin(self, hands: Hands) -> None:
        """Have done here, from now on, what people do at other machines.

        :param hands: does it.
        """
        self._hands = hands

    def stop(self) -> None:
        """Do nothing any more."""
        self._hands = None
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None

    # What is done here.

    def purged(self) -> None:
        """Somebody has had all answers forgotten."""
        if not self._applying:
            stamp = self._next_stamp()
            self._purges.append(stamp)
            self._outbox.put(Notice(PURGE, seconds=PURGE_SECONDS, stamp=stamp))

    def profile_used(self, name: str) -> None:
        """Somebody has chosen a profile, or none: ``off``."""
        if not self._applying and len(name) <= MAX_TEXT:
            chosen = Notice(PROFILE, text=name, stamp=self._next_stamp())
            self._use_profile(chosen, True)
            self._outbox.put(chosen)

    def key_put_back(self, provider: str, variable: str) -> None:
        """Somebody has had a key used again."""
        if not self._applying:
            self._hearsay.put_back(provider, variable)
            identity, key = self._names.provider(provider), self._names.key(provider, variable)
            if identity is not None and key is not None:
                self._outbox.put(Notice(KEY_BACK, identity, key))

    def breakers_closed(self, provider: str, models: Iterable[str | None]) -> None:
        """Somebody has closed breakers of a provider: those of these models."""
        for each in models:
            # Whatever others have heard of it was before.
            found = Found(provider, BreakerClosed(each), self._next_stamp(), self._hearsay.board.seen)
            self._hearsay.publisher.heard(found)
            notice = notice_of(found, self._names)
            if notice is not None:
                self._outbox.put(notice)

    def clients_revoked(self, digests: Collection[bytes]) -> None:
        """Somebody has taken the keys of these digests from a client."""
        names = [self._names.client(each) for each in digests]
        self._note_revoked(names)
        for each in names:
            self._outbox.put(Notice(REVOKED, key=each))

    def recall_revoked(self, digests: Collection[bytes]) -> None:
        """Keys of these digests were taken from clients lately, and nobody knows whether others have heard of it."""
        names = {self._names.client(each) for each in digests} - self._revoked.keys()
        self._note_revoked(names)
        self._recalled |= names

    def tell_recalled(self, key: str) -> bool:
        """Whether others may not have heard that *key* was revoked. From now on they have."""
        is_recalled = key in self._recalled
        self._recalled.discard(key)
        return is_recalled

    @property
    def revoked(self) -> list[Notice]:
        """The last keys that were revoked, here or elsewhere."""
        return [Notice(REVOKED, key=each) for each in self._revoked]

    def _note_revoked(self, names: Iterable[str]) -> None:
        self._revoked.update(dict.fromkeys(names))
        for each in list(self._revoked)[:-_REVOKED]:
            del self._revoked[each]

    def _next_stamp(self) -> Stamp:
        return self._hearsay.board.next_stamp()

    # What is done elsewhere.

    def note_past(self, notices: Iterable[Notice]) -> None:
        """Take note of purges among *notices*, which are kept, that were before this machine began. Its memory is of
        later; what it has in a file is its own affair.
        """
        age = self._clock.seconds() - self._began
        before = (each for each in notices if each.kind == PURGE and PURGE_SECONDS - each.seconds > age)
        self._purges.extend(each.stamp for each in before)

    def revoke(self, keys: Collection[str]) -> int:
        """Take the keys that are called so from whomever they are of; tells of how many it was not known."""
        news = len(set(keys) - self._revoked.keys())
        self._note_revoked(keys)
        if self._hands is not None:
            self._hands.revoke(lambda digest: self._names.client(digest) in keys)
        return news

    def take(self, notice: Notice) -> bool:
        """Do what *notice* says; tells whether it was news."""
        if self._hands is None:
            return False
        self._applying = True
        try:
            return self._take(notice, self._hands)
        finally:
            self._applying = False

    def _take(self, notice: Notice, hands: Hands) -> bool:
        match notice.kind:
            case "purge":
                if notice.stamp in self._purges:
                    return False
                self._purges.append(notice.stamp)
                hands.purge()
            case "profile":
                if self._profile is not None and notice.stamp <= self._profile.stamp:
                    return False
                self._use_profile(notice, hands.profile(notice.text))
            case _:
                return self._put_back(notice, hands)
        return True

    def _put_back(self, notice: Notice, hands: Hands) -> bool:
        config = self._names.here(notice.provider)
        if config is None:
            return False
        variables = self._names.variables(notice.provider, notice.key)
        for each in variables:
            hands.put_back(config.name, each)
            self._hearsay.put_back(config.name, each)
        return bool(variables)

    def _use_profile(self, notice: Notice, is_here: bool) -> None:
        self._profile, self._profile_is_here = notice, is_here
        if self._renewal is None and self._hands is not None:
            self._renewal = self._clock.callLater(PROFILE_SECONDS / 3, self._renew)

    def _renew(self) -> None:
        """Have machines that begin know the profile as long as one uses it."""
        self._renewal = self._clock.callLater(PROFILE_SECONDS / 3, self._renew)
        if self._profile is not None and self._profile_is_here:
            self._outbox.put(self._profile, publish=False)
