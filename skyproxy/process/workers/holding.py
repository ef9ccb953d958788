"""A worker's side of limits that all workers keep to together: it holds a share of each, and asks for another one.

What uses the units need not know: it has as many as it is lent. The parent hears of it several times a second, and at
once when it begins to lack some, or has some back that others are to have. Where nothing is lacked, nothing of this is
in the way of a request.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from skyproxy.process.workers import messages
from skyproxy.process.workers.held import Held, Lent
from skyproxy.process.workers.messages import Key
from skyproxy.shares.holder import Holder
from skyproxy.shares.messages import Grant

BEAT_SECONDS = 0.25
"""Seconds between two messages to the parent where there is nothing new."""

_MOST_KEYS = 100
"""Limits in one message: a message that is too long for one part would be overtaken by later ones."""

_LOOKED_AT = 400
"""Limits that one beat looks at when there are more, besides those that were told of since the one before: a look takes
some 1.3 microseconds. A limit that begins to lack something says so by itself."""

SPARE_SECONDS = 0.005
"""Seconds after which units are given back that others want and nobody has used here."""


class Channel(Protocol):
    """Leads to the parent."""

    def tell_now(self, message: object) -> None: ...


class Holding:
    """All limits of which a worker has a share.

    :param clock: has ``seconds`` and ``callLater``.
    :param name: of the worker.
    """

    def __init__(self, clock: Any, name: str, channel: Channel) -> None:
        self._clock = clock
        self._name = name
        self._channel = channel
        self._held: dict[Key, Held] = {}
        self._changed: dict[Key, None] = {}
        self._scarce: dict[Key, None] = {}
        self._left: list[Key] = []
        # To be looked at by the next beats, the last one first; and what was told since the one before, or by it.
        self._order: list[Key] = []
        self._told: dict[Key, None] = {}
        self._soon: Any = None
        self._beat: Any = None
        self._spare: Any = None
        self._heard_at: float | None = None
        self._lease = 0.0
        self._tell_all = False

    def share(self, key: Key) -> int:
        """Units that are lent of a limit; 0 where it is not known."""
        held = self._held.get(key)
        return 0 if held is None else held.share

    def is_leased(self, key: Key) -> bool:
        """Whether the share of a limit is one that the parent has granted."""
        held = self._held.get(key)
        return held is not None and held.holder.is_leased(self._clock.seconds())

    def lower(self, key: Key, keep: int) -> None:
        """Have no more than *keep* units of a limit: there are no more."""
        held = self._held.get(key)
        if held is not None:
            held.holder.give_back(keep, self._clock.seconds())
            held.share = min(held.share, keep)
            self.changed([key])

    def hold(self, key: Key, lent: Lent, share: int = 0) -> None:
        """Have *lent* get a share of the limit *key*, in place of what had it before.

        :param share: that it has already.
        """
        held = self._held.get(key)
        if held is None:
            # What others have when the parent is not heard is known when they have all gone back to their parts.
            holder = Holder(self._name, lent.limit, pause=BEAT_SECONDS * 8, least=0, share=share)
            held = self._held[key] = Held(lent, holder)
            held.share = share
        else:
            held.lent = lent
            lent.lend(held.share)
        self.changed([key])
        if self._beat is None:
            self._beat = self._clock.callLater(BEAT_SECONDS, self._beats)

    def drop(self, key: Key) -> None:
        """There is no such limit any more."""
        if self._held.pop(key, None) is not None:
            self._scarce.pop(key, None)
            self.leave(key)

    def leave(self, key: Key) -> None:
        """Tell the parent that nothing is wanted of a limit, whatever it has heard."""
        self._left.append(key)

    def changed(self, keys: Iterable[Key]) -> None:
        """Something may have happened that the parent is to hear of: see in the next turn of the loop."""
        for key in keys:
            self._changed[key] = None
        if self._soon is None:
            self._soon = self._clock.callLater(0, self._tell_news)

    def heard(self, message: messages.Granted) -> None:
        """The parent has told something."""
        now = self._clock.seconds()
        if message.answers is not None:
            self._heard_at = now
            if message.again:
                self._tell_all = True
            elif message.lease:
                self._lease = message.lease
                for held in self._held.values():
                    held.holder.renew(message.answers, message.lease)
        taken: list[tuple[Key, Held, Grant]] = []
        for key, limit, grant in message.grants:
            known = self._held.get(key)
            # A limit that was dropped may be held again, and what the parent said to that before be still on its way.
            if known is not None and grant.answers >= known.began:
                known.holder.limit = limit
                known.holder.take(grant)
                taken.append((key, known, grant))
        for key, known, grant in taken:
            known.apply(now)
            known.aware = known.aware and known.holder.scarce
            if known.holder.scarce:
                self._scarce[key] = None
            else:
                self._scarce.pop(key, None)
            if grant.answers == known.sent and known.told is not None:
                known.lent.answered(known.told, known.holder.due)
            self._changed[key] = None
        self._tell_news()
        if self._spare is None and self._scarce:
            self._spare = self._clock.callLater(SPARE_SECONDS, self._give_back)

    def stop(self) -> None:
        """Tell nothing any more."""
        for each in (self._soon, self._beat, self._spare):
            if each is not None and each.active():
                each.cancel()
        self._held.clear()

    def _tell_news(self) -> None:
        if self._soon is not None and self._soon.active():
            self._soon.cancel()
        self._soon = None
        changed, self._changed = self._changed, {}
        now = self._clock.seconds()
        if self._heard_at is not None and now - self._heard_at > self._lease:
            # Nobody listens: only the next beats say so.
            return
        found = [(key, self._held[key]) for key in changed if key in self._held]
        news = [(key, held) for key, held in found if held.has_news(now)]
        if news:
            self._told.update(dict.fromkeys(key for key, _ in news))
            self._tell(news, now)

    def _tell(self, reports: Iterable[tuple[Key, Held]], now: float) -> None:
        told = [(key, held.lent.limit, held.report(now)) for key, held in reports]
        left, self._left = self._left, []
        more = True
        while more:
            # What is held again was left before.
            room = max(0, _MOST_KEYS - len(left))
            self._channel.tell_now(messages.Claims(now, tuple(left[:_MOST_KEYS]), tuple(told[:room])))
            left, told = left[_MOST_KEYS:], told[room:]
            more = bool(left or told)

    def _beats(self) -> None:
        self._beat = self._clock.callLater(BEAT_SECONDS, self._beats)
        now, everything = self._clock.seconds(), self._tell_all
        self._tell_all = False
        looked = [(key, held) for key in self._looked_at(now, everything) if (held := self._held.get(key)) is not None]
        for _, held in looked:
            held.apply(now)
        due = [each for each in looked if everything or each[1].is_due(now)]
        self._told = dict.fromkeys(key for key, _ in due)
        self._tell(due, now)

    def _looked_at(self, now: float, everything: bool) -> Iterable[Key]:
        """The limits that a beat at *now* looks at: all, if their leases may be over."""
        silent = self._heard_at is None or now - self._heard_at > 2 * BEAT_SECONDS
        if everything or silent or len(self._held) <= _LOOKED_AT:
            return self._held
        if not self._order:
            self._order = list(self._held)
        turn = self._order[-_LOOKED_AT:]
        del self._order[-_LOOKED_AT:]
        return {**self._told, **dict.fromkeys(turn)}

    def _give_back(self) -> None:
        """Give back at once what others want and is not wanted here."""
        self._spare = None
        now = self._clock.seconds()
        given = []
        for key in self._scarce:
            held = self._held[key]
            holder = held.holder
            if holder.is_leased(now) and held.share:
                want = held.lent.want()
                keep = max(want.in_use, want.interactive + want.background)
                if keep < held.share:
                    holder.give_back(keep, now)
                    held.apply(now)
                    given.append((key, held))
        if given:
            self._tell(given, now)
        if any(self._held[key].share for key in self._scarce):
            self._spare = self._clock.callLater(SPARE_SECONDS, self._give_back)
