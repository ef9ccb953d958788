"""One request under way, and what is kept of it when it is over."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from skyproxy.access.budgets.charge import Spending
from skyproxy.access.gate import Place
from skyproxy.errors import SkyproxyError
from skyproxy.formats.openai.stream_state import StreamState
from skyproxy.pipeline.attempt_history import AttemptHistory
from skyproxy.pipeline.client import RequestClient
from skyproxy.pipeline.outcome import outcome
from skyproxy.pipeline.provider_answer import ProviderAnswer
from skyproxy.pipeline.request import Request
from skyproxy.pipeline.router import Candidate
from skyproxy.pipeline.sharing import CacheResult, Sharing
from skyproxy.telemetry.prices.prices import UNKNOWN, Cost
from skyproxy.telemetry.records import GivenUp, RequestRecord
from skyproxy.telemetry.tracing.context import TraceContext
from skyproxy.telemetry.usage import Tokens, cost_said, estimate, prompt_estimate, tokens_used
from skyproxy.upstream.exchange.attempt import Attempt

_LARGE_BODY_BYTES = 16 * 1024
"""Bytes of a request's body from which on it is worth the while to let go of it."""


class RequestContext:
    """One request under way: what happened so far, and the means to end it from outside.

    :param started: when it came, on the clock that :meth:`over` gets the time of.
    :ivar minute: that it came in, since the epoch.
    :ivar model: as the client names it; empty before that is known.
    :ivar streaming: whether the client wants a stream.
    :ivar attempts: what happened at the candidates.
    :ivar answer: a provider's, that was fetched for this request; None before, and where an answer is shared.
    :ivar sharing: how its answer may be shared; None if it may not.
    :ivar cache_result: what came of that; None if the client did not get its answer.
    :ivar outlived_by: what goes on for others when its client has left; fires when that is over.
    :ivar done: fires when the request is over. To cancel it is to end the request.
    :ivar ended_by: why skyproxy itself ended the request, if it did.
    :ivar over_at: when it was over, on the clock of *started*; 0 before.
    :ivar error: what it ended with, if it failed.
    :ivar gone: whether the client has left before it had its answer.
    :ivar place: what it has taken of its client's limits; None: there are none.
    """

    minute = 0
    model = ""
    streaming = False
    answer: ProviderAnswer | None = None
    sharing: Sharing | None = None
    cache_result: CacheResult | None = None
    outlived_by: Deferred[None] | None = None
    done: Deferred[None] | None = None
    ended_by: SkyproxyError | None = None
    over_at = 0.0
    error: SkyproxyError | None = None
    gone = False
    place: Place | None = None
    _prompt_tokens: int | None = None

    def __init__(self, request: Request, client: RequestClient, started: float, attempts: AttemptHistory) -> None:
        self.request = request
        self.client = client
        self.started = started
        self.attempts = attempts

    @property
    def trace(self) -> TraceContext | None:
        """That it belongs to; None: requests are not traced."""
        return self.request.trace

    @property
    def end_awaited(self) -> Deferred[None]:
        """Fires when it is over, or, if its client has left, when the answer is that others wait for."""
        awaited = self.done if self.outlived_by is None else self.outlived_by
        assert awaited is not None
        return awaited

    def end(self, error: SkyproxyError) -> None:
        """Give the request up: its client gets *error*, as an answer or as the cut of a stream. What others wait for,
        too, goes on. If the client has left already, what others wait for is given up.
        """
        self.ended_by = error
        is_shared = self.outlived_by is None and self.sharing is not None and self.sharing.still_running() is not None
        if self.answer is not None and not is_shared:
            self.answer.fail(error)
        elif self.done is not None:
            self.end_awaited.cancel()

    def let_body_go(self) -> None:
        """The answer is there: the request is sent to nobody any more. Of a large body, which a stream would keep in
        memory for minutes, nothing is kept but what is still asked for.
        """
        request = self.request
        if len(request.body) > _LARGE_BODY_BYTES and self.client.recording is None:
            self._prompt_tokens = prompt_estimate(request.body) if request.endpoint.in_json else 0
            self.request = request._replace(body=b"")

    def cancelled(self) -> None:
        """Note that the client has left, or that skyproxy ended the request before it had an answer of its own. Where
        all of a stream has come, and only its body is not ended yet, the client has left with its answer.
        """
        state = None if self.answer is None or not self.client.started else self.answer.state
        self.gone = self.ended_by is None and (state is None or not state.cannot_be_cut)
        if self.sharing is not None:
            self.outlived_by = self.sharing.still_running()

    def over(self, now: float, error: SkyproxyError | None) -> None:
        """Note that the request is over.

        :param now: on the clock that *started* was read from.
        :param error: what it ended with, if it failed.
        """
        self.over_at = now
        self.error = error

    def record(self) -> RequestRecord:
        """What is kept of the request, which is over."""
        client, attempts, answer, state = self.client, self.attempts, None, None
        candidate = attempts.current
        if self.answer is not None:
            candidate, answer, state = self.answer.candidate, self.answer.answer, self.answer.state
        request, started, first = self.request, self.started, client.first_byte_at
        error, gone = self.error, self.gone
        slot = provider = upstream_model = None
        if candidate is not None:
            slot, provider, upstream_model = attempts.candidates[0].slot, candidate.provider.name, candidate.model
        main = self._main()
        tokens = self._tokens(state, main)
        cost = UNKNOWN
        if candidate is not None and tokens is not None:
            cost = _cost(candidate, tokens, state)
        own, own_first, answered = None, None, attempts.answered
        if answer is not None and main is not None:
            own = self._took(main)
            own_first = None if first is None or main.sent_at is None else first - main.sent_at
        return RequestRecord(
            request_id=request.request_id,
            endpoint=request.endpoint.path,
            slot=slot,
            provider=provider,
            model=self.model,
            upstream_model=upstream_model,
            status=answer.status if answer else client.status,
            outcome="cancelled"
            if gone
            else outcome(answer, state, error, begun=client.streamed, by_client=slot is None),
            stream=self.streaming,
            latency=self.over_at - started,
            time_to_first_byte=None if first is None else first - started,
            queue=answer.queued if answer else 0.0,
            bytes_out=client.bytes_out,
            error_code=error.code if error else None,
            attempts=attempts.count,
            key=answer.key if answer else None,
            cache=self.cache_result,
            tokens=tokens,
            cost=cost.amount,
            currency=cost.currency,
            price_source=cost.source,
            own_latency=own,
            own_time_to_first_byte=own_first,
            client=None if request.identity is None else request.identity.name,
            given_up=tuple([self._given_up(attempt) for attempt in attempts.sendings if attempt is not main]),
            time_to_first_sentence=(
                None if answered is None or answered.sentence_at is None else answered.sentence_at - started
            ),
            thought=state is not None and state.thought,
        )

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to be counted of it by :meth:`settle`."""
        return self.place is None and self.attempts.charge is None

    def settle(self, record: RequestRecord | None) -> None:
        """Count what the request, which is over, has taken of limits and budgets.

        :param record: of it; None: there is none, so that it counts as what it had reserved.
        """
        place, charge = self.place, self.attempts.charge
        if place is not None:
            place.settle(None if record is None else self._tokens_taken(record))
        if charge is not None:
            # What is kept of the request need not keep it.
            self.attempts.charge = None
            main = self._main()
            charge.settle(lambda attempt: self._cost_of(attempt, main, record))

    def _tokens_taken(self, record: RequestRecord) -> int | None:
        """All of them; None if nobody knows."""
        main = self._main()
        if record.tokens is None and not self.request.endpoint.in_json and main is not None and main.accepted:
            return None
        tokens = [record.tokens, *(each.tokens for each in record.given_up)]
        return sum(each.prompt + each.completion for each in tokens if each is not None)

    def _cost_of(self, attempt: Spending, main: Attempt | None, record: RequestRecord | None) -> Cost:
        """What *attempt*, which went out and is over, has cost."""
        if record is None:
            return UNKNOWN
        if attempt is main:
            return Cost(record.cost, record.currency, record.price_source)
        others: list[Spending] = [each for each in self.attempts.sendings if each is not main]
        given_up = record.given_up[others.index(attempt)]
        return Cost(given_up.cost, given_up.currency, given_up.price_source)

    def _main(self) -> Attempt | None:
        """That which was answered; of a request without an answer, the last one, if that is of the last candidate."""
        if self.answer is not None:
            return self.answer.attempt
        attempts = self.attempts
        if not attempts.sendings:
            return None
        last = attempts.sendings[-1]
        return last if attempts.candidates[last.candidate] is attempts.current else None

    def _took(self, attempt: Attempt) -> float:
        began = self.over_at if attempt.sent_at is None else attempt.sent_at
        return (self.over_at if attempt.ended_at is None else attempt.ended_at) - began

    def _given_up(self, attempt: Attempt) -> GivenUp:
        candidate = self.attempts.candidates[attempt.candidate]
        tokens, cost = None, UNKNOWN
        if attempt.accepted and self.request.endpoint.in_json:
            tokens = estimate(self._prompt(), attempt.generated)
            cost = _cost(candidate, tokens, None)
        return GivenUp(
            candidate.provider.name,
            candidate.model,
            self._took(attempt),
            attempt.key,
            tokens,
            *cost,
            hedged=self._took_besides(attempt),
        )

    def _took_besides(self, attempt: Attempt) -> bool:
        """Whether it is hedging that *attempt*, which did not bring the answer, is owed to. A first one that failed by
        itself would have been sent without.
        """
        steps, number = self.attempts.steps, self.attempts.sendings.index(attempt)
        hedge = next((step for step in steps if step.kind == "hedge"), None)
        if hedge is None or attempt.candidate != hedge.candidate:
            return hedge is not None and attempt.candidate > hedge.candidate
        return not any(step.kind == "failed" and step.attempt == number for step in steps)

    def _tokens(self, state: StreamState | None, main: Attempt | None) -> Tokens | None:
        """What the request and its answer took, estimated where the provider did not say.

        :param main: the attempt that took both.
        """
        request, answer = self.request, self.answer
        if not request.endpoint.in_json or (answer is not None and answer.answer.status >= 400):
            return None
        if state is not None:
            return tokens_used(state, self._prompt)
        # Nothing of an answer was read, but the provider has read the request.
        return estimate(self._prompt(), main.generated) if main is not None and main.accepted else None

    def _prompt(self) -> int:
        """The tokens of the request, estimated."""
        return prompt_estimate(self.request.body) if self._prompt_tokens is None else self._prompt_tokens


def _cost(candidate: Candidate, tokens: Tokens, state: StreamState | None) -> Cost:
    """What *tokens* cost: as the provider says, or else by what is known of prices."""
    if state is not None:
        said = cost_said(state.usage, candidate.provider.dialect)
        if said is not None:
            return Cost(said, "USD", "provider")
    return candidate.prices.cost(candidate.provider.name, candidate.model, tokens)
