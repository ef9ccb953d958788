"""What tokens cost."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator, Field

from skyproxy.config import rules
from skyproxy.config.fields import Checked
from skyproxy.config.problems import Problem
from skyproxy.config.sections import Section

Amount = Annotated[float, Field(ge=0, le=1e9)]


_OF_TOKENS = "for a million tokens"
_MEANT = {
    **dict.fromkeys(("input", "in", "input_cost_per_token"), f"unknown key: write prompt, {_OF_TOKENS}"),
    **dict.fromkeys(("output", "out", "output_cost_per_token"), f"unknown key: write completion, {_OF_TOKENS}"),
}


class Price(Checked):
    """The price of a model, for a million tokens of each kind.

    :ivar prompt: of tokens that were read.
    :ivar completion: of tokens that were generated.
    :ivar cached: of read tokens that the provider had in its cache. Without it they cost as the others do.
    :ivar currency: its code in ISO 4217.
    :ivar max_output: the most tokens that the model generates for an answer. Where a request sets no limit, budgets
        reserve so many, or 4,096 if that is less.
    """

    prompt: Amount
    completion: Amount
    cached: Amount | None = None
    currency: Annotated[str, AfterValidator(rules.currency)] = "USD"
    max_output: Annotated[int, Field(ge=1)] | None = None


def price_of(prices: Mapping[str, Price], provider: str, model: str) -> Price | None:
    """The price of *provider*'s *model*; None if there is none.

    What is named ``provider:model`` goes first; then the first in order that, as a pattern (``*``, ``?``, ``[…]``),
    matches ``provider:model`` or the model alone.
    """
    name = f"{provider}:{model}"
    exact = prices.get(name)
    if exact is not None:
        return exact
    return next(
        (price for key, price in prices.items() if fnmatchcase(name, key) or fnmatchcase(model, key)),
        None,
    )


def read_prices(section: Section, problems: list[Problem]) -> dict[str, Price]:
    """The prices of *section*; what is wrong with it is added to *problems*."""
    keys, prices = tuple(Price.model_fields), {}
    for name in section.values:
        entry = section.part(name, problems)
        if entry is None:
            continue
        entry.refuse_unknown(keys, problems, _MEANT)
        price = entry.check(Price, keys, problems)
        if price is not None:
            prices[name] = price
    return prices
