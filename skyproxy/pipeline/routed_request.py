"""The request of a client, routed to one candidate."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from skyproxy.access.budgets.charge import Charge
from skyproxy.access.most import most_of_form, most_of_json, within
from skyproxy.config import Priority
from skyproxy.formats.openai.stream_state import JUST_TEXT, Asked
from skyproxy.pipeline.request import Form, JsonRequest, Request, UpstreamBody, asked_for
from skyproxy.pipeline.router import Candidate
from skyproxy.telemetry.usage import Tokens
from skyproxy.upstream.exchange.attempt import Attempt
from skyproxy.upstream.exchange.first_content import AnswerKind
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.exchange.upstream_request import UpstreamRequest

_log = Logger()


class RoutedRequest:
    """See :class:`~skyproxy.upstream.dispatch.candidate_request.CandidateRequest`, which it implements.

    :param parsed: what *request* says.
    :param named: whether the configuration names the candidate's model, and not only the client.
    :ivar charge: what the request may cost, of budgets that it counts to; None: it counts to none.
    """

    __slots__ = (
        "_body", "_named", "_parsed", "_request", "candidate", "charge", "hedge_after", "kind", "model",
        "must_be_whole", "provider", "request_id", "streaming", "timeouts",
    )  # fmt: skip

    def __init__(
        self, request: Request, parsed: Form | JsonRequest, candidate: Candidate, provider: Provider, *, named: bool
    ) -> None:
        self._request = request
        self._parsed = parsed
        self._named = named
        self._body: UpstreamBody | None = None
        self.charge: Charge | None = None
        self.candidate = candidate
        self.provider = provider
        self.model = candidate.model
        self.request_id = request.request_id
        self.timeouts = candidate.timeouts
        self.streaming = parsed.streaming
        self.kind = AnswerKind.JSON if request.endpoint.in_json else AnswerKind.ANYTHING
        self.hedge_after = candidate.hedge_after
        self.must_be_whole = candidate.strip_reasoning

    @property
    def priority(self) -> Priority:
        """The candidate's, as far as the client may have it."""
        identity, own = self._request.identity, self.candidate.priority
        return own if identity is None else identity.priority_of(own)

    @property
    def window(self) -> int | None:
        """Tokens that the candidate reads at once; None if that is not known."""
        return self.candidate.prices.window(self.candidate.provider.name, self.model)

    def to(self, candidate: Candidate, provider: Provider) -> RoutedRequest:
        """The same request, routed to another candidate of the configuration."""
        routed = RoutedRequest(self._request, self._parsed, candidate, provider, named=True)
        routed.charge = self.charge
        return routed

    @property
    def body(self) -> UpstreamBody:
        """The body for the candidate, made when it is first asked for.

        :raise InvalidRequest: it cannot be written.
        """
        body = self._body
        if body is None:
            body = self._body = self._parsed.body_for(self.candidate)
        return body

    @property
    def asked_for(self) -> Asked:
        """What the candidate is asked for in a stream: not each of the client's fields goes to each provider.

        :raise InvalidRequest: the body cannot be written.
        """
        fields = self.body.fields
        return JUST_TEXT if fields is None or not self.streaming else asked_for(fields)

    def most(self) -> Tokens:
        """The most tokens that an answer of the candidate may take.

        :raise InvalidRequest: the body cannot be written.
        """
        request, body = self._request, self._body or self.body
        if body.fields is None:
            return most_of_form(request.body)
        return most_of_json(request.endpoint.path, body.fields, request.body)

    def reserve(self, attempt: Attempt) -> Deferred[None] | None:
        """Reserve what *attempt* may cost, before it is sent.

        :raise SkyproxyError: it may not be sent.
        """
        charge, candidate = self.charge, self.candidate
        if charge is None:
            return None
        name, model = candidate.provider.name, candidate.model
        prices, most = candidate.prices, self.most()
        if most.estimated:
            most = within(most, prices.max_output(name, model))
        cost = prices.cost(name, model, most)
        if cost.amount is None and candidate.provider.dialect == "local":
            return None  # somebody's own server, on another machine
        return charge.reserve(attempt, name, model, cost)

    def upstream_request(self) -> UpstreamRequest:
        """The request for the provider.

        :raise InvalidRequest: its body cannot be written.
        """
        request, candidate, body = self._request, self.candidate, self._body
        if body is None:
            body = self._body = self._parsed.body_for(candidate)
        if body.dropped:
            _log.debug(
                "Dropped fields the provider does not know",
                provider=candidate.provider.name,
                fields=body.dropped,
                request_id=request.request_id,
            )
        return UpstreamRequest(
            request.endpoint.path,
            (
                (b"Content-Type", body.content_type),
                (b"X-Request-Id", request.request_id.encode("ascii")),
                *request.headers,
            ),
            body.data,
            candidate.timeouts,
            self.streaming,
            self.priority,
            candidate.model,
            self._named,
            request.request_id,
            body.fields if body.added else None,
            body.added,
            self._parsed.model if candidate.own_names else None,
            request.trace,
        )
