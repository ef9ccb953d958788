"""The last requests that are over, in memory.

To keep one takes a tuple of what is there anyway: words, dicts and differences of times are made when somebody reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Protocol, TypeAlias

from skyproxy.errors import SkyproxyError, UpstreamReported
from skyproxy.telemetry.records import RequestRecord
from skyproxy.telemetry.refusals import MAY_ECHO
from skyproxy.telemetry.requests.facts import MAX_TEXT, Facts, Trace, attempts_of, steps_of

MOST_REQUESTS = 2000
"""How many are kept. With the most steps and the longest texts that one may have, all of them take less than 64 MB."""

_LONGEST_NAME = 200
"""Characters of a model's name, which a client may have made as long as it likes."""

LONGEST_AGENT = 100
"""Bytes of what a client calls itself, likewise."""

Kept: TypeAlias = tuple[RequestRecord, float, float, Trace, tuple[Any, bytes], str]
"""The record, when it was over (seconds since the epoch), when it came (on the clock), its trace, client and error."""


class Who(Protocol):
    """Where a request came from.

    :ivar who: the address, an IAddress, and what the client calls itself.
    """

    @property
    def who(self) -> tuple[Any, bytes]: ...


class Ended(Protocol):
    """A request that is over.

    :ivar started: when it came, on the clock.
    :ivar error: what it ended with, if it failed.
    """

    @property
    def started(self) -> float: ...

    @property
    def error(self) -> SkyproxyError | None: ...

    @property
    def attempts(self) -> Trace: ...

    @property
    def client(self) -> Who: ...


class RequestRing:
    """Keeps the last requests; the oldest go.

    :ivar total: how many have been kept so far: the number of the newest.
    """

    def __init__(self, most: int = MOST_REQUESTS) -> None:
        self._entries: deque[Kept] = deque(maxlen=most)
        self.total = 0

    def add(self, record: RequestRecord, at: float, ended: Ended) -> Any:
        """Keep *ended*.

        :param at: when it was over, seconds since the epoch.
        :return: the address of its client.
        """
        trace, error = ended.attempts, ended.error
        if trace.steps or len(record.model) > _LONGEST_NAME:
            record = _shortened(record, trace)
        text = "" if error is None else trace.masked(text_of(error))[:MAX_TEXT]
        who = ended.client.who
        self._entries.append((record, at, ended.started, trace, who, text))
        self.total += 1
        return who[0]

    def __len__(self) -> int:
        return len(self._entries)

    def _read(self, entry: Kept) -> Kept:
        """What is kept as *entry*."""
        return entry

    def kept(self) -> Iterator[tuple[int, Kept]]:
        """All, each with its number, the newest first."""
        number = self.total
        for kept in reversed(tuple(self._entries)):
            yield number, self._read(kept)
            number -= 1

    def newest_first(self, before: int | None = None) -> Iterator[Facts]:
        """All that are kept.

        :param before: only those with a lower number.
        """
        for number, kept in self.kept():
            if before is None or number < before:
                yield facts_of(number, kept)

    def since(self, number: int, most: int) -> list[Facts]:
        """Those after *number*, the newest *most* of them, the newest first."""
        count = min(self.total - number, len(self._entries), most)
        return [facts_of(self.total - index, self._read(self._entries[-1 - index])) for index in range(count)]

    def find(self, request_id: str, number: int | None = None) -> Facts | None:
        """The newest of this id, which a client may give twice; with *number*, the one of that number."""
        for counted, kept in self.kept():
            if kept[0].request_id == request_id and (number is None or number == counted):
                return facts_of(counted, kept)
        return None


def text_of(error: SkyproxyError) -> str:
    """What *error* says, without what it may repeat of the client's words."""
    if isinstance(error, UpstreamReported) and error.kind in MAY_ECHO:
        return "The provider does not take the request."
    return error.message[: 4 * MAX_TEXT]


def host_of(address: Any) -> str:
    """The host of *address*, an IAddress; empty if it has none."""
    return str(getattr(address, "host", None) or "")


def agent_of(said: bytes) -> str:
    """What a client calls itself."""
    return said[:LONGEST_AGENT].decode("latin-1")


def _shortened(record: RequestRecord, trace: Trace) -> RequestRecord:
    """*record* without what would make it large; so is *trace* then."""
    trace.shorten(_LONGEST_NAME)
    if len(record.model) <= _LONGEST_NAME:
        return record
    model = record.upstream_model
    return record._replace(
        model=record.model[:_LONGEST_NAME], upstream_model=None if model is None else model[:_LONGEST_NAME]
    )


def _has_begun(record: RequestRecord, trace: Trace) -> bool:
    """Whether what the client got first was of an answer, and not an error."""
    answered = trace.answered
    if record.cache in ("hit", "coalesced") or (trace.follows is not None and record.status == HTTPStatus.OK):
        return True
    return answered is not None and (answered.status or 0) < 400


def first_token_of(record: RequestRecord, trace: Trace) -> float | None:
    """Seconds to the first token of a stream; None: it was none, or had none."""
    return record.time_to_first_byte if record.stream and _has_begun(record, trace) else None


def facts_of(number: int, kept: Kept) -> Facts:
    """What is known of the request that is *kept*."""
    record, at, started, trace, (address, agent), error = kept
    costs: dict[str, float] = {}
    given_up = 0
    for each in record.given_up:
        if each.tokens is not None:
            given_up += each.tokens.prompt + each.tokens.completion
        if each.cost is not None:
            costs[each.currency] = costs.get(each.currency, 0.0) + each.cost
    return Facts(
        number=number,
        request_id=record.request_id,
        arrived=at - record.latency,
        slot=record.slot,
        model=record.model,
        endpoint=record.endpoint,
        client=record.client or host_of(address),
        agent=agent_of(agent),
        stream=record.stream,
        outcome=record.outcome,
        status=record.status,
        error_code=record.error_code,
        error=error,
        provider=record.provider,
        upstream_model=record.upstream_model,
        key=record.key,
        cache=record.cache,
        tokens=record.tokens,
        cost=record.cost,
        currency=record.currency,
        price_source=record.price_source,
        hedge_cost=costs.get(record.currency),
        seconds=record.latency,
        queue=record.queue,
        bytes_out=record.bytes_out,
        first_token=first_token_of(record, trace),
        first_sentence=record.first_sentence,
        follows=trace.follows,
        age=trace.age,
        deployments=tuple(trace.deployments()),
        attempts=attempts_of(trace, started),
        steps=steps_of(trace, started),
        given_up_cost=tuple(costs.items()),
        given_up_tokens=given_up,
    )
