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
from skyproxy.access.budgets.turns import NextTurn
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

    def catch_up(self) -> None:
        """Have all requests settled that are over."""

    def of_slot(self, slot: str) -> Account | None:
        """The budget of *slot*."""

    def of_provider(self, provider: str) -> Account | None:
        """The budget of *provider*."""


_Part = tuple[Account, Row, int]
"""An account, its sums and an amount, in billionths of its currency."""


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
        self._of_slot = None if slot is None else accounts.of_slot(slot)
        self._entries: list[tuple[Spending, list[_Part]]] = []
        """What each sending has reserved."""
        self.refusal: InsufficientQuota | None = None

    def step_down_to(self, slot: str) -> None:
        """Count what comes to *slot*."""
        self._of_slot = self._accounts.of_slot(slot)

    def reserve(self, sending: Spending, provider: str, model: str, cost: Cost) -> Deferred[None] | None:
        """Reserve what *sending* may cost, before it is sent.

        :param cost: the most that it may.
        :return: fires when that is written down; None if nobody need wait for it.
        :raise InsufficientQuota: a budget has not so much left.
        :raise NoPrice: nobody knows what it may cost.
        :raise BudgetsUnwritable: it cannot be written down.
        """
        budgets, accounts, amount = self._accounts, self._fixed, cost.amount
        of_provider = budgets.of_provider(provider)
        if self._of_slot is not None or of_provider is not None:
            accounts = (*accounts, *(each for each in (self._of_slot, of_provider) if each is not None))
        if not accounts or cost.source == "local":
            return None
        store = budgets.store
        if amount != 0 and not store.is_open:
            opening = store.opened()
            if opening is not None:
                return opening.addCallback(lambda _: self.reserve(sending, provider, model, cost))
        if self._entries:
            self._let_go()
        if amount is None:
            raise _no_price(provider, model, accounts[0])
        # Evenings are each machine's own: what others have spent is nothing to them.
        is_shared = any(each.settings.per != "evening" for each in accounts)
        if amount and (store.refuses if is_shared else store.trouble.refuses):
            if store.turns.is_first:
                return store.turns.wait().addCallback(lambda _: self.reserve(sending, provider, model, cost))
            raise store.trouble.refusal(store.turns.unheard)
        try:
            is_covered = self._take(sending, accounts, provider, model, cost, amount)
        except NextTurn:
            return store.turns.wait().addCallback(lambda _: self.reserve(sending, provider, model, cost))
        if is_covered:
            store.changed()
            return None
        return store.written()

    def _take(
        self, sending: Spending, accounts: tuple[Account, ...], provider: str, model: str, cost: Cost, amount: float
    ) -> bool:
        """Reserve *amount*, the most that *cost* may be, of each of *accounts*, or of none of them.

        :return: whether all of it is written down already.
        """
        now, currency, is_covered = self._accounts.now(), cost.currency, True
        parts: list[_Part] = []
        for account in accounts:
            if account.currency == currency:
                number = billionths(amount)
            else:
                number = self._number_in(account, provider, model, cost, amount)
            row = account.row(now)
            if number and row.others + row.spent + row.held + number > account.limit:
                # Requests that are over may be to be settled yet.
                self._accounts.catch_up()
                if row.others + row.spent + row.held + number > account.limit:
                    raise self._refused(account.refusal(row, number, now))
            parts.append((account, row, number))
        if self._accounts.store.turns.parts > 1:
            for account, row, number in parts:
                self._accounts.store.turns.take(row, number, account.limit - row.known - row.held)
        for _, row, number in parts:
            is_covered = row.reserve(number) and is_covered
        self._entries.append((sending, parts))
        return is_covered

    def _refused(self, refusal: InsufficientQuota) -> InsufficientQuota:
        self.refusal = self.refusal or refusal
        return refusal

    def _number_in(self, account: Account, provider: str, model: str, cost: Cost, amount: float) -> int:
        worth = converted(amount, cost.currency, account.currency, self._accounts.rates)
        if worth is None:
            raise _no_rate(provider, model, cost.currency, account)
        return billionths(worth)

    def release(self, sending: Spending) -> None:
        """Give back what *sending* has reserved: it was not sent."""
        for entry in self._entries:
            if entry[0] is sending:
                _release(entry[1])
                self._entries.remove(entry)
                self._accounts.store.changed()
                return

    def settle(self, cost_of: Callable[[Spending], Cost]) -> None:
        """The request is over: count what it has cost, and give back the rest.

        :param cost_of: what a sending has cost that a provider has accepted. Where that is not known, it is taken to
            have cost all that it may.
        """
        entries, self._entries = self._entries, []
        for sending, parts in entries:
            if sending.sent_at is None or not sending.accepted:
                _release(parts)
                continue
            try:
                cost = cost_of(sending)
            except Exception:
                _log.failure("What a request has cost could not be reckoned: it counts as all that it had reserved")
                cost = UNKNOWN
            for account, row, reserved in parts:
                account.settle(row, reserved, self._number(cost, account, reserved))
        if entries:
            self._accounts.store.changed()

    def _number(self, cost: Cost, account: Account, reserved: int) -> int:
        worth = cost.amount
        if worth is not None and cost.currency != account.currency:
            worth = converted(worth, cost.currency, account.currency, self._accounts.rates)
        return reserved if worth is None else billionths(worth)

    def _let_go(self) -> None:
        """Give back what was reserved by sendings that came to nothing, before there is another."""
        for entry in [each for each in self._entries if each[0].ended_at is not None]:
            if not entry[0].accepted:
                _release(entry[1])
                self._entries.remove(entry)


def _release(parts: list[_Part]) -> None:
    for _, row, amount in parts:
        row.release(amount)


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
