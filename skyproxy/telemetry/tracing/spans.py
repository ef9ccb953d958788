"""The spans of one request: its own, one for each sending, and those of waits and hedges.

They are made from what is kept of the request, when it is over: each gets its parent by name, and nothing follows a
request on its way. Bodies, keys and what providers say are in none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from skyproxy.telemetry.records import RequestRecord
from skyproxy.telemetry.requests.facts import Sending, Step
from skyproxy.telemetry.tracing import conventions as names
from skyproxy.telemetry.tracing.conventions import Peer, operation_of
from skyproxy.telemetry.tracing.traced import Traced

Value: TypeAlias = str | bool | int | float
Attributes: TypeAlias = dict[str, Value]
SpanKind = Literal["server", "client", "internal"]

_NANOSECONDS = 1e9
_FAILED = ("upstream_error", "failed", "refused")


class Event(NamedTuple):
    """Something that happened within a span. Times are nanoseconds since the epoch."""

    name: str
    at: int
    attributes: Attributes


class Span(NamedTuple):
    """One span. Times are nanoseconds since the epoch.

    :ivar parent_id: empty: it has none.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: SpanKind
    start: int
    end: int
    attributes: Attributes
    failed: bool
    events: tuple[Event, ...] = ()
    state: str = ""


class _Maker:
    """Makes the spans of *traced*.

    :param peers: providers by name.
    """

    def __init__(self, traced: Traced, peers: Mapping[str, Peer]) -> None:
        self._context, self._record, self._attempts = traced.context, traced.record, traced.attempts
        self._peers = peers
        # From the clock of the attempts to nanoseconds since the epoch.
        self._offset = traced.at - traced.record.latency - traced.started
        self._started = traced.started
        self._over = traced.started + traced.record.latency
        masked = self._attempts.masked
        self._deployments = [(name, masked(model)) for name, model in self._attempts.deployments()]
        self._operation = operation_of(traced.record.endpoint)

    def spans(self) -> Iterator[Span]:
        """All of them, the request's first."""
        yield self._of_request()
        sendings = [each for each in self._attempts.sendings if each.sent_at is not None]
        hedge = next((step for step in self._attempts.steps if step.kind == "hedge"), None)
        hedge_id = "" if hedge is None else self._context.new_span_id()
        if hedge is not None:
            yield self._of_hedge(hedge, hedge_id, sendings)
        for number, sending in enumerate(self._attempts.sendings):
            if sending.sent_at is None:
                continue
            hedged = hedge is not None and sending.candidate > hedge.candidate
            parent = hedge_id if hedged else self._context.span_id
            if sending.waited > 0:
                yield self._of_queue(sending, parent)
            yield self._of_sending(number, sending, parent)

    def _of_request(self) -> Span:
        record, context = self._record, self._context
        route = f"/v1{record.endpoint}"
        error = record.error_code or (str(record.status) if (record.status or 0) >= 400 else None)
        attributes = _known(
            {
                names.HTTP_METHOD: "POST",
                names.HTTP_ROUTE: route,
                names.HTTP_STATUS: record.status,
                names.ERROR_TYPE: None if record.outcome == "ok" else error or record.outcome,
                "skyproxy.request_id": record.request_id,
                "skyproxy.outcome": record.outcome,
                "skyproxy.slot": record.slot,
                "skyproxy.stream": record.stream,
                "skyproxy.cache": record.cache,
                "skyproxy.attempts": record.attempts,
                "skyproxy.time_to_first_token": record.time_to_first_byte if record.stream else None,
                "skyproxy.time_to_first_sentence": record.first_sentence if record.stream else None,
            }
        )
        return Span(
            context.trace_id, context.span_id, context.parent_id, f"POST {route}", "server", self._at(self._started),
            self._at(self._over), attributes, record.outcome in _FAILED, tuple(self._events()), context.state.decode(),
        )  # fmt: skip

    def _events(self) -> Iterator[Event]:
        for step in self._attempts.steps:
            provider, model = self._deployments[step.candidate]
            yield Event(
                step.kind,
                self._at(step.at),
                _known(
                    {
                        "skyproxy.provider": provider,
                        names.REQUEST_MODEL: model,
                        "skyproxy.code": step.code or None,
                        "skyproxy.seconds": step.seconds,
                        names.HTTP_STATUS: step.status if step.kind == "failed" else None,
                    }
                ),
            )
        record = self._record
        for name, seconds in (
            ("first_token", record.time_to_first_byte if record.stream and record.outcome == "ok" else None),
            ("first_sentence", record.first_sentence if record.stream else None),
        ):
            if seconds is not None:
                yield Event(name, self._at(self._started + seconds), {})

    def _of_hedge(self, step: Step, span_id: str, sendings: Sequence[Sending]) -> Span:
        second = [each for each in sendings if each.candidate > step.candidate]
        answered = self._attempts.answered
        ends = [self._over if each.ended_at is None else each.ended_at for each in second]
        cost, currency = _hedge_cost(self._record)
        attributes = _known(
            {
                "skyproxy.hedge.after": step.seconds,
                "skyproxy.hedge.won": answered is not None and answered.candidate > step.candidate,
                "skyproxy.hedge.cost": cost,
                "skyproxy.hedge.cost.currency": currency,
            }
        )
        context = self._context
        return Span(
            context.trace_id, span_id, context.span_id, "hedge", "internal", self._at(step.at),
            self._at(max([step.at, *ends])), attributes, False,
        )  # fmt: skip

    def _of_queue(self, sending: Sending, parent: str) -> Span:
        sent, context = sending.sent_at or 0.0, self._context
        provider, model = self._deployments[sending.candidate]
        attributes: Attributes = {"skyproxy.provider": provider, names.REQUEST_MODEL: model}
        return Span(
            context.trace_id, context.new_span_id(), parent, f"queue {provider}", "internal",
            self._at(sent - sending.waited), self._at(sent), attributes, False,
        )  # fmt: skip

    def _of_sending(self, number: int, sending: Sending, parent: str) -> Span:
        provider, model = self._deployments[sending.candidate]
        sent = sending.sent_at or 0.0
        ended = self._over if sending.ended_at is None else sending.ended_at
        won = sending is self._attempts.answered
        failure = next(
            (step for step in self._attempts.steps if step.kind == "failed" and step.attempt == number), None
        )
        error = None if failure is None else str(failure.status) if (failure.status or 0) >= 400 else failure.code
        if error is None and sending.status is not None and sending.status >= 400:
            error = str(sending.status)
        if error is None and won and self._record.outcome in _FAILED:
            error = self._record.error_code or self._record.outcome
        peer = self._peers.get(provider)
        attributes = _known(
            {
                names.OPERATION: self._operation,
                names.PROVIDER: provider if peer is None else peer.kind,
                names.REQUEST_MODEL: model,
                names.REQUEST_STREAM: self._record.stream,
                names.SERVER_ADDRESS: None if peer is None else peer.address,
                names.SERVER_PORT: None if peer is None else peer.port,
                names.HTTP_STATUS: sending.status,
                names.ERROR_TYPE: error or None,
                "skyproxy.provider": provider,
                "skyproxy.answered": won,
                **(self._of_answer() if won else {}),
            }
        )
        context = self._context
        return Span(
            context.trace_id, sending.span_id or context.new_span_id(), parent, f"{self._operation} {model}", "client",
            self._at(sent), self._at(ended), attributes, bool(error),
        )  # fmt: skip

    def _of_answer(self) -> dict[str, Value | None]:
        """What the answer took that the client got."""
        record, tokens = self._record, self._record.tokens
        found: dict[str, Value | None] = {
            names.TIME_TO_FIRST_CHUNK: record.own_time_to_first_byte if record.stream else None,
            "skyproxy.cost": record.cost,
            "skyproxy.cost.currency": None if record.cost is None else record.currency,
        }
        if tokens is not None:
            found[names.INPUT_TOKENS] = tokens.prompt
            found[names.OUTPUT_TOKENS] = tokens.completion
            found[names.CACHED_TOKENS] = tokens.cached or None
            found[names.REASONING_TOKENS] = tokens.reasoning or None
            found["skyproxy.tokens_estimated"] = tokens.estimated
        return found

    def _at(self, seconds: float) -> int:
        return int((seconds + self._offset) * _NANOSECONDS)


def spans_of(traced: Traced, peers: Mapping[str, Peer]) -> list[Span]:
    """The spans of *traced*.

    :param peers: providers by name.
    """
    return list(_Maker(traced, peers).spans())


def _hedge_cost(record: RequestRecord) -> tuple[float | None, str | None]:
    """What hedging cost besides, and in which currency; of several, that of the first sending."""
    costs = [(each.cost, each.currency) for each in record.given_up if each.hedged and each.cost is not None]
    if not costs:
        return None, None
    currency = costs[0][1]
    return sum(cost for cost, other in costs if other == currency), currency


def _known(values: Mapping[str, Value | None]) -> Attributes:
    return {name: value for name, value in values.items() if value is not None}
