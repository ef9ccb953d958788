"""What was spent of each budget in each of its spans, as it is kept."""

from __future__ import annotations

from typing import NamedTuple


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

    :ivar others: what other processes have spent or reserved, earlier ones among them.
    :ivar spent: what this process has.
    :ivar held: what requests of this process that are under way have reserved.
    :ivar warned: whether it was told that most of it is spent.

    :param unwritten: the rows that are to be written; this one is among them when it has changed.
    """

    __slots__ = ("_unwritten", "held", "key", "others", "spent", "warned")

    def __init__(self, key: RowKey, unwritten: set[Row], others: int = 0) -> None:
        self.key = key
        self.others = others
        self.spent = self.held = 0
        self.warned = False
        self._unwritten = unwritten

    def hold(self, amount: int) -> None:
        """Reserve *amount*; a negative one is given back."""
        if amount:
            self.held += amount
            self._unwritten.add(self)

    def spend(self, amount: int) -> None:
        """Count *amount* as spent."""
        if amount:
            self.spent += amount
            self._unwritten.add(self)

    @property
    def known(self) -> int:
        """What is spent for certain, as far as this process knows."""
        return self.others + self.spent
