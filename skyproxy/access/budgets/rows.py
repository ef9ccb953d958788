"""What was spent of each budget in each of its spans, as it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from skyproxy.access.budgets.evening import Evening, Hours


class RowKey(NamedTuple):
    """Tells the sums of one budget and span from others'.

    :ivar account: whose budget it is, such as ``client:lydia-pc``.
    :ivar per: what its amount is for.
    :ivar start: of the span, seconds since the epoch.
    :ivar currency: of the sums.
    """

    account: str
    per: str
    start: int
    currency: str


class Row:
    """The sums of one budget and span, in billionths.

    Nothing may be sent before the file covers it, and to write for each request would cost more than the request. So
    more is written than is reserved: what was reserved since the last writing, once more. Requests that this covers
    need not wait. A process that is killed has that counted as spent, which is the reservations of a twentieth of a
    second; where nothing happens, nothing is written beyond what is.

    :param unwritten: the rows that are to be written; this one is among them when it has changed.
    :ivar others: what other processes have spent or reserved, earlier ones among them.
    :ivar spent: what this process has.
    :ivar held: what requests of this process that are under way have reserved.
    :ivar warned: whether it was told that most of it is spent.
    :ivar taken: reserved in the turn of the number *turn*, see :class:`~skyproxy.access.budgets.turns.Turns`.
    """

    __slots__ = (
        "_ahead",
        "_covered",
        "_fresh",
        "_into",
        "_unwritten",
        "held",
        "key",
        "others",
        "spent",
        "taken",
        "turn",
        "warned",
    )

    def __init__(self, key: RowKey, unwritten: set[Row], others: int = 0) -> None:
        self.key = key
        self.others = others
        self.spent = self.held = self.taken = self.turn = 0
        self.warned = False
        self._covered = self._fresh = self._ahead = 0
        self._into: Row | None = None
        self._unwritten = unwritten

    @property
    def known(self) -> int:
        """What is spent for certain, as far as this process knows."""
        return self.others + self.spent

    def reserve(self, amount: int) -> bool:
        """Reserve *amount*.

        :return: whether the file covers it.
        """
        self.held = held = self.held + amount
        self._fresh += amount
        self._unwritten.add(self)
        return self.spent + held <= self._covered

    def release(self, amount: int) -> None:
        """Give back *amount*, which was reserved."""
        if self._into is not None:
            self._into.release(amount)
            return
        self.held -= amount
        self._unwritten.add(self)

    def settle(self, reserved: int, amount: int) -> None:
        """Count *amount* as spent, in place of what was *reserved* for it."""
        if self._into is not None:
            self._into.settle(reserved, amount)
            return
        self.held -= reserved
        self.spent += amount
        self._unwritten.add(self)

    def move_to(self, row: Row) -> None:
        """Have *row*, which is of the same span, as has turned out, count all that this one does, and what becomes of
        it."""
        row.settle(-self.held, self.spent)
        self.spent = self.held = 0
        self._into = row
        self._unwritten.add(self)

    # For the file.

    @property
    def is_in_file(self) -> bool:
        """Whether the file has, or is to have, anything of it."""
        return bool(self.spent or self.held or self._covered or self in self._unwritten)

    def writing(self) -> tuple[int, int]:
        """What is written of it now: what is spent, and what is reserved or may be soon."""
        self._ahead, self._fresh = self._fresh, 0
        held = self.held + self._ahead
        # Until it is written, nobody knows which of the two the file has.
        self._covered = min(self._covered, self.spent + held)
        return self.spent, held

    def written(self, spent: int, held: int) -> None:
        """That has been written."""
        self._covered = spent + held
        if self._ahead:
            # If nothing follows, what is beyond goes.
            self._unwritten.add(self)


def follow_evening(evening: Evening, heard: Hours | None, rows: Iterable[Row], of: Callable[[RowKey], Row]) -> None:
    """Have *evening* follow what was *heard* of other processes. If that has begun earlier than this process knew, its
    *rows* are those of the earlier beginning.

    :param of: gives the row of a key.
    """
    before = evening.span.start
    if heard is None or not evening.hear(*heard) or before == evening.span.start:
        return
    for row in rows:
        if row.key.per == "evening" and row.key.start == before:
            row.move_to(of(row.key._replace(start=evening.span.start)))
