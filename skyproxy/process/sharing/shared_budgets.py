"""Budgets that several machines keep to together: each tells what it has spent, and hears what all have.

Each has a file of its own, whose sums are the truth of what it spent. To tell a sum again changes nothing: Redis adds
up what has changed since it was told last, by the name of the file. A store that was emptied, or another run of Redis,
which may have begun with an older file, has another epoch, so that each machine tells and hears everything anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from secrets import token_hex
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from skyproxy.access.budgets.budget_file import BudgetFile, Values
from skyproxy.access.budgets.elsewhere import Totals
from skyproxy.access.budgets.rows import RowKey
from skyproxy.process.sharing.spent_elsewhere import Ledger, SpentElsewhere

EVERY_SECONDS = 0.5
"""Between two tellings."""

UNHEARD_SECONDS = 3.0
"""After which what others have spent counts as unknown."""

_LAST_SECONDS = 1.0
"""That the last telling may take."""

_MOST_TOLD, _MOST_HEARD = 500, 1000
_KEEP_SECONDS = {"hour": 86_400, "day": 3 * 86_400, "month": 70 * 86_400, "all": 400 * 86_400}

SHARE = """
local prefix, name, epoch, seen, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[6])
local head, changes = prefix .. 'budgets', prefix .. 'budgets:changes'
-- Also in a Redis that is full: see the scripts of shares.
redis.call('EXPIRE', head, 34560000)
local server = redis.pcall('INFO', 'server')
local run = type(server) == 'string' and string.match(server, 'run_id:(%x+)') or ''
local current = redis.call('HGET', head, 'epoch')
if not current or redis.call('HGET', head, 'run') ~= run then
  current = ARGV[5]
  redis.call('HSET', head, 'epoch', current)
  redis.call('HSET', head, 'run', run)
end
if current ~= epoch then
  return {current, '0', {}}
end
for i = 7, #ARGV, 4 do
  local row, span, total, seconds = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local own, sums = prefix .. 'budgets:of:' .. name .. ':' .. span, prefix .. 'budgets:sums:' .. span
  local before = redis.call('HGET', own, row)
  local more = tonumber(total) - tonumber(before or '0')
  if more ~= 0 or not before then
    redis.call('HSET', own, row, total)
    redis.call('HINCRBY', sums, row, string.format('%.0f', more))
    redis.call('EXPIRE', own, seconds)
    redis.call('EXPIRE', sums, seconds)
    local number = redis.call('HINCRBY', head, 'changes', 1)
    redis.call('ZADD', changes, number, span .. ' ' .. row)
  end
end
redis.call('EXPIRE', head, 34560000)
redis.call('EXPIRE', changes, 34560000)
local found = redis.call('ZRANGEBYSCORE', changes, '(' .. seen, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
local heard = {}
for i = 1, #found, 2 do
  local span, row = string.match(found[i], '^(%S+) (.*)$')
  seen = found[i + 1]
  local sum = redis.call('HGET', prefix .. 'budgets:sums:' .. span, row)
  if sum then
    heard[#heard + 1] = row
    heard[#heard + 1] = sum
    heard[#heard + 1] = redis.call('HGET', prefix .. 'budgets:of:' .. name .. ':' .. span, row) or '0'
  else
    redis.call('ZREM', changes, found[i])
  end
end
return {current, seen, heard}
"""
"""Arguments: the prefix of keys; the name of the file; the epoch that it knows, and the number of the newest change
that it has heard; another epoch, for a store that has none of this run; how many changes are told; then of each sum
that has changed: its row, its span, the sum, and seconds for which it is kept.
"""


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
    """Tells and hears, twice a second, while there are budgets.

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
        self._name = self._epoch = ""
        self._seen = "0"
        self._told: dict[RowKey, int] = {}
        self._heard_at: float | None = None
        self._anew_until = 0.0

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
        found: list[Totals | None] = []

        def look(file: BudgetFile) -> None:
            if rows:
                file.write(rows, None)
            found.append(file.totals())

        done = self._ledger.with_file(look)
        done.addCallbacks(lambda _: self._safely(lambda: self._tell(found[0])), self._broke)

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
            self._name, self._seen = totals.name, "0"
            self._told.clear()
            self._elsewhere.forget()
        self._told = {key: told for key, told in self._told.items() if key in totals.sums}
        self._elsewhere.follow(totals.others)
        if self._anew_until and self._reactor.seconds() >= self._anew_until:
            # By now all have told what they have spent, which may be less than was known: hear it all once more.
            self._anew_until, self._seen = 0.0, "0"
        self._share(totals.sums, spends=False)

    def _share(self, own: Mapping[RowKey, int], *, spends: bool) -> None:
        news = list(islice(((key, sum_) for key, sum_ in own.items() if self._told.get(key) != sum_), _MOST_TOLD))
        arguments: list[Any] = [
            self._store.prefix, self._name, self._epoch, self._seen, token_hex(4), _MOST_HEARD,
        ]  # fmt: skip
        for key, sum_ in news:
            span = f"{key.per}:{key.start}"
            arguments += [_row_of(key), span, sum_, _KEEP_SECONDS[key.per]]

        def heard(reply: Any) -> None:
            epoch = reply[0].decode()
            if epoch != self._epoch:
                # It was emptied, or is new: all is told again, and others may not have done so yet.
                self._epoch, self._seen = epoch, "0"
                self._told.clear()
                self._anew_until = self._reactor.seconds() + UNHEARD_SECONDS
                if self._call.running:
                    self._end()
                else:
                    self._share(own, spends=False)
            elif self._hear(reply, news) and (self._call.running or len(news) == _MOST_TOLD):
                # None of the rest may wait for what changes again and again.
                self._share(own, spends=spends or bool(news))
            else:
                self._note("", spends=spends or bool(news))

        self._store.run(SHARE, [], arguments, lambda reply: self._safely(lambda: heard(reply)), self._failed)

    def _hear(self, reply: Any, news: list[tuple[RowKey, int]]) -> bool:
        """Take what others have spent, as the answer to *news* tells.

        :return: whether there may be more to hear, or to tell.
        """
        now, seen, heard = self._reactor.seconds(), reply[1].decode(), reply[2]
        sums = {
            _key_of(row.decode()): int(whole) - int(own)
            for row, whole, own in zip(heard[::3], heard[1::3], heard[2::3], strict=True)
        }
        self._elsewhere.hear(sums, may_be_less=now >= self._anew_until)
        self._told.update(news)
        self._seen, self._heard_at = seen, now
        return len(news) == _MOST_TOLD or len(heard) == 3 * _MOST_HEARD

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


def _row_of(key: RowKey) -> str:
    return f"{key.per} {key.start} {key.currency} {key.account}"


def _key_of(row: str) -> RowKey:
    per, start, currency, account = row.split(" ", 3)
    return RowKey(account, per, int(start), currency)
