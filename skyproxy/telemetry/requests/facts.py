"""What is known of one request, whether it is over or under way: plain values, all times from its arrival."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from skyproxy.telemetry.prices.prices import PriceSource
from skyproxy.telemetry.records import Outcome
from skyproxy.telemetry.usage import Tokens

StepKind = Literal["refused", "failed", "key_rests", "key_aside", "key_kept", "retry", "fallback", "hedge"]
"""What happened to a request beside the plain way of an answer.

- ``refused``: a guard did not let it go to a candidate: the breaker, the queue, the rate limit, a missing key.
- ``failed``: a provider answered with an error, or gave no proper answer.
- ``key_rests``: a key has met its rate limit for the model.
- ``key_aside``: a provider refuses a key, and others are used. ``key_kept``: likewise, but there is no other.
- ``retry``: the same provider is asked again.
- ``fallback``: the next candidate's turn has come.
- ``hedge``: the next candidate is asked besides, because the first is slow.
"""

MAX_STEPS = 20
"""Of one request that are kept: the first ones, and the last."""

MAX_SENDINGS = 20
"""Likewise."""

MAX_TEXT = 200
"""Characters of a text that are kept."""


class Step(NamedTuple):
    """Something that happened to a request.

    :ivar at: the time, on the process's clock; in :class:`Facts` from the arrival.
    :ivar candidate: the index of the one it happened at.
    :ivar attempt: the index of the sending; -1: it had not been sent.
    :ivar code: skyproxy's code of an error, the name of its kind, or the timer that fired.
    :ivar status: that of a provider's answer; of a breaker that is open, how many failures opened it.
    :ivar text: in whose words ever, without secrets.
    :ivar seconds: of a rest, a wait or a delay; None: not known.
    :ivar said: what a provider said of the limit by which a guard refused the request, likewise; empty if nothing.
    """

    at: float
    kind: StepKind
    candidate: int
    attempt: int = -1
    code: str = ""
    status: int | None = None
    text: str = ""
    seconds: float | None = None
    said: str = ""


class Sending(Protocol):
    """One sending of a request to a candidate. Times are on the process's clock.

    :ivar candidate: the index of the one that was asked.
    :ivar key: the variable of the key that went with it.
    :ivar waited: seconds for the permit.
    :ivar headers_at: when the provider began to answer.
    :ivar status: of that answer.
    :ivar sentence_at: when the first sentence of a stream had come.
    :ivar generated: bytes of text that had come when it was given up.
    :ivar span_id: by which its provider knows it; None: it is not traced.
    """

    @property
    def candidate(self) -> int: ...
    @property
    def key(self) -> str | None: ...
    @property
    def sent_at(self) -> float | None: ...
    @property
    def waited(self) -> float: ...
    @property
    def headers_at(self) -> float | None: ...
    @property
    def status(self) -> int | None: ...
    @property
    def sentence_at(self) -> float | None: ...
    @property
    def ended_at(self) -> float | None: ...
    @property
    def generated(self) -> int: ...
    @property
    def span_id(self) -> str | None: ...


class Trace(Protocol):
    """How a request went from one candidate to the next.

    :ivar answered: the sending whose answer the client got.
    :ivar follows: the id of the request whose answer it shares; of a kept answer nothing.
    :ivar age: seconds that a kept answer was old.
    """

    steps: Sequence[Step]
    follows: str | None
    age: float | None

    @property
    def sendings(self) -> Sequence[Sending]: ...

    @property
    def answered(self) -> Sending | None: ...

    def deployments(self) -> list[tuple[str, str]]:
        """The provider and the model of each candidate."""

    def masked(self, text: str) -> str:
        """*text* without keys of the candidates' providers."""

    def shorten(self, most: int) -> None:
        """Keep no more than *most* characters of what a client has named, and not all of very many sendings."""


class AttemptFacts(NamedTuple):
    """One sending of a request.

    :ivar sent: seconds from the request's arrival, and so the next two; None: not yet, or never.
    :ivar first_byte: when the provider began to answer.
    :ivar waited: seconds for the permit, before it was sent.
    :ivar won: the client got its answer.
    """

    provider: str
    model: str
    key: str | None
    sent: float
    waited: float
    first_byte: float | None
    status: int | None
    ended: float | None
    generated: int
    won: bool


class Facts(NamedTuple):
    """One request.

    :ivar number: counts those that are over; 0: it is under way.
    :ivar arrived: seconds since the epoch.
    :ivar model: as the client names it.
    :ivar client: by the name that its key has; without one, the address it came from.
    :ivar agent: what the client calls itself.
    :ivar outcome: None: it is under way.
    :ivar error: in plain words, for people.
    :ivar seconds: from the arrival to the end, or to now.
    :ivar queue: seconds that it waited for a permit.
    :ivar first_token: seconds from the arrival, and so the next two; None: not yet, or it was not measured.
    :ivar first_sentence: when a voice could start.
    :ivar price_source: where the price comes from.
    :ivar hedge_cost: of the sendings that were given up, as far as it is in *currency*.
    :ivar follows: the request whose answer it shares.
    :ivar age: seconds that a kept answer was old.
    :ivar deployments: provider and model of each candidate, the best first.
    :ivar given_up_cost: of the sendings that were given up, by currency; and ``given_up_tokens``, read and written.
    """

    number: int
    request_id: str
    arrived: float
    slot: str | None
    model: str
    endpoint: str
    client: str
    agent: str
    stream: bool
    outcome: Outcome | None
    status: int | None
    error_code: str | None
    error: str
    provider: str | None
    upstream_model: str | None
    key: str | None
    cache: str | None
    tokens: Tokens | None
    cost: float | None
    currency: str
    price_source: PriceSource | None
    hedge_cost: float | None
    seconds: float
    queue: float
    bytes_out: int
    first_token: float | None
    first_sentence: float | None
    follows: str | None
    age: float | None
    deployments: tuple[tuple[str, str], ...]
    attempts: tuple[AttemptFacts, ...]
    steps: tuple[Step, ...]
    given_up_cost: tuple[tuple[str, float], ...] = ()
    given_up_tokens: int = 0


def attempts_of(trace: Trace, started: float) -> tuple[AttemptFacts, ...]:
    """The sendings of *trace*, of a request that came at *started*."""
    deployments = trace.deployments()
    return tuple(
        AttemptFacts(
            *deployments[each.candidate],
            each.key,
            each.sent_at - started,
            each.waited,
            since(each.headers_at, started),
            each.status,
            since(each.ended_at, started),
            each.generated,
            each is trace.answered,
        )
        for each in trace.sendings
        if each.sent_at is not None
    )


def steps_of(trace: Trace, started: float) -> tuple[Step, ...]:
    """The steps of *trace*, of a request that came at *started*."""
    return tuple(step._replace(at=step.at - started) for step in trace.steps)


def since(at: float | None, started: float) -> float | None:
    """Seconds from *started* to *at*, if that has come."""
    return None if at is None else at - started
