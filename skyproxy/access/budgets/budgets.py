"""All budgets of a process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from skyproxy.access.budgets.account import Account, Owner
from skyproxy.access.budgets.charge import Charge
from skyproxy.access.budgets.money import Rates
from skyproxy.access.budgets.store import BudgetStore
from skyproxy.access.identity import ClientIdentity
from skyproxy.cache.wall_clock import seconds_since_boot
from skyproxy.config import Config
from skyproxy.config.budgets import BudgetSettings, StepDown

_MOST_CLIENTS = 10_000
"""Clients whose budgets are remembered: identity providers may name any number."""


class Budgets:
    """Knows who has a budget. See :class:`~skyproxy.access.budgets.charge.Accounts`, which it implements.

    :param wall: the time of day, seconds since the epoch.
    :param clock: seconds on a clock that nobody sets.
    :param catch_up: has all requests settled that are over.
    :ivar are_set: whether the configuration has any, beside those of clients.
    """

    def __init__(
        self,
        store: BudgetStore,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = seconds_since_boot,
        catch_up: Callable[[], None] = lambda: None,
    ) -> None:
        self.store = store
        self.now = wall
        self._clock = clock
        self.catch_up = catch_up
        self.rates: Rates = {}
        self.are_set = False
        self._process: Account | None = None
        self._slots: dict[str, Account] = {}
        self._providers: dict[str, Account] = {}
        self._clients: dict[str, Account] = {}
        self._earlier: dict[str, Account] = {}
        """Those of clients that an earlier configuration had: what they have counted goes on."""
        self._has_evening = False
        self.of_slot = self._slots.get
        self.of_provider = self._providers.get

    def use(self, config: Config) -> None:
        """Keep to the budgets of *config* from now on. Requests under way are settled as they reserved."""
        self.rates = config.rates
        self.store.trouble.fails_open = config.access.fail == "open"
        purse = config.proxy.purse
        instead = None if purse is None or purse.on_budget is None else purse.on_budget.slot
        self._process = None if purse is None else self._account(self._process, Owner("process"), purse, instead)
        slots = {name: each.budget for name, each in config.model_slots.items()}
        self._follow(self._slots, "slot", slots)
        self._follow(self._providers, "provider", {name: each.budget for name, each in config.providers.items()})
        self.are_set = bool(self._process or self._slots or self._providers)
        # Those of clients whom the configuration does not name are known again when they ask.
        kept = {} if len(self._earlier) >= _MOST_CLIENTS else self._earlier
        self._earlier, self._clients = {**kept, **self._clients}, {}
        for name, settings in config.clients.items():
            if settings.budget is not None:
                self._of_client(name, settings.budget, settings.on_budget)
        self._has_evening = any(each.settings.per == "evening" for each in self._all())
        if self.are_set or self._clients:
            self.store.open()

    def charge(self, client: ClientIdentity | None, slot: str | None) -> Charge | None:
        """What keeps to the budgets that a request counts to; None if there is none.

        :param slot: that it is for.
        """
        own = None
        if client is not None and client.budget is not None:
            own = self._of_client(client.name, client.budget, client.on_budget)
        if own is None and not self.are_set:
            return None
        if self._has_evening:
            evening = self.store.evening
            evening.arrived(self.now(), self._clock())
            if evening.is_unwritten:
                self.store.changed()
        fixed = tuple([each for each in (own, self._process) if each is not None])
        return Charge(self, fixed, slot)

    def accounts(self) -> Iterator[Account]:
        """Those of the configuration, and those of clients that have asked."""
        return self._all()

    def know(self, client: ClientIdentity) -> None:
        """Have the budget of *client* among those that are told, though it has not asked."""
        if client.budget is not None:
            self._of_client(client.name, client.budget, client.on_budget)

    def _all(self) -> Iterator[Account]:
        if self._process is not None:
            yield self._process
        yield from self._clients.values()
        yield from self._slots.values()
        yield from self._providers.values()

    def _of_client(self, name: str, budget: BudgetSettings, on_budget: StepDown | None) -> Account:
        instead = None if on_budget is None else on_budget.slot
        known = self._clients.get(name)
        if known is not None and known.settings is budget and known.instead == instead:
            return known
        if budget.per == "evening":
            self._has_evening = True
        if len(self._clients) >= _MOST_CLIENTS:
            self._clients = {}  # they are known again when they ask
        known = self._earlier.pop(name, None) if known is None else known
        account = self._clients[name] = self._account(known, Owner("client", name), budget, instead)
        return account

    def _follow(self, known: dict[str, Account], kind: str, budgets: dict[str, BudgetSettings | None]) -> None:
        before = dict(known)
        known.clear()
        for name, budget in budgets.items():
            if budget is not None:
                owner = Owner("slot" if kind == "slot" else "provider", name)
                known[name] = self._account(before.get(name), owner, budget, None)

    def _account(self, known: Account | None, owner: Owner, settings: BudgetSettings, instead: str | None) -> Account:
        if known is None:
            return Account(owner, settings, instead, lambda: self.store.evening, self.store.row)
        known.follow(settings, instead)
        return known
