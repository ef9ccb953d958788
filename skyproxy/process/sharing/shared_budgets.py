"""Budgets that several machines keep to together: each tells what it has spent, and hears what all have.

Each has a file of its own, whose sums are the truth of what it spent. To tell a sum again changes nothing: Redis adds
up what has changed since it was told last, by the name of the file. A store that was emptied or has lost a part, or
another run of Redis, which may have begun with an older file, has another epoch, so that each machine tells and hears
everything anew. It tells then, too, what it has heard of each of the others, for those that have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from secrets import token_hex
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from skyproxy.access.budgets.budget_file import BudgetFile, Values
from skyproxy.access.budgets.elsewhere import SumKey, ToldSum, Totals
from skyproxy.access.budgets.rows import RowKey
from skyproxy.process.sharing.budget_script import SHARE, key_of
from skyproxy.process.sharing.epoch import MOST_TOLD, Epoch, News
from skyproxy.process.sharing.spent_elsewhere import Ledger, SpentElsewhere

EVERY_SECONDS = 0.25
"""Between two tellings."""

UNHEARD_SECONDS = 3.0
"""After which what others have spent counts as unknown."""

_LAST_SECONDS = 1.0
"""That the last telling may take."""

_MOST_HEARD = 1000
_MOST_UNHEARD = 2
"""Epochs that a telling may find, one after the other."""


class Store(Protocol):
    """See :class:`~skyproxy.process.sharing.redis_store.RedisStore`."""

    @property
    def prefix(self) -> str: ...

    def run(
        self,
        script: str,
        keys: list[str],
        arguments: list[Any],
        done: Callable[[Any], object],
        failed: Callable[[str], object],
    ) -> None: ...


class SharedBudgets:
    """Tells and hears, four times a second, while there are budgets.

    :param ledger: has what this machine has spent, and takes what others have.
    :param are_there: whether there are any budgets.
    :param parts: how many processes spend, on all machines.
    :param changed: called when others have spent something.
    :param catch_up: has all requests settled that are over.
    """

    def __init__(
        self,
        reactor: Any,
        store: Store,
        ledger: Ledger,
        are_there: Callable[[], bool],
        parts: Callable[[], int],
        changed: Callable[[], object],
        catch_up: Callable[[], object],
    ) -> None:
        self._reactor = reactor
        self._store = store
        self._catch_up = catch_up
        self._ledger = ledger
        self._are_there = are_there
        self._elsewhere = SpentElsewhere(reactor, ledger, parts, changed)
        self._call = LoopingCall(self._tick)
        self._call.clock = reactor
        self._busy = False
        self._then: Callable[[], object] = lambda: None
        """What is to be done when all is told."""
        self._name = ""
        self._epoch = Epoch()
        self._heard_at: float | None = None

    def start(self) -> None:
        """Begin."""
        self._call.start(EVERY_SECONDS)

    def stop(self) -> Deferred[None]:
        """Tell the last, when nothing is under way any more. Fires when that is told, or cannot be: what was reserved
        would count for the others until this machine begins again.
        """
        if not self._call.running:
            return succeed(None)
        self._call.stop()
        told: Deferred[None] = Deferred()

        def tell_last() -> None:
            self._then = lambda: told.callback(None)
            self._catch_up()
            self._begin(self._ledger.as_they_are())

        if not self._ledger.is_open:
            return succeed(None)
        if self._busy:
            self._then = tell_last
        else:
            tell_last()
        return told.addTimeout(_LAST_SECONDS, self._reactor).addErrback(lambda _: None)

    def _tick(self) -> None:
        if not self._ledger.is_open:
            if self._are_there():
                self._ledger.open()
        elif not self._busy:
            if self._heard_at is None:
                self._heard_at = self._reactor.seconds()
            self._begin([])

    def _begin(self, rows: Sequence[Values]) -> None:
        self._busy = True
        epoch, found, recalled = self._epoch, list[Totals | None](), dict[SumKey, ToldSum]()

        def look(file: BudgetFile) -> None:
            if rows:
                file.write(rows, None)
            found.append(file.totals())
            if epoch.name and epoch.recalled is None:
                recalled.update(file.told())

        def looked() -> None:
            if epoch.name and epoch.recalled is None:
                epoch.recalled = self._elsewhere.recall(recalled)
            self._tell(found[0])

        done = self._ledger.with_file(look)
        done.addCallbacks(lambda _: self._safely(looked), self._broke)

    def _safely(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:
            self._broke(Failure())

    def _broke(self, failure: Failure) -> None:
        self._failed(f"{type(failure.value).__name__}: {failure.value}")

    def _tell(self, totals: Totals | None) -> None:
        if totals is None:
            self._end()
            return
        if totals.name != self._name:
            # Another file: nobody has heard of it, and it has heard of nobody.
            self._name = totals.name
            self._epoch.forget()
            self._elsewhere.forget()
        epoch = self._epoch
        self._elsewhere.follow(totals.others)
        epoch.follow(totals.sums, self._elsewhere.sums)
        if epoch.until and self._reactor.seconds() >= epoch.until and not epoch.recalled:
            # By now all have told what they have spent, which may be less than was known: hear it all once more.
            epoch.until, epoch.seen = 0.0, "0"
        self._share(totals.sums, spends=False)

    def _share(self, own: Mapping[RowKey, int], *, spends: bool) -> None:
        epoch = self._epoch
        news = epoch.news_of(own)
        arguments: list[Any] = [
            self._store.prefix, self._name, epoch.name, epoch.seen, token_hex(4), _MOST_HEARD, *epoch.words_for(news),
        ]  # fmt: skip

        def heard(reply: Any) -> None:
            name = reply[0].decode()
            if name != epoch.name:
                # It was emptied, or is new: all is told again, and others may not have done so yet.
                self._epoch = Epoch(name, self._reactor.seconds() + UNHEARD_SECONDS, epoch.unheard + 1)
                if self._epoch.unheard > _MOST_UNHEARD:
                    self._failed("it loses what it is told")
                else:
                    self._begin([])
            elif self._hear(reply, news) and (self._call.running or len(news) == MOST_TOLD):
                # None of the rest may wait for what changes again and again.
                self._share(own, spends=spends or bool(news))
            else:
                self._note("", spends=spends or bool(news))

        self._store.run(SHARE, [], arguments, lambda reply: self._safely(lambda: heard(reply)), self._failed)

    def _hear(self, reply: Any, news: News) -> bool:
        """Take what others have spent, as the answer to *news* tells.

        :return: whether there may be more to hear, or to tell.
        """
        now, epoch, heard = self._reactor.seconds(), self._epoch, reply[2]
        sums = {
            key_of(row.decode()): int(whole) - int(own)
            for row, whole, own in zip(heard[::3], heard[1::3], heard[2::3], strict=True)
        }
        by = {
            SumKey(who.decode(), key_of(row.decode())): ToldSum(*map(int, was.split()))
            for who, row, was in zip(reply[4][::3], reply[4][1::3], reply[4][2::3], strict=True)
        }
        self._elsewhere.hear(sums, may_be_less=not epoch.until)
        self._elsewhere.hear_by(by)
        epoch.answered(news, sums)
        epoch.seen, epoch.seen_by, self._heard_at = reply[1].decode(), reply[3].decode(), now
        return len(news) == MOST_TOLD or len(heard) == 3 * _MOST_HEARD

    def _failed(self, why: str) -> None:
        if self._heard_at is not None and self._reactor.seconds() - self._heard_at >= UNHEARD_SECONDS:
            self._note(why or "the store is down")
        else:
            self._end()

    def _note(self, why: str, *, spends: bool = False) -> None:
        self._end()
        self._elsewhere.note(why, spends=spends)

    def _end(self) -> None:
        self._busy = False
        then, self._then = self._then, lambda: None
        then()
