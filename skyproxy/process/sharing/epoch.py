"""One life of the store in which machines tell what they have spent, as one of them knows it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from skyproxy.access.budgets.rows import RowKey
from skyproxy.process.sharing.budget_script import KEEP_SECONDS, row_of

MOST_TOLD = 500

News = list[tuple[RowKey, int]]


class Epoch:
    """What was told to the store since it has begun, or has lost anything.

    :param name: that the store has for it; empty: it was not asked yet.
    :param until: when all that live have told what they have spent; 0.0: they have.
    :ivar seen: the number of the newest change that was heard.
    """

    def __init__(self, name: str = "", until: float = 0.0) -> None:
        self.name = name
        self.until = until
        self.seen = "0"
        self._told: dict[RowKey, int] = {}
        self._turn = 0

    def forget(self) -> None:
        """Another machine's file has taken the place of the one that was told."""
        self.seen = "0"
        self._told.clear()

    def follow(self, own: Mapping[RowKey, int]) -> None:
        """There are these sums, and no others. Another one of those that were told is told once more than need be: it
        shows whether the store still has it.
        """
        self._told = {key: told for key, told in self._told.items() if key in own}
        self._turn += 1

    def news_of(self, own: Mapping[RowKey, int]) -> News:
        """What is to be told of *own*."""
        news = ((key, amount) for key, amount in own.items() if self._told.get(key) != amount)
        return list(islice(news, MOST_TOLD))

    def words_for(self, news: News) -> list[Any]:
        """*news* as the script takes them."""
        words: list[Any] = []

        def add(key: RowKey, amount: int, state: str) -> None:
            words.extend((row_of(key), f"{key.per}:{key.start}", amount, KEEP_SECONDS[key.per], state))

        at = self._turn % max(1, len(self._told))
        for key, amount in islice(self._told.items(), at, at + 1):
            add(key, amount, "same")
        for key, amount in news:
            add(key, amount, "changed" if key in self._told else "new")
        return words

    def was_told(self, news: News) -> None:
        """The store has heard *news*."""
        self._told.update(news)
