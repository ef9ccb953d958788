"""What is added up of requests: tokens and their cost, times, and how they ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from skyproxy.telemetry.distribution import Histogram, SlidingDistribution
from skyproxy.telemetry.records import Outcome
from skyproxy.telemetry.usage import Tokens

WINDOW_SECONDS = 300.0
"""Seconds that percentiles look back."""

# The first word of a good stream is there in some tenths of a second; a long answer takes a minute or two.
_BOUNDS = (
    0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0,
)  # fmt: skip

# A fast server makes a thousand tokens a second, a busy one at home three.
_GAP_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0)

# Most requests do not wait.
_QUEUE_BOUNDS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Usage:
    """Tokens and what they cost, added up.

    :ivar prompt: all that were read, ``cached`` ones among them.
    :ivar completion: all that were generated, ``reasoning`` ones among them.
    :ivar estimated: those of ``prompt`` and ``completion`` that no provider has confirmed.
    :ivar cost: by currency.
    """

    __slots__ = ("cached", "completion", "cost", "estimated", "prompt", "reasoning")

    def __init__(self) -> None:
        self.prompt = self.completion = self.cached = self.reasoning = self.estimated = 0
        self.cost: dict[str, float] = {}

    def add(self, tokens: Tokens, cost: float | None, currency: str) -> None:
        """Add *tokens*, and what they cost if that is known."""
        prompt, completion, cached, reasoning, estimated = tokens
        self.prompt += prompt
        self.completion += completion
        self.cached += cached
        self.reasoning += reasoning
        if estimated:
            self.estimated += prompt + completion
        if cost is not None:
            self.cost[currency] = self.cost.get(currency, 0.0) + cost

    def include(self, other: Usage) -> None:
        """Add all of *other*."""
        self.prompt += other.prompt
        self.completion += other.completion
        self.cached += other.cached
        self.reasoning += other.reasoning
        self.estimated += other.estimated
        for currency, cost in other.cost.items():
            self.cost[currency] = self.cost.get(currency, 0.0) + cost

    def kinds(self) -> dict[str, int]:
        """Each token under one kind, so that their sum is that of all."""
        return {
            "prompt_uncached": self.prompt - self.cached,
            "prompt_cached": self.cached,
            "completion": self.completion - self.reasoning,
            "reasoning": self.reasoning,
        }

    def tokens(self) -> dict[str, int]:
        """By kind, of which some are parts of others."""
        return {
            "prompt": self.prompt,
            "completion": self.completion,
            "cached": self.cached,
            "reasoning": self.reasoning,
            "estimated": self.estimated,
        }


class Times:
    """The times of the answers that were ``ok``.

    :param parts: others, whose times are here, too.
    :ivar latency: to the end of an answer.
    :ivar first_token: to the beginning of an answer that is a stream.
    """

    __slots__ = ("first_token", "latency")

    def __init__(self, parts: Collection[Times] = ()) -> None:
        self.latency: SlidingDistribution = SlidingDistribution(WINDOW_SECONDS, [part.latency for part in parts])
        self.first_token: SlidingDistribution = SlidingDistribution(
            WINDOW_SECONDS, [part.first_token for part in parts]
        )

    def add(self, latency: float, first: float | None, now: float) -> None:
        """Add those of an answer.

        :param first: to its beginning; None if it is no stream.
        """
        self.latency.add(latency, now)
        if first is not None:
            self.first_token.add(first, now)


class SlotTimes(Times):
    """Those of a slot, with what Prometheus reads of them: each from its request's arrival.

    :ivar first_tokens: to the beginning of a stream.
    :ivar first_sentences: to the end of its first sentence.
    """

    __slots__ = ("first_sentences", "first_tokens")

    def __init__(self, parts: Collection[SlotTimes] = ()) -> None:
        super().__init__(parts)
        self.first_tokens: Histogram = Histogram(_BOUNDS, [part.first_tokens for part in parts])
        self.first_sentences: Histogram = Histogram(_BOUNDS, [part.first_sentences for part in parts])

    def add(self, latency: float, first: float | None, now: float, sentence: float | None = None) -> None:
        """Add those of an answer.

        :param first: to its beginning; None if it is no stream.
        :param sentence: to the end of its first sentence; None if it has none, or is no stream.
        """
        self.latency.add(latency, now)
        if first is not None:
            self.first_token.add(first, now)
            self.first_tokens.add(first)
        if sentence is not None:
            self.first_sentences.add(sentence)


class ProviderTimes(Times):
    """Those of a provider, with what Prometheus reads of them: each from its own attempt's sending.

    :ivar seconds: to the end of an answer.
    :ivar first_tokens: to the beginning of a stream.
    :ivar first_sentences: to the end of its first sentence.
    :ivar gaps: from one token of a stream to the next, on its average.
    :ivar queue: waits for a permit.
    """

    __slots__ = ("first_sentences", "first_tokens", "gaps", "queue", "seconds")

    def __init__(self, parts: Collection[ProviderTimes] = ()) -> None:
        super().__init__(parts)
        self.seconds: Histogram = Histogram(_BOUNDS, [part.seconds for part in parts])
        self.first_tokens: Histogram = Histogram(_BOUNDS, [part.first_tokens for part in parts])
        self.first_sentences: Histogram = Histogram(_BOUNDS, [part.first_sentences for part in parts])
        self.gaps: Histogram = Histogram(_GAP_BOUNDS, [part.gaps for part in parts])
        self.queue: Histogram = Histogram(_QUEUE_BOUNDS, [part.queue for part in parts])

    def add(
        self, latency: float, first: float | None, now: float, sentence: float | None = None, tokens: int = 0
    ) -> None:
        """Add those of an answer.

        :param first: to its beginning; None if it is no stream.
        :param sentence: to the end of its first sentence; None if it has none, or is no stream.
        :param tokens: that it brought, from *first* on.
        """
        self.latency.add(latency, now)
        self.seconds.add(latency)
        if first is not None:
            self.first_token.add(first, now)
            self.first_tokens.add(first)
            if tokens > 1:
                self.gaps.add((latency - first) / (tokens - 1))
        if sentence is not None:
            self.first_sentences.add(sentence)


class Tally:
    """What became of some requests.

    :ivar outcomes: how many ended in each way.
    :ivar usage: what they took, and what the attempts took that were given up.
    :ivar given_up: attempts that did not bring the answer: followed by another, or overtaken by it.
    :ivar given_up_seconds: that these took.
    :ivar hedge_cost: by currency, of attempts that hedging took besides; part of *usage*.
    """

    __slots__ = ("given_up", "given_up_seconds", "hedge_cost", "outcomes", "usage")

    def __init__(self) -> None:
        self.outcomes: dict[Outcome, int] = defaultdict(int)
        self.given_up = 0
        self.given_up_seconds = 0.0
        self.hedge_cost: dict[str, float] = {}
        self.usage = Usage()

    def include(self, other: Tally) -> None:
        """Add all of *other*."""
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] += count
        self.given_up += other.given_up
        self.given_up_seconds += other.given_up_seconds
        for currency, cost in other.hedge_cost.items():
            self.hedge_cost[currency] = self.hedge_cost.get(currency, 0.0) + cost
        self.usage.include(other.usage)
