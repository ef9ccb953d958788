"""One request under way, and what is kept of it when it is over."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from skyproxy.errors import SkyproxyError, Unavailable, UpstreamError, UpstreamReported
from skyproxy.formats.openai.stream_inspector import StreamInspector, StreamState
from skyproxy.pipeline.coalescing import Result
from skyproxy.pipeline.relay import Client
from skyproxy.pipeline.request import Request
from skyproxy.pipeline.router import Candidate
from skyproxy.telemetry.records import GivenUp, Outcome, RequestRecord
from skyproxy.telemetry.usage import Tokens, cost_of, cost_said, estimate, tokens_used
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.attempt import Attempt


class RequestContext:
    """One request under way: what happened so far, and the means to end it from outside."""

    model = ""
    streaming = False
    attempts = 0
    candidates: Sequence[Candidate] = ()
    candidate: Candidate | None = None
    answer: Answer | None = None
    watch: StreamInspector | None = None
    state: StreamState | None = None
    shared: Result | None = None
    outlived_by: Deferred[None] | None = None
    done: Deferred[None] | None = None
    ended_by: SkyproxyError | None = None
    over_at = 0.0
    error: SkyproxyError | None = None
    gone = False

    def __init__(self, request: Request, client: Client, started: float) -> None:
        self.request = request
        self.client = client
        self.started = started
        self.sendings: list[tuple[Candidate, Attempt]] = []

    def asked(self, index: int) -> None:
        """The candidate of this *index* is asked."""
        self.candidate = self.candidates[index]
        self.attempts += 1

    def note_sent(self, candidate: Candidate, attempt: Attempt) -> None:
        """The provider of *candidate* gets the request."""
        self.sendings.append((candidate, attempt))

    def outlived(self, flying: Deferred[None]) -> None:
        """The client has left, and others wait on for its answer, which is over when *flying* fires."""
        self.outlived_by = flying

    def end(self, error: SkyproxyError) -> None:
        """Give the request up: its client gets *error*, as an answer or as the cut of a stream."""
        self.ended_by = error
        if self.answer is not None:
            self.answer.body.fail(error)
        elif self.done is not None:
            self.done.cancel()

    def over(self, now: float, error: SkyproxyError | None, *, gone: bool) -> None:
        """Note that the request is over.

        :param now: on the clock that *started* was read from.
        :param error: what it ended with, if it failed.
        :param gone: the client has left.
        """
        self.over_at = now
        self.error = error
        self.gone = gone

    def record(self) -> RequestRecord:
        """What is kept of the request, which is over."""
        candidate, client, answer = self.candidate, self.client, self.answer
        request, started, first = self.request, self.started, client.first_byte_at
        error, gone = self.error, self.gone
        slot = provider = upstream_model = None
        if candidate is not None:
            slot, provider, upstream_model = self.candidates[0].slot, candidate.provider.name, candidate.model
        state = self.state
        if state is None and self.watch is not None and self.watch.begun:
            state = self.watch.state()
        main = self._main()
        tokens = self._tokens(state, main)
        cost: float | None = None
        currency = "USD"
        if candidate is not None and tokens is not None:
            cost, currency = _cost(candidate, tokens, state)
        own, own_first = None, None
        if answer is not None and main is not None:
            own = self._took(main)
            own_first = None if first is None else first - main.began
        return RequestRecord(
            request_id=request.request_id,
            endpoint=request.endpoint.path,
            slot=slot,
            provider=provider,
            model=self.model,
            upstream_model=upstream_model,
            status=answer.status if answer else client.status,
            outcome="cancelled" if gone else outcome(answer, state, error),
            stream=self.streaming,
            latency=self.over_at - started,
            time_to_first_byte=None if first is None else first - started,
            queue=answer.queued if answer else 0.0,
            bytes_out=client.bytes_out,
            error_code=error.code if error else None,
            attempts=self.attempts,
            key=answer.key if answer else None,
            cache=self.shared,
            tokens=tokens,
            cost=cost,
            currency=currency,
            own_latency=own,
            own_time_to_first_byte=own_first,
            given_up=tuple(
                [self._given_up(candidate, attempt) for candidate, attempt in self.sendings if attempt is not main]
            ),
        )

    def _main(self) -> Attempt | None:
        """That which was answered; of a request without an answer, the last one, if that is of the last candidate."""
        if self.answer is not None:
            return self.answer.attempt
        candidate, attempt = self.sendings[-1] if self.sendings else (None, None)
        return attempt if candidate is self.candidate else None

    def _took(self, attempt: Attempt) -> float:
        return (self.over_at if attempt.ended is None else attempt.ended) - attempt.began

    def _given_up(self, candidate: Candidate, attempt: Attempt) -> GivenUp:
        tokens, cost, currency = None, None, "USD"
        if attempt.taken and self.request.endpoint.in_json:
            tokens = estimate(self.request.body, attempt.generated)
            cost, currency = _cost(candidate, tokens, None)
        return GivenUp(
            candidate.provider.name, candidate.model, self._took(attempt), attempt.key, tokens, cost, currency
        )

    def _tokens(self, state: StreamState | None, main: Attempt | None) -> Tokens | None:
        """What the request and its answer took, estimated where the provider did not say.

        :param main: the sending of both.
        """
        request, answer = self.request, self.answer
        if not request.endpoint.in_json or (answer is not None and answer.status >= 400):
            return None
        if state is not None:
            return tokens_used(state, request.body)
        # Nobody has read anything of an answer, but the provider has read the request.
        return estimate(request.body, main.generated) if main is not None and main.taken else None


def _cost(candidate: Candidate, tokens: Tokens, state: StreamState | None) -> tuple[float | None, str]:
    """What *tokens* cost, if that is known, and the currency: as the provider says, or else by the configured price."""
    if state is not None and candidate.provider.dialect == "openrouter":
        said = cost_said(state.usage)
        if said is not None:
            return said, "USD"
    price = candidate.price
    return (None, "USD") if price is None else (cost_of(tokens, price), price.currency)


def outcome(answer: Answer | None, state: StreamState | None, error: SkyproxyError | None) -> Outcome:
    """What became of a request whose client stayed."""
    if isinstance(error, Unavailable) and answer is None:
        return "refused"
    if isinstance(error, UpstreamReported):
        return _outcome_of_status(error.status)
    if isinstance(error, UpstreamError) or (error is not None and error.status >= 500):
        return "failed"
    if error is not None:
        return "client_error"
    if answer is not None and answer.status >= 400:
        return _outcome_of_status(answer.status)
    return "upstream_error" if state is not None and state.error else "ok"


def _outcome_of_status(status: int) -> Outcome:
    return "upstream_error" if status >= 500 or status == 429 else "client_error"
