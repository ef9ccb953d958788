"""The table of prices that comes with skyproxy: ``models.txt``, which ``python -m tests.price_table`` makes.

Its lines are a provider (``@name pattern-of-its-URL fallback…``) and then its models: ``prices names``, both without
spaces. Prices are US dollars for a million tokens: ``prompt/completion`` or ``prompt/completion/cached``, and after
``;`` other ones for some requests: ``>200000=`` from that many prompt tokens on, ``01:00-04:00=`` at these hours (UTC),
``2027-01-01=`` from that day on; ``@200000`` is how many tokens the model reads at once. Names are parted by ``|``: a
whole name, ``=beginning*``, ``=*end``, ``=*part*``, or a regular expression that begins with ``^``; the parts of one
that are parted by ``&`` must all match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from functools import cached_property
from importlib.resources import files
from typing import NamedTuple

_DATED = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


class Rate(NamedTuple):
    """What tokens cost, for a million of each kind, in US dollars."""

    prompt: float
    completion: float
    cached: float


class ModelPrice(NamedTuple):
    """The price of a model.

    :ivar above: other prices for requests with more prompt tokens, by their number, the least first.
    :ivar hours: other prices at some hours, each by its first and its last minute of the day.
    :ivar days: other prices from some days on, by the number of the day, the first one first.
    :ivar window: tokens that the model reads at once; None if that is not known.
    """

    usual: Rate
    above: tuple[tuple[int, Rate], ...] = ()
    hours: tuple[tuple[int, int, Rate], ...] = ()
    days: tuple[tuple[int, Rate], ...] = ()
    window: int | None = None

    @property
    def is_simple(self) -> bool:
        """Whether it is the same for all requests."""
        return not (self.above or self.hours or self.days)

    def rate(self, prompt: int, at: float) -> Rate:
        """What a request costs.

        :param prompt: its prompt's tokens.
        :param at: when it was answered, seconds since the epoch.
        """
        rate = self.usual
        for day, other in self.days:
            if at >= day * 86_400:
                rate = other
        minute = at // 60 % 1440
        for first, last, other in self.hours:
            if first <= minute < last if first < last else (minute >= first or minute < last):
                rate = other
        for start, other in self.above:
            if prompt > start:
                rate = other
        return rate


class _Provider(NamedTuple):
    """A provider of the table, whose lines are read when one of its models is looked up."""

    name: str
    url: str
    others: tuple[str, ...]
    lines: str


class PriceTable:
    """The table, which is read when it is first needed.

    :param text: of the table; None: the one that comes with skyproxy.
    """

    def __init__(self, text: str | None = None) -> None:
        self._given = text
        self._read: dict[str, _Models] = {}

    @cached_property
    def _text(self) -> str:
        if self._given is not None:
            return self._given
        return files("skyproxy.telemetry.prices").joinpath("models.txt").read_text("utf-8")

    @cached_property
    def date(self) -> str:
        """When it was made, as ``2026-11-29``."""
        found = re.search(r"\d{4}-\d\d-\d\d", self._text.partition("\n")[0])
        return found[0] if found else ""

    @cached_property
    def _providers(self) -> Mapping[str, _Provider]:
        found = {}
        for section in self._text.split("\n@")[1:]:
            head, _, lines = section.partition("\n")
            name, url, *others = head.split(" ")
            found[name] = _Provider(name, url, tuple(others), lines)
        return found

    def find(self, base_url: str, model: str) -> ModelPrice | None:
        """The price of *model* at the provider whose API is at *base_url*; None if the table has none."""
        provider = next((each for each in self._providers.values() if re.match(each.url, base_url)), None)
        if provider is None:
            return None
        name = model.lower()
        for form in dict.fromkeys((name, _DATED.sub(r"-\1-\2-\3", name))):
            for each in (provider.name, *provider.others):
                found = self._models(each).find(form)
                if found is not None:
                    return found
        return None

    def models(self) -> Iterator[tuple[str, str, ModelPrice]]:
        """All models that are there by their whole names: provider, name, price."""
        for provider in self._providers:
            for name, text in self._models(provider).whole.items():
                yield provider, name, _price(text)

    def _models(self, provider: str) -> _Models:
        models = self._read.get(provider)
        if models is None:
            models = self._read[provider] = _Models(self._providers[provider].lines.splitlines())
        return models


class _Models:
    """The models of one provider: what comes first in the table goes first."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.whole: dict[str, str] = {}
        self._patterns: list[tuple[int, str, str]] = []
        self._places: dict[str, int] = {}
        for place, line in enumerate(lines):
            price, _, names = line.partition(" ")
            for name in names.split("|"):
                if name.startswith(("=", "^")):
                    self._patterns.append((place, name, price))
                elif name and name not in self.whole:
                    self.whole[name], self._places[name] = price, place

    def find(self, name: str) -> ModelPrice | None:
        """The price of the model of this *name*, in lower case."""
        text, place = self.whole.get(name), self._places.get(name)
        for other, pattern, price in self._patterns:
            if place is not None and other >= place:
                break
            if all(_matches(part, name) for part in pattern.split("&")):
                text = price
                break
        return None if text is None else _price(text)


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("^"):
        return re.search(pattern, name) is not None
    part = pattern[1:]
    if part.startswith("*"):
        return part[1:-1] in name if part.endswith("*") else name.endswith(part[1:])
    return name.startswith(part[:-1])


def _price(text: str) -> ModelPrice:
    usual, *others = text.split(";")
    above, hours, days, window = [], [], [], None
    for each in others:
        when, _, rate = each.partition("=")
        if when.startswith("@"):
            window = int(when[1:])
        elif when.startswith(">"):
            above.append((int(when[1:]), _rate(rate)))
        elif ":" in when:
            first, _, last = when.partition("-")
            hours.append((_minute(first), _minute(last), _rate(rate)))
        else:
            day = datetime.fromisoformat(when).replace(tzinfo=timezone.utc)
            days.append((int(day.timestamp()) // 86_400, _rate(rate)))
    return ModelPrice(_rate(usual), tuple(above), tuple(hours), tuple(days), window)


def _rate(text: str) -> Rate:
    prompt, completion, *cached = map(float, text.split("/"))
    return Rate(prompt, completion, *(cached or [prompt]))


def _minute(text: str) -> int:
    hour, _, minute = text.partition(":")
    return int(hour) * 60 + int(minute)
