"""One life of the store in which machines tell what they have spent, as one of them knows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import Any

from skyproxy.access.budgets.elsewhere import SumKey, ToldSum
from skyproxy.access.budgets.rows import RowKey
from skyproxy.process.sharing.budget_script import KEEP_SECONDS, row_of

MOST_TOLD = 500
MOST_RECALLED = 100
"""Sums of other machines, by their names, that are told or heard at a time. Where there are more, those of a machine
that has ended come soon: they change no more, and what has changed last comes last.
"""

News = list[tuple[RowKey, int]]


class Epoch:
    """What was told to the store since it has begun, or has lost anything.

    :param name: that the store has for it; empty: it was not asked yet.
    :param until: when all that live have told what they have spent; 0.0: they have.
    :param unheard: how many there were of late in which nothing was heard.
    :ivar seen: the number of the newest change that was heard; *seen_by*: of those by name.
    :ivar recalled: what others have told before, and is yet to be told for them; None: it is to be looked for.
    """

    def __init__(self, name: str = "", until: float = 0.0, unheard: int = 0) -> None:
        self.name = name
        self.until = until
        self.unheard = unheard
        self.seen = self.seen_by = "0"
        self.recalled: list[tuple[SumKey, ToldSum]] | None = None
        self._told: dict[RowKey, int] = {}
        self._heard: set[RowKey] = set()
        self._turn = 0

    def forget(self) -> None:
        """Another machine's file has taken the place of the one that was told."""
        self.seen = self.seen_by = "0"
        self._told.clear()
        self._heard.clear()

    def follow(self, own: Mapping[RowKey, int], others: Mapping[RowKey, int]) -> None:
        """There are these sums, and no others. Another row is looked for: it shows whether the store has it still."""
        self._told = {key: told for key, told in self._told.items() if key in own}
        self._heard = {key for key in self._heard if key in others}
        self._turn += 1

    def news_of(self, own: Mapping[RowKey, int]) -> News:
        """What is to be told of *own*."""
        news = ((key, amount) for key, amount in own.items() if self._told.get(key) != amount)
        return list(islice(news, MOST_TOLD))

    def words_for(self, news: News) -> list[Any]:
        """*news*, and what is recalled, as the script takes them."""
        words: list[Any] = []

        def add(key: RowKey, amount: int | str, last: str) -> None:
            words.extend((row_of(key), f"{key.per}:{key.start}", amount, KEEP_SECONDS[key.per], last))

        def there(key: RowKey) -> str:
            return "own" if key in self._told else "sum" if key in self._heard else ""

        at = self._turn % max(1, len(self._told) + len(self._heard))
        for key in islice(chain(self._told, self._heard), at, at + 1):
            add(key, "", there(key))
        for key, amount in news:
            add(key, amount, there(key))
        own = len(words) // 5
        for told, was in (self.recalled or [])[:MOST_RECALLED]:
            add(told.key, f"{was.spent} {was.at}", told.machine)
        return [self.seen_by, MOST_RECALLED, own, int(len(news) < MOST_TOLD), *words]

    def answered(self, news: News, heard: Iterable[RowKey]) -> None:
        """The store has been told *news*, and some of what is recalled, and has told of these."""
        self.unheard = 0
        self._told.update(news)
        self._heard.update(heard)
        if self.recalled:
            del self.recalled[:MOST_RECALLED]
