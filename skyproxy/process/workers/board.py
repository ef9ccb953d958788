"""What all workers together know of providers: the parent passes it on, and tells it to those that begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from skyproxy.config import ProviderConfig
from skyproxy.process.workers.news import Found, Known, Openings, Seen, Stamp
from skyproxy.upstream.build import can_follow, fails_alike, refused_alike, same_keys, same_limit
from skyproxy.upstream.guards.breaker import GOOD_AFTER_SECONDS
from skyproxy.upstream.guards.findings import (
    BreakerClosed,
    BreakerOpened,
    BreakerProbes,
    KeyRefused,
    KeyRests,
    ModelRests,
    ModelTaken,
    ProbeIgnored,
)

MOST_KEPT = 1024
"""Rests, keys and breakers that are kept for workers that begin."""

HALF_OPEN_SECONDS = 600.0
"""For which a breaker is kept that nobody has tried since its time was over."""

Subject: TypeAlias = tuple[str, ...]
"""What something is about: a kind, a provider, and what there is of it."""


class _Kept(NamedTuple):
    """What was found out, and when it is over."""

    found: Found
    until: float


class Board:
    """Keeps what has been found out until it is over.

    :param seconds: the time.
    :ivar origin: distinguishes this machine from others in stamps.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self.origin = 0
        self._openings = Openings()
        self._kept: dict[Subject, _Kept] = {}
        self._tried_at: dict[Subject, float] = {}
        self._number = 0
        self._since: dict[Subject, int] = {}

    def take(self, found: Found) -> bool:
        """Keep *found*.

        :return: whether the other workers are to hear of it. What is about a state that a change has ended of which
            its worker did not know yet, or about an opening before the last, is none of theirs.
        """
        subject = _subject(found)
        ended = max(self._since.get(each, 0) for each in (subject, subject[:3], ("all", found.provider)))
        if found.seen < ended:
            return False
        now, finding = self._seconds(), found.finding
        match finding:
            case ModelRests(rest=rest):
                self._keep(subject, found, now + rest.seconds)
            case KeyRests(seconds=seconds) | KeyRefused(seconds=seconds):
                self._keep(subject, found, now + seconds)
            case ModelTaken():
                return True  # The rest is over by now: a worker that begins need not know.
            case _:
                if not self._openings.is_news(found, finding.model):
                    return False
                self._take_of_breaker(subject, found, now)
        return True

    def _take_of_breaker(self, subject: Subject, found: Found, now: float) -> None:
        match found.finding:
            case BreakerOpened(seconds=seconds):
                self._tried_at.pop(subject, None)
                self._kept.pop(subject, None)
                self._keep(subject, found, now + seconds)
            case BreakerProbes():
                self._tried_at.setdefault(subject, now)
            case ProbeIgnored():
                self._tried_at.pop(subject, None)
            case BreakerClosed():
                self._forget(subject)

    @property
    def seen(self) -> int:
        """The number of the last change."""
        return self._number

    @property
    def latest(self) -> int:
        """The count of the latest stamp."""
        return self._openings.latest

    def next_stamp(self) -> Stamp:
        """One above all that were heard of."""
        self._openings.latest += 1
        return self._openings.latest, self.origin

    def heard_of(self, stamp: Stamp) -> None:
        """The next one is to be above *stamp*."""
        self._openings.heard_of(stamp[0])

    # The parent's changes.

    def put_back(self, provider: str, key: str) -> Seen:
        """All are told to use a key again: what they have found out before that is over."""
        return self._end("key", provider, key)

    def close_breaker(self, provider: str, model: str | None) -> Seen:
        """All are told to ask a provider, or a model of it, again."""
        return self._end("breaker", provider, model or "")

    def reconfigure(self, before: Mapping[str, ProviderConfig], now: Mapping[str, ProviderConfig]) -> Seen:
        """All are told to serve by another configuration: what is known of providers that begin anew is over, and of
        others what is not true of them any more.
        """
        self._number += 1
        for name, settings in before.items():
            later = now.get(name)
            if later is None or not can_follow(settings, later):
                self._since["all", name] = self._number
                for subject in [each for each in self._kept if each[1] == name]:
                    if later is None or not _outlives(subject, settings, later):
                        self._forget(subject)
        return Seen(self._number)

    def _end(self, *subject: str) -> Seen:
        self._number += 1
        self._since[subject] = self._number
        for each in [each for each in self._kept if each[: len(subject)] == subject]:
            self._forget(each)
        return Seen(self._number)

    def known(self) -> Known:
        """What is known now."""
        self._tidy()
        now = self._seconds()
        return Known(self._number, self._openings.latest, tuple(_left(each, now) for each in self._kept.values()))

    def _keep(self, subject: Subject, found: Found, until: float) -> None:
        kept = self._kept.get(subject)
        if kept is not None and kept.until >= until:
            return
        self._kept[subject] = _Kept(found, until)
        if len(self._kept) > MOST_KEPT:
            self._tidy()
        if len(self._kept) > MOST_KEPT:
            self._forget(min(self._kept, key=lambda each: self._kept[each].until))

    def _tidy(self) -> None:
        now = self._seconds()
        for subject, kept in list(self._kept.items()):
            patience = HALF_OPEN_SECONDS if isinstance(kept.found.finding, BreakerOpened) else 0.0
            tried_at = self._tried_at.get(subject)
            # Each worker takes it for closed then.
            good = tried_at is not None and now - tried_at >= GOOD_AFTER_SECONDS
            if good or kept.until + patience <= now:
                self._forget(subject)

    def _forget(self, subject: Subject) -> None:
        self._kept.pop(subject, None)
        self._tried_at.pop(subject, None)


def _subject(found: Found) -> Subject:
    finding, provider = found.finding, found.provider
    match finding:
        case ModelRests(model, key) | ModelTaken(model, key):
            return "model", provider, key, model
        case KeyRests(key):
            return "key", provider, key, "rests"
        case KeyRefused(key):
            return "key", provider, key, "refused"
        case _:
            return "breaker", provider, finding.model or ""


def _outlives(subject: Subject, before: ProviderConfig, now: ProviderConfig) -> bool:
    """Whether what is about *subject* is as true *now*."""
    if now.key_missing is not None or not same_limit(before, now):
        return False
    kind, key = subject[0], subject[2]
    if kind == "breaker":
        return fails_alike(before, now)
    return key in same_keys(before, now) and (kind == "model" or refused_alike(before, now))


def _left(kept: _Kept, now: float) -> Found:
    """With the seconds that are left now."""
    found, left = kept.found, max(0.0, kept.until - now)
    match found.finding:
        case ModelRests(rest=rest):
            return found._replace(finding=found.finding._replace(rest=rest._replace(seconds=left)))
        case KeyRests() | KeyRefused() | BreakerOpened():
            return found._replace(finding=found.finding._replace(seconds=left))
        case _:
            return found
