"""What ``skyproxy check`` says of budgets: models that they cannot be kept to with, and slots that do not help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from skyproxy.access.budgets.money import converted
from skyproxy.config import Config
from skyproxy.config.budgets import BudgetSettings
from skyproxy.pipeline.router import Candidate, Router
from skyproxy.telemetry.usage import Tokens


class Unpriced(NamedTuple):
    """A slot that a budget keeps from being served as it is meant.

    :ivar none: whether no candidate of it can be asked, by anybody.
    """

    slot: str
    text: str
    none: bool


def unpriced(config: Config) -> Iterator[Unpriced]:
    """The slots with candidates whose price is not known, though a budget counts what they cost."""
    router = Router(config)
    clients = [(f"the budget of client {each.name}", each.budget) for each in config.clients.values() if each.budget]
    for slot in config.model_slots.values():
        candidates = router.configured(slot.name)
        of_all = [("the purse", config.proxy.purse), (f"the budget of slot {slot.name}", slot.budget)]
        wrong = []
        for each in candidates:
            of_provider = (f"the budget of provider {each.provider.name}", each.provider.budget)
            for owner, budget in (*of_all, of_provider, *clients):
                why = None if budget is None else _why_not(config, each, budget)
                if why is not None:
                    wrong.append((each, owner, why, (owner, budget) in clients))
                    break
        for each, owner, why, only_a_client in wrong:
            yield Unpriced(
                slot.name,
                f"slot {slot.name}: {each.provider.name}:{each.model} {why}, so that {owner} cannot be kept to: "
                "requests that count to it are answered by 400 (no_price)",
                none=len(wrong) == len(candidates) and not only_a_client,
            )


def costly_step_downs(config: Config) -> Iterator[str]:
    """The slots that serve where a budget is spent, though they cost something themselves."""
    router = Router(config)
    purse = config.proxy.purse
    given = [("proxy.purse", None if purse is None else purse.on_budget)]
    given += [(f"clients.{each.name}", each.on_budget) for each in config.clients.values()]
    for where, step in given:
        if step is None or step.slot not in config.model_slots:
            continue
        first = router.configured(step.slot)[0]
        cost = first.prices.cost(first.provider.name, first.model, Tokens(1000, 1000)).amount
        if cost or (cost is None and first.provider.dialect != "local"):
            yield (
                f"{where}: on_budget leads to slot {step.slot}, whose {first.provider.name}:{first.model} is not free: "
                "when the budget is spent, requests are refused there, too"
            )


def _why_not(config: Config, candidate: Candidate, budget: BudgetSettings) -> str | None:
    """Why what *candidate* costs cannot be counted to *budget*; None: it can."""
    cost = candidate.prices.cost(candidate.provider.name, candidate.model, Tokens(1000, 1000))
    if cost.source == "local" or (cost.amount is None and candidate.provider.dialect == "local"):
        return None
    if cost.amount is None:
        return "has no price (write it under prices:)"
    if converted(cost.amount, cost.currency, budget.currency, config.rates) is None:
        return f"has its price in {cost.currency} (write rates: {{{cost.currency}/{budget.currency}: …}})"
    return None
