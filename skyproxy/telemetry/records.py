"""What is kept of a request that is over, and what the log tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from time import time
from typing import Any, Literal, NamedTuple

from twisted.logger import LogEvent, Logger, LogLevel

from skyproxy.log.events import PLAIN
from skyproxy.telemetry.prices.prices import PriceSource
from skyproxy.telemetry.usage import Tokens

Outcome = Literal["ok", "client_error", "upstream_error", "failed", "refused", "cancelled"]
"""What became of a request.

- ``ok``: answered, whole.
- ``client_error``: the client asked for what cannot be had; skyproxy says so, or the provider.
- ``upstream_error``: the provider answered, with a status or within a stream, that it failed, or that it takes no
  request by this key, of its account, from this place, or for the model that the configuration names.
- ``failed``: there was no proper answer, or not all of it.
- ``refused``: skyproxy did not try: too much to do, nothing to do it with, about to stop, or a limit or budget of the
  client's was used up.
- ``cancelled``: the client left before it had its answer.
"""


class GivenUp(NamedTuple):
    """One sending of a request that did not bring its answer: followed by another, or overtaken by it.

    :ivar upstream_model: as the provider was asked for it.
    :ivar seconds: from the sending until nobody waited for it any more.
    :ivar key: as below.
    :ivar tokens: that it may have taken, estimated; None if the provider refused it, or did not get it.
    :ivar cost: of these, in *currency*; None if no price is known.
    :ivar price_source: where that price comes from.
    :ivar hedged: its request was sent to two candidates at once, and it is what that took besides.
    """

    provider: str
    upstream_model: str
    seconds: float
    key: str | None = None
    tokens: Tokens | None = None
    cost: float | None = None
    currency: str = "USD"
    price_source: PriceSource | None = None
    hedged: bool = False


class RequestRecord(NamedTuple):
    """One request that is over.

    :ivar endpoint: path below the provider's base_url.
    :ivar slot: that *model* named; None: it named none, or no candidate was found.
    :ivar model: as the client wrote it; empty if it wrote none.
    :ivar upstream_model: as the provider was asked for it.
    :ivar status: of the provider's answer; of skyproxy's own if the provider gave none; None: neither did.
    :ivar latency: seconds from the request's arrival to the end of its answer.
    :ivar time_to_first_byte: seconds from the request's arrival to the first byte of its answer.
    :ivar queue: seconds that it waited for a permit.
    :ivar bytes_out: bytes of the body that were sent to the client.
    :ivar error_code: of skyproxy's error, if there was one.
    :ivar attempts: how often the provider was asked and answered.
    :ivar key: the variable of the provider's key that was used, if one was.
    :ivar cache: whether the answer was kept, or shared, or asked for to be kept or shared; None: none of it.
    :ivar tokens: that the request and its answer took; None where nothing is known of them, or nothing was taken.
    :ivar cost: of these, in *currency*; None if no price is known.
    :ivar price_source: where that price comes from.
    :ivar own_latency: seconds from the sending that was answered to the end of its answer: without the wait for a
        permit, and without the attempts before it; None: there was no answer.
    :ivar own_time_to_first_byte: from that sending to the first byte of the answer.
    :ivar given_up: the other sendings. What they took is not in the fields above.
    :ivar time_to_first_sentence: seconds from the request's arrival until a stream had brought its first sentence;
        None: that was not seen.
    :ivar client: whose key it came with; None: nobody is asked for one.
    :ivar thought: the answer is a stream that brought what the model thought, and not only what it said.
    """

    request_id: str
    endpoint: str
    slot: str | None
    provider: str | None
    model: str
    upstream_model: str | None
    status: int | None
    outcome: Outcome
    stream: bool
    latency: float
    time_to_first_byte: float | None
    queue: float
    bytes_out: int
    error_code: str | None
    attempts: int
    key: str | None = None
    tokens: Tokens | None = None
    cache: Literal["hit", "miss", "coalesced"] | None = None
    cost: float | None = None
    currency: str = "USD"
    price_source: PriceSource | None = None
    own_latency: float | None = None
    own_time_to_first_byte: float | None = None
    given_up: tuple[GivenUp, ...] = ()
    time_to_first_sentence: float | None = None
    client: str | None = None
    thought: bool = False

    @property
    def first_sentence(self) -> float | None:
        """Seconds from the request's arrival until the answer's first sentence was there; None: it has none, or that is
        not known.
        """
        sentence, first = self.time_to_first_sentence, self.time_to_first_byte
        if sentence is None and first is not None and self.outcome == "ok":
            # What came as one has its first sentence at once.
            came_as_one = not self.stream or self.latency - first < _JUST_ENDED_SECONDS
            return self.latency if came_as_one else None
        return sentence


_JUST_ENDED_SECONDS = 0.05
"""Seconds from the beginning of a stream to its end in which it came as one."""


class RequestLog:
    """Tells the log of each request.

    :param log: where to.
    """

    def __init__(self, log: Logger | None = None) -> None:
        self._log = log or Logger()
        self._alike: dict[tuple[Outcome, bool, str | None, bool], LogEvent] = {}

    def completed(self, record: RequestRecord, at: float | None = None) -> None:
        """Log *record*, as one event. Fields without a value are left out.

        :param at: when it was over, seconds since the epoch; None: now.
        """
        fields = _fields(record)
        kind = record.outcome, record.attempts == 0, record.cache, record.status == 429
        alike = self._alike.get(kind)
        if alike is None:
            alike = self._alike[kind] = self._of_kind(*kind)
        # As Logger.emit makes it, which takes three calls, as many copies, and a search for the level.
        self._log.observer({**fields, **alike, "log_time": time() if at is None else at, PLAIN: fields})

    def _of_kind(self, outcome: Outcome, unasked: bool, cache: str | None, limited: bool) -> LogEvent:
        """What the events of all requests have in common that ended like this."""
        log = self._log
        level, message = _level_and_message(outcome, unasked, cache, limited)
        return {
            "log_level": level,
            "log_format": message,
            "log_logger": log,
            "log_namespace": log.namespace,
            "log_source": log.source,
        }


def _level_and_message(outcome: Outcome, unasked: bool, cache: str | None, limited: bool) -> tuple[LogLevel, str]:
    """What there is to tell of a request, and how much it matters.

    :param unasked: no provider was asked.
    :param limited: its status tells of a limit, a budget's among them.
    """
    if outcome == "cancelled":
        return LogLevel.info, "Request cancelled"
    if outcome == "refused":
        return LogLevel.info if limited else LogLevel.warn, "Request refused"
    if outcome == "failed":
        return LogLevel.warn, "Upstream request failed"
    if unasked:
        if outcome == "client_error":
            return LogLevel.info, "Request rejected"
        if cache == "coalesced":
            return LogLevel.info, "Request answered together with another"
    if cache == "hit":
        return LogLevel.info, "Request answered from the cache"
    return LogLevel.info, "Upstream request completed"


def _fields(record: RequestRecord) -> dict[str, Any]:
    """The fields that have a value, as values that JSON knows. Milliseconds to a tenth: this is several times as fast
    as :func:`round`, which goes by way of text.
    """
    # To ask a named tuple for one after the other takes longer.
    (
        request_id, endpoint, slot, provider, model, upstream_model, status, outcome, stream, latency, first, queue,
        bytes_out, error_code, attempts, key, tokens, cache, cost, currency, price_source, own_latency, _, given_up, _,
        client, _,
    ) = record  # fmt: skip
    fields: dict[str, Any] = {
        "request_id": request_id,
        "endpoint": endpoint,
        "provider": provider,
        "model": model or None,
        "status": status,
        "latency_ms": int(latency * 10_000 + 0.5) / 10,
        "slot": slot,
        "upstream_model": upstream_model,
        "outcome": outcome,
        "stream": stream,
        "ttfb_ms": None if first is None else int(first * 10_000 + 0.5) / 10,
        "queue_ms": int(queue * 10_000 + 0.5) / 10,
        "bytes_out": bytes_out,
        "attempts": attempts,
    }
    if provider is None or not model or status is None or slot is None or upstream_model is None or first is None:
        fields = {name: value for name, value in fields.items() if value is not None}
    if attempts > 1 and own_latency is not None:
        fields["own_latency_ms"] = int(own_latency * 10_000 + 0.5) / 10
    if given_up:
        taken = sum([each.tokens.prompt + each.tokens.completion for each in given_up if each.tokens is not None])
        fields["given_up"] = len(given_up)
        fields["given_up_ms"] = int(sum([each.seconds for each in given_up]) * 10_000 + 0.5) / 10
        if taken:
            fields["given_up_tokens"] = taken
        if costs := _costs_of(given_up):
            fields["given_up_cost"] = costs
    if error_code is not None:
        fields["error_code"] = error_code
    if key is not None:
        fields["key"] = key
    if client is not None:
        fields["client"] = client
    if cache is not None:
        fields["cache"] = cache
    if tokens is not None:
        (
            fields["tokens_prompt"],
            fields["tokens_completion"],
            fields["tokens_cached"],
            fields["tokens_reasoning"],
            fields["tokens_estimated"],
        ) = tokens
    if cost is not None and price_source != "local":
        # What a server on this machine does costs nothing, which need not be said of each request.
        fields["cost"] = round(cost, 9)
        fields["currency"] = currency
        fields["price_source"] = price_source
    return fields


def _costs_of(given_up: Sequence[GivenUp]) -> dict[str, float]:
    """What they cost, by currency."""
    costs: dict[str, float] = {}
    for each in given_up:
        if each.cost:
            costs[each.currency] = costs.get(each.currency, 0.0) + each.cost
    return {currency: round(cost, 9) for currency, cost in costs.items()}
