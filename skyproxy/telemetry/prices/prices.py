"""What an answer cost, and who says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from skyproxy.config import Price, ProviderConfig, price_of
from skyproxy.config.hosts import is_loopback
from skyproxy.telemetry.prices.table import ModelPrice, PriceTable
from skyproxy.telemetry.usage import Tokens, cost_of

PriceSource = Literal["provider", "configuration", "local", "table"]
"""Where a cost comes from, the strongest first.

- ``provider``: its answer says what it cost.
- ``configuration``: ``prices:``.
- ``local``: the model runs on this machine, and costs nothing.
- ``table``: the prices that come with skyproxy.
"""

_EMBEDDED = "embedded:"

_MOST_KNOWN = 1000
"""Models whose prices are remembered; a client may name any number of them."""


class Cost(NamedTuple):
    """What tokens cost.

    :ivar amount: None: no price is known.
    :ivar source: of it; None: there is none.
    """

    amount: float | None = None
    currency: str = "USD"
    source: PriceSource | None = None


UNKNOWN = Cost()
_NOTHING = Cost(0.0, "USD", "local")


class Prices:
    """Knows what models cost: by the configuration's ``prices:``, and else by the table.

    :param configured: ``prices:``.
    :param providers: by their names.
    :param wall: the time of day, seconds since the epoch.
    """

    def __init__(
        self,
        configured: Mapping[str, Price],
        providers: Mapping[str, ProviderConfig],
        table: PriceTable | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._configured = configured
        self._providers = providers
        self._table = table or PriceTable()
        self._wall = wall
        self._known = lru_cache(_MOST_KNOWN)(self._look_up)

    def cost(self, provider: str, model: str, tokens: Tokens) -> Cost:
        """What *tokens* cost of the provider's *model*."""
        price = self._known(provider, model)
        if type(price) is ModelPrice:
            rate = price.usual if price.is_simple else price.rate(tokens.prompt, self._wall())
            return Cost(cost_of(tokens, rate), "USD", "table")
        if price is None:
            return UNKNOWN
        if price == "local":
            return _NOTHING
        assert type(price) is Price
        return Cost(cost_of(tokens, price), price.currency, "configuration")

    def max_output(self, provider: str, model: str) -> int | None:
        """The most tokens that the model generates for an answer, as ``prices:`` says; None: it does not."""
        price = self._known(provider, model)
        return price.max_output if type(price) is Price else None

    def window(self, provider: str, model: str) -> int | None:
        """The tokens that the model reads at once, as the table tells; None if it does not."""
        settings = self._providers.get(provider)
        price = None if settings is None else self._table.find(settings.base_url, model)
        return None if price is None else price.window

    def _look_up(self, provider: str, model: str) -> Price | ModelPrice | Literal["local"] | None:
        configured = price_of(self._configured, provider, model)
        settings = self._providers.get(provider)
        if configured is not None or settings is None:
            return configured
        address = settings.base_url
        if address.startswith(_EMBEDDED):
            return "local"
        if settings.dialect == "local" and is_loopback(urlsplit(address).hostname or ""):
            return "local"
        return self._table.find(address, model)
