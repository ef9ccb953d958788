"""What became of all requests together: the one place that the figures come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skyproxy.clock import Clock
from skyproxy.telemetry.records import GivenUp, RequestRecord
from skyproxy.telemetry.tallies import ProviderTimes, SlotTimes, Tally, Times, Usage

NO_SLOT = "direct"
"""Stands for the slot of requests that named a provider and its model."""

NO_PROVIDER = "none"
"""Stands for provider and slot of requests that came to neither: they were refused, or named what nobody knows."""

OTHER_MODELS = "other"
"""Stands for models that only clients name: there may be any number of them."""

MOST_CLIENTS = 1000
"""Clients that are counted apart, over all that have come and gone while the process runs."""

OTHER_CLIENTS = "other"
"""Stands for all clients after these. No metric has more labels."""

CACHE_RESULTS = ("hit", "miss", "coalesced")


class _Line:
    """Where the requests of one slot at one provider and model are counted.

    :ivar times: from the requests, which may have waited, or been answered by a fallback, or from the cache.
    :ivar attempts: from the sending that was answered, of the answers that the provider was asked for. An answer that
        was kept, or asked for by another, tells nothing of how fast the provider is.
    """

    __slots__ = ("attempts", "tally", "times")

    def __init__(self) -> None:
        self.tally = Tally()
        self.attempts = ProviderTimes()
        self.times = SlotTimes()


class Statistics:
    """Counts requests that are over, by provider and slot. Reading adds up what was counted.

    :param clock: for the window of the percentiles.
    :ivar now: gives the time, on that clock.
    :ivar since: when it began to count.
    :ivar keys: usage, by provider and the variable of its key.
    :ivar cache: requests that the cache was asked for, by what it said.
    :ivar clients: requests by the client whose key they came with. Those of very many clients count as one.
    """

    def __init__(self, clock: Clock) -> None:
        self.now = clock.seconds
        self.since = clock.seconds()
        self._lines: dict[tuple[str | None, str | None, str | None], _Line] = {}
        """By provider, slot and model. Without a slot it is the client that names the model, which is not kept then."""
        self.keys: dict[tuple[str, str], Usage] = {}
        self.cache: dict[str, int] = dict.fromkeys(CACHE_RESULTS, 0)
        self.clients: dict[str, Tally] = {}

    def completed(self, record: RequestRecord) -> None:
        """Count *record*."""
        provider, slot, outcome = record.provider, record.slot, record.outcome
        line = self._line(provider, slot, record.upstream_model)
        tally = line.tally
        tally.outcomes[outcome] += 1
        tokens = record.tokens
        if tokens is not None:
            tally.usage.add(tokens, record.cost, record.currency)
            if record.key is not None and provider is not None:
                self._key(provider, record.key).add(tokens, record.cost, record.currency)
        if record.client is not None:
            self._count_client(record, record.client)
        if outcome == "ok":
            self._add_times(line, record)
        for attempt in record.given_up:
            self._count_given_up(attempt, slot)

    def _add_times(self, line: _Line, record: RequestRecord) -> None:
        """Count how long the answer took, which was good."""
        now, latency, own = self.now(), record.latency, record.own_latency
        first = own_first = sentence = own_sentence = None
        if record.stream:
            first, own_first, sentence = record.time_to_first_byte, record.own_time_to_first_byte, record.first_sentence
        line.times.add(latency, first, now, sentence)
        if record.attempts and own is not None:
            if sentence is not None and first is not None and own_first is not None:
                # Both began when the attempt was sent.
                own_sentence = sentence - first + own_first
            tokens = record.tokens
            # Thoughts that do not come in the stream are over before it begins.
            came = 0 if tokens is None else tokens.completion - (0 if record.thought else tokens.reasoning)
            line.attempts.add(own, own_first, now, own_sentence, came)
            line.attempts.queue.add(record.queue)

    def _count_client(self, record: RequestRecord, name: str) -> None:
        tally = self.clients.get(name)
        if tally is None:
            name = name if len(self.clients) < MOST_CLIENTS else OTHER_CLIENTS
            tally = self.clients.setdefault(name, Tally())
        tally.outcomes[record.outcome] += 1
        if record.tokens is not None:
            tally.usage.add(record.tokens, record.cost, record.currency)
        for attempt in record.given_up:
            if attempt.tokens is not None:
                tally.usage.add(attempt.tokens, attempt.cost, attempt.currency)

    def _count_given_up(self, attempt: GivenUp, slot: str | None) -> None:
        """Count an attempt where it belongs, not where its request does."""
        tally = self._line(attempt.provider, slot, attempt.upstream_model).tally
        tally.given_up += 1
        tally.given_up_seconds += attempt.seconds
        if attempt.tokens is not None:
            tally.usage.add(attempt.tokens, attempt.cost, attempt.currency)
            if attempt.hedged and attempt.cost is not None:
                tally.hedge_cost[attempt.currency] = tally.hedge_cost.get(attempt.currency, 0.0) + attempt.cost
            if attempt.key is not None:
                self._key(attempt.provider, attempt.key).add(attempt.tokens, attempt.cost, attempt.currency)

    def _line(self, provider: str | None, slot: str | None, model: str | None) -> _Line:
        names = provider, slot, None if slot is None else model
        try:
            return self._lines[names]
        except KeyError:
            line = self._lines[names] = _Line()
            return line

    @property
    def providers(self) -> Mapping[str, ProviderTimes]:
        """Times of the answers that providers were asked for, by provider."""
        parts: dict[str, list[ProviderTimes]] = {}
        for (provider, _, _), line in self._lines.items():
            # What came to no provider took no time that tells anything.
            if provider is not None:
                parts.setdefault(provider, []).append(line.attempts)
        return {name: ProviderTimes(of_lines) for name, of_lines in parts.items()}

    def deployments(self, provider: str) -> Mapping[str, tuple[Tally, Times]]:
        """By model, those of one provider: of requests for a slot."""
        parts: dict[str, list[_Line]] = {}
        for (name, _, model), line in self._lines.items():
            if name == provider and model is not None:
                parts.setdefault(model, []).append(line)
        return {
            model: (_sum([line.tally for line in lines]), Times([line.attempts for line in lines]))
            for model, lines in parts.items()
        }

    @property
    def slots(self) -> Mapping[str, SlotTimes]:
        """Times by slot."""
        parts: dict[str, list[SlotTimes]] = {}
        for (provider, slot, _), line in self._lines.items():
            parts.setdefault(_names(provider, slot)[1], []).append(line.times)
        return {name: SlotTimes(of_lines) for name, of_lines in parts.items()}

    @property
    def times(self) -> Mapping[tuple[str, str], ProviderTimes]:
        """Times of the answers that providers were asked for, by provider and model."""
        parts: dict[tuple[str, str], list[ProviderTimes]] = {}
        for (provider, _, model), line in self._lines.items():
            if provider is not None:
                parts.setdefault((provider, model or OTHER_MODELS), []).append(line.attempts)
        return {names: ProviderTimes(of_lines) for names, of_lines in parts.items()}

    @property
    def counted(self) -> Mapping[tuple[str, str, str], Tally]:
        """Tallies by provider, model and slot, of those that had any request."""
        summed: dict[tuple[str, str, str], Tally] = {}
        for (provider, slot, model), line in self._lines.items():
            name, slot_name = _names(provider, slot)
            shown = NO_PROVIDER if provider is None else model or OTHER_MODELS
            summed.setdefault((name, shown, slot_name), Tally()).include(line.tally)
        return summed

    @property
    def tallies(self) -> Mapping[tuple[str, str], Tally]:
        """Tallies by provider and slot, of those that had any request."""
        summed: dict[tuple[str, str], Tally] = {}
        for (provider, slot, _), line in self._lines.items():
            summed.setdefault(_names(provider, slot), Tally()).include(line.tally)
        return summed

    def of_provider(self, name: str) -> Tally:
        """All requests to the provider."""
        return _sum(tally for (provider, _), tally in self.tallies.items() if provider == name)

    def of_slot(self, name: str) -> Tally:
        """All requests for the slot."""
        return _sum(tally for (_, slot), tally in self.tallies.items() if slot == name)

    def _key(self, provider: str, variable: str) -> Usage:
        usage = self.keys.get((provider, variable))
        if usage is None:
            usage = self.keys[provider, variable] = Usage()
        return usage


def _names(provider: str | None, slot: str | None) -> tuple[str, str]:
    if provider is None:
        return NO_PROVIDER, NO_PROVIDER
    return provider, NO_SLOT if slot is None else slot


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.include(tally)
    return total
