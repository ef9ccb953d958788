"""``rates:``, for budgets in another currency than prices; and what the purse leads to, which stands elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from skyproxy.config.budgets import check_step_down
from skyproxy.config.document import Document
from skyproxy.config.problems import Problem
from skyproxy.config.proxy_settings import ProxySettings
from skyproxy.config.sections import section_named

_RATE = re.compile(r"([A-Z]{3})/([A-Z]{3})")


def read_rates(
    documents: Sequence[Document], proxy: ProxySettings | None, slots: Mapping[str, Any], problems: list[Problem]
) -> dict[tuple[str, str], float]:
    """What one unit of a currency is worth in another, by both of their codes; each rate with its inverse, unless that
    stands there, too. What is wrong with them, or with the slot that *proxy*'s purse leads to, is added to *problems*.
    """
    if proxy is not None and proxy.purse is not None:
        wrong = check_step_down(
            section_named(documents, "proxy", []), ("purse", "on_budget"), proxy.purse.on_budget, slots
        )
        problems.extend([] if wrong is None else [wrong])
    section = section_named(documents, "rates", problems)
    rates: dict[tuple[str, str], float] = {}
    for name, value in section.values.items():
        codes = _RATE.fullmatch(name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if codes is None or codes[1] == codes[2]:
            problems.append(section.problem((name,), "must name two currencies, such as EUR/USD: 1.08"))
        elif not number or not 1e-9 <= value <= 1e9:
            words = f"must be a number above 0, of 1e9 at most: what one {codes[1]} is worth in {codes[2]}"
            problems.append(section.problem((name,), words))
        else:
            rates[codes[1], codes[2]] = float(value)
    return {**{(after, before): 1 / rate for (before, after), rate in rates.items()}, **rates}
