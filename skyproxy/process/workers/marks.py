"""The parent's side of marks: how many requests at once of a key and model a provider takes, as all workers together
have learned it. It is lent to them as other limits are, while there is one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from skyproxy.process.workers import messages
from skyproxy.process.workers.messages import Key
from skyproxy.shares.messages import Report
from skyproxy.upstream.guards.learned_limits import FIRST_CAP_SECONDS, LONGEST_SECONDS, PROVEN_AFTER_SECONDS

MARK = "mark"
"""The kind of units that they are."""

MOST_MARKS = 1024
"""That are kept, and as many that were false are remembered."""


def mark_key(provider: str, key: str, model: str) -> Key:
    """What is lent of one *key*, by the name of its variable, and *model*."""
    return MARK, "\0".join((provider, key, model))


def parts_of(key: Key) -> tuple[str, str, str]:
    """What :func:`mark_key` was told."""
    provider, variable, model = key[1].split("\0", 2)
    return provider, variable, model


class SharedMark:
    """One mark: the sum of what workers have learned of it.

    While it is used up and somebody wants more there is one unit more at times, which is *unproven*: when it has been
    in use, and a second has passed without a 429, it is part of the mark. Otherwise it is gone, and the next one comes
    after twice as long.

    :ivar since: the number of the last news of it.
    """

    def __init__(self, now: float, number: int) -> None:
        self.since = number
        self.unproven = False
        self._used_since: float | None = None
        self._cap_seconds = FIRST_CAP_SECONDS
        self._capped_until = now + FIRST_CAP_SECONDS
        self._of_all = 0
        self._learned: dict[int, int] = {}
        self._reports: dict[int, Report] = {}

    @property
    def limit(self) -> int:
        """Requests that may be under way, with the one that is unproven."""
        return max(1, self._of_all + sum(self._learned.values()))

    def begun_by(self, worker: int) -> None:
        """A worker has met it, which is about to tell how much it takes it to be."""
        self._learned.setdefault(worker, 0)

    def report(self, worker: int, learned: int, report: Report) -> None:
        """A worker has added *learned* to it by now, and wants what *report* says."""
        self._learned[worker] = learned
        self._reports[worker] = report

    def left(self, worker: int, *, died: bool) -> bool:
        """A worker shares it no more. If it has *died*, what it has learned is still true.

        :return: whether there is another one that knows of it.
        """
        learned = self._learned.pop(worker, 0)
        self._of_all += learned if died else 0
        self._reports.pop(worker, None)
        return bool(self._learned)

    def look(self, now: float) -> None:
        """See whether the unproven unit has proven, and whether there may be one."""
        # There is always one.
        self._of_all += max(0, 1 - self._of_all - sum(self._learned.values()))
        reports = self._reports.values()
        wanted = sum(each.interactive + each.background for each in reports)
        used = sum(each.in_use for each in reports) >= self.limit
        if self.unproven:
            if used and self._used_since is None:
                self._used_since = now
            if self._used_since is None or now - self._used_since < PROVEN_AFTER_SECONDS:
                return
            self.unproven = False
            self._cap_seconds = 0.0
        if used and wanted > self.limit and now >= self._capped_until:
            self.unproven, self._used_since = True, None
            self._of_all += 1

    def refused(self, now: float, number: int) -> bool:
        """A worker has met a limit, and has lowered its share.

        :return: whether it was the unproven unit that was too much. Otherwise the mark is false.
        """
        if not self.unproven:
            return False
        self.unproven = False
        self._cap_seconds = min(self._cap_seconds * 2, LONGEST_SECONDS) or FIRST_CAP_SECONDS
        self._capped_until = now + self._cap_seconds
        self.since = number
        return True


Tell = Callable[[int, messages.MarkMet | messages.MarkFalse], None]
"""Tells the worker of this number something."""


class Marks:
    """All marks that there are.

    :param seconds: the time.
    """

    def __init__(self, seconds: Callable[[], float], tell: Tell) -> None:
        self._seconds = seconds
        self._tell = tell
        self._marks: dict[Key, SharedMark] = {}
        # The number of the news that it was false.
        self._false: OrderedDict[Key, int] = OrderedDict()
        # The workers that have not confirmed yet that it was.
        self._late: OrderedDict[Key, set[int]] = OrderedDict()
        self._number = 0
        self._heard: set[int] = set()

    def limit(self, key: Key) -> int | None:
        """Units of *key*; None: there is no such mark."""
        mark = self._marks.get(key)
        return None if mark is None else mark.limit

    def __len__(self) -> int:
        return len(self._marks)

    def heard(self, worker: int, message: messages.OfMarks) -> None:
        """A worker has learned something."""
        key, mark, now = message.key, self._marks.get(message.key), self._seconds()
        if isinstance(message, messages.MarkDropped):
            if mark is not None:
                self._forget(key, worker, rests=False)
        elif mark is None:
            if key not in self._false or message.seen >= self._false[key]:
                self._number += 1
                mark = self._marks[key] = SharedMark(now, self._number)
                mark.begun_by(worker)
                self._tell_met(key, worker)
                if len(self._marks) > MOST_MARKS:
                    self._forget(next(iter(self._marks)), worker, rests=False)
        elif message.seen >= mark.since:
            if mark.refused(now, self._number + 1):
                self._number += 1
                self._tell_met(key, worker)
            else:
                self._forget(key, worker, rests=True)

    def claimed(self, worker: int, claims: messages.Claims) -> messages.Claims:
        """A worker has told what it wants. One that has begun hears of all that there are.

        :return: without what is about a mark of before, which the worker takes for the one of now.
        """
        if worker not in self._heard:
            self._heard.add(worker)
            for key, mark in self._marks.items():
                self._tell(worker, messages.MarkMet(key, mark.since, own=False))
        for key in dict.fromkeys(claims.left):
            if worker in self._late.get(key, ()):
                # It is the mark of before that it has left.
                self._confirmed(key, worker)
            elif key in self._marks:
                self._left(key, worker, died=False)
        if self._late:
            reports = [each for each in claims.reports if worker not in self._late.get(each[0], ())]
            claims = claims._replace(reports=tuple(reports))
        for key, learned, report in claims.reports:
            known = self._marks.get(key) if key[0] == MARK else None
            if known is not None:
                known.report(worker, learned, report)
                known.look(self._seconds())
        return claims

    def left(self, worker: int) -> None:
        """A worker has ended."""
        self._heard.discard(worker)
        for key in list(self._marks):
            self._left(key, worker, died=True)
        for key in list(self._late):
            self._confirmed(key, worker)

    def _confirmed(self, key: Key, worker: int) -> None:
        self._late[key].discard(worker)
        if not self._late[key]:
            del self._late[key]

    def _left(self, key: Key, worker: int, *, died: bool) -> None:
        if not self._marks[key].left(worker, died=died):
            del self._marks[key]

    def keep(self, is_kept: Callable[[str], bool]) -> None:
        """Forget what is known of other providers than those whose names *is_kept* tells."""
        for key in [each for each in self._marks if not is_kept(parts_of(each)[0])]:
            self._forget(key, -1, rests=False)

    def _tell_met(self, key: Key, worker: int) -> None:
        for each in self._heard:
            self._tell(each, messages.MarkMet(key, self._number, own=each == worker))

    def _forget(self, key: Key, worker: int, *, rests: bool) -> None:
        del self._marks[key]
        self._number += 1
        self._false[key] = self._number
        if self._heard:
            self._late[key] = set(self._heard)
        self._false.move_to_end(key)
        for each in (self._false, self._late):
            if len(each) > MOST_MARKS:
                each.popitem(last=False)
        for number in self._heard:
            self._tell(number, messages.MarkFalse(key, self._number, own=rests and number == worker))
