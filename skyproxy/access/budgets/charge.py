"""What one request may cost, and has cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from skyproxy.access.budgets.account import Account
from skyproxy.access.budgets.money import Rates, billionths, converted
from skyproxy.access.budgets.rows import Row
from skyproxy.access.budgets.store import BudgetStore
from skyproxy.access.errors import InsufficientQuota, NoPrice
from skyproxy.telemetry.prices.prices import UNKNOWN, Cost

_log = Logger()


class Spending(Protocol):
    """One sending of a request.

    :ivar sent_at: when it went out; None before that.
    :ivar ended_at: when its answer was over; None before that.
    :ivar accepted: whether the provider got it, as far as can be known, and has not refused it.
    """

    @property
    def sent_at(self) -> float | None: ...
    @property
    def ended_at(self) -> float | None: ...
    @property
    def accepted(self) -> bool: ...


class Accounts(Protocol):
    """The budgets that there are.

    :ivar store: where it is written down what is spent of them.
    """

    @property
    def store(self) -> BudgetStore: ...
    @property
    def rates(self) -> Rates: ...

    def now(self) -> float:
        """Seconds since the epoch."""

    def of_slot(self, slot: str) -> Account | None:
        """The budget of *slot*."""

    def of_provider(self, provider: str) -> Account | None:
        """The budget of *provider*."""


class _Entry:
    """What one sending has reserved.

    :ivar parts: each account, its sums and the amount, in billionths of its currency.
    """

    __slots__ = ("parts", "sending")

    def __init__(self, sending: Spending, parts: list[tuple[Account, Row, int]]) -> None:
        self.sending = sending
        self.parts = parts

    def release(self) -> None:
        for _, row, amount in self.parts:
            row.hold(-amount)


class Charge:
    """The reservations of one request: one for each sending of it, at all budgets that it counts to.

    :param fixed: those budgets that it counts to wherever it is sent.
    :param slot: that it is for; None: for none.
    :ivar refusal: by the first budget that had not enough left; None: all had.
    """

    __slots__ = ("_accounts", "_entries", "_fixed", "_of_slot", "refusal")

    def __init__(self, accounts: Accounts, fixed: tuple[Account, ...], slot: str | None) -> None:
        self._accounts = accounts
        self._fixed = fixed
        self._entries: list[_Entry] = []
        self.refusal: InsufficientQuota | None = None
        self.step_down_to(slot)

    def step_down_to(self, slot: str | None) -> None:
        """Count what comes to *slot*."""
        self._of_slot = None if slot is None else self._accounts.of_slot(slot)

    def reserve(self, sending: Spending, provider: str, model: str, cost: Cost) -> Deferred[None] | None:
        """Reserve what *sending* may cost, before it is sent.

        :param cost: the most that it may.
        :return: fires when that is written down; None if there is nothing to be written.
        :raise InsufficientQuota: a budget has not so much left.
        :raise NoPrice: nobody knows what it may cost.
        :raise BudgetsUnwritable: it cannot be written down.
        """
        of_provider = self._accounts.of_provider(provider)
        accounts = self._fixed
        if self._of_slot is not None or of_provider is not None:
            accounts = (*accounts, *(each for each in (self._of_slot, of_provider) if each is not None))
        if not accounts or cost.source == "local":
            return None
        opening = self._accounts.store.opened()
        if opening is not None:
            return opening.addCallback(lambda _: self.reserve(sending, provider, model, cost))
        if self._entries:
            self._let_go()
        amount = cost.amount
        if amount is None:
            raise _no_price(provider, model, accounts[0])
        now = self._accounts.now()
        parts = []
        for account in accounts:
            worth = converted(amount, cost.currency, account.currency, self._accounts.rates)
            if worth is None:
                raise _no_rate(provider, model, cost.currency, account)
            number = billionths(worth)
            row = account.row(now)
            try:
                account.check(row, number, now)
            except InsufficientQuota as refusal:
                self.refusal = self.refusal or refusal
                raise
            parts.append((account, row, number))
        if amount:
            self._accounts.store.check_writable()
        for _, row, number in parts:
            row.hold(number)
        self._entries.append(_Entry(sending, parts))
        return self._accounts.store.written() if amount else None

    def release(self, sending: Spending) -> None:
        """Give back what *sending* has reserved: it was not sent."""
        for entry in self._entries:
            if entry.sending is sending:
                entry.release()
                self._entries.remove(entry)
                self._accounts.store.changed()
                return

    def settle(self, cost_of: Callable[[Spending], Cost]) -> None:
        """The request is over: count what it has cost, and give back the rest.

        :param cost_of: what a sending has cost that a provider has accepted. Where that is not known, it is taken to
            have cost all that it may.
        """
        entries, self._entries = self._entries, []
        for entry in entries:
            entry.release()
            if entry.sending.sent_at is None or not entry.sending.accepted:
                continue
            try:
                cost = cost_of(entry.sending)
            except Exception:
                _log.failure("What a request has cost could not be reckoned: it counts as all that it had reserved")
                cost = UNKNOWN
            for account, row, reserved in entry.parts:
                account.spent(row, self._number(cost, account, reserved))
        if entries:
            self._accounts.store.changed()

    def _number(self, cost: Cost, account: Account, reserved: int) -> int:
        worth = None
        if cost.amount is not None:
            worth = converted(cost.amount, cost.currency, account.currency, self._accounts.rates)
        return reserved if worth is None else billionths(worth)

    def _let_go(self) -> None:
        """Give back what was reserved by sendings that came to nothing, before there is another."""
        for entry in [each for each in self._entries if each.sending.ended_at is not None]:
            if not entry.sending.accepted:
                entry.release()
                self._entries.remove(entry)


def _no_price(provider: str, model: str, account: Account) -> NoPrice:
    return NoPrice(
        f"{account.owner} cannot be kept to, for no price of {provider}:{model[:100]} is known: give it one under "
        f"`prices:`, or ask for another model.",
        param="model",
    )


def _no_rate(provider: str, model: str, currency: str, account: Account) -> NoPrice:
    wanted = account.currency
    return NoPrice(
        f"{account.owner} is in {wanted}, and the price of {provider}:{model[:100]} in {currency}: say what one is "
        f"worth, `rates: {{{currency}/{wanted}: …}}`.",
        param="model",
    )
