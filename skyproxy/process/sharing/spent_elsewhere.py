"""What other machines have spent of budgets, on its way to the file of this machine's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from skyproxy.access.budgets.budget_file import BudgetFile, Others, Values
from skyproxy.access.budgets.elsewhere import SumKey, ToldSum
from skyproxy.access.budgets.rows import RowKey

_NOTE_SECONDS = 20.0
"""After which it is noted again how many spend."""


class Ledger(Protocol):
    """See :class:`~skyproxy.access.budgets.store.BudgetStore`."""

    @property
    def is_open(self) -> bool: ...

    def open(self) -> None: ...

    def with_file(self, act: Callable[[BudgetFile], Others | None]) -> Deferred[None]: ...

    def as_they_are(self) -> list[Values]: ...


class SpentElsewhere:
    """Knows what others have spent as the file is to have it. What could not be noted is noted later.

    :param parts: how many processes spend, on all machines.
    :param changed: called when something was noted.
    :ivar sums: in the spans of now.
    """

    def __init__(self, reactor: Any, ledger: Ledger, parts: Callable[[], int], changed: Callable[[], object]) -> None:
        self._reactor = reactor
        self._ledger = ledger
        self._parts = parts
        self._changed = changed
        self.sums: dict[RowKey, int] = {}
        # What of that the file may not have yet.
        self._unnoted: dict[RowKey, int] = {}
        self._unnoted_by: dict[SumKey, ToldSum] = {}
        # What else is noted. An earlier process may have noted that others are not heard.
        self._noted = (True, 1, 0)

    def forget(self) -> None:
        """There is another file."""
        self._unnoted.clear()
        self._unnoted_by.clear()

    def follow(self, sums: Mapping[RowKey, int]) -> None:
        """The file has these."""
        self.sums = {**sums, **self._unnoted}

    def recall(self, told: Mapping[SumKey, ToldSum]) -> list[tuple[SumKey, ToldSum]]:
        """What others have told so far; the file has it as *told*."""
        return list({**told, **self._unnoted_by}.items())

    def hear_by(self, told: Mapping[SumKey, ToldSum]) -> None:
        """Others have told this."""
        self._unnoted_by.update(told)

    def hear(self, sums: Mapping[RowKey, int], *, may_be_less: bool) -> None:
        """Others have spent these, or more than that of some, which they have not told again yet."""
        for key, heard in sums.items():
            known = self.sums.get(key, 0)
            others = heard if may_be_less else max(heard, known)
            if others != known:
                self.sums[key] = self._unnoted[key] = others

    def note(self, why: str, *, spends: bool) -> None:
        """Note what is new.

        :param why: it is not known what others have spent; empty: it is.
        :param spends: something was spent here, so that the next turn is to begin.
        """
        parts, sums, by = self._parts(), self._unnoted, self._unnoted_by
        noted = bool(why), parts, int(self._reactor.seconds() / _NOTE_SECONDS)
        if not (sums or by or why or spends or noted != self._noted):
            return
        self._noted, self._unnoted, self._unnoted_by = noted, {}, {}

        def put(file: BudgetFile) -> Others | None:
            others = file.put_elsewhere(sums, by, why, parts)
            if others is not None:
                sums.clear()
                by.clear()
            return others

        def over(result: Any) -> Any:
            self._unnoted, self._unnoted_by = {**sums, **self._unnoted}, {**by, **self._unnoted_by}
            return result

        self._ledger.with_file(put).addBoth(over).addCallbacks(lambda _: self._changed(), lambda _: None)
