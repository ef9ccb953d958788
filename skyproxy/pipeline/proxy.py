"""The way of one request, from the client's bytes to the end of its answer.

:meth:`Proxy._serve`, :meth:`Proxy._obtain` and :meth:`Proxy._fetch` are that way, the later ones called by the earlier;
each step has its own module.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from skyproxy.access.errors import InsufficientQuota, NoPrice, RequestLimitExceeded
from skyproxy.access.gate import Gate
from skyproxy.access.identity import ALL
from skyproxy.config import Config
from skyproxy.errors import InternalError, ShuttingDown, SkyproxyError, forget
from skyproxy.formats.error_body import masker
from skyproxy.pipeline.attempt_history import AttemptHistory
from skyproxy.pipeline.changes import Change
from skyproxy.pipeline.client import RequestClient, cut, refuse
from skyproxy.pipeline.coalescing import Coalescing
from skyproxy.pipeline.context import RequestContext
from skyproxy.pipeline.presentation import Presentation
from skyproxy.pipeline.provider_answer import ProviderAnswer
from skyproxy.pipeline.relayed_fields import who_answered
from skyproxy.pipeline.request import Request, parse
from skyproxy.pipeline.routed_request import RoutedRequest
from skyproxy.pipeline.router import Candidate, Router
from skyproxy.pipeline.sharing import RelayableAnswer
from skyproxy.pipeline.since import Since
from skyproxy.pipeline.step_down import step_down
from skyproxy.telemetry.refusals import Refusals
from skyproxy.upstream.dispatch.dispatcher import Dispatcher
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.provider import Provider

_log = Logger()


@dataclass(frozen=True)
class Runtime:
    """What a configuration became. A reload builds another beside it, and so does a change by hand.

    :ivar config: as it was read, with what was changed by hand.
    :ivar changes: those made by hand.
    :ivar since: since when all is so; it is that of the process.
    """

    config: Config
    router: Router
    providers: Mapping[str, Provider]
    changes: tuple[Change, ...] = ()
    since: Since = field(default_factory=Since)


class Proxy:
    """Brings requests to providers and answers to clients.

    :param runtime: gives the current :class:`Runtime`; asked once per request, so that a reload never changes the
        ground under one.
    :param clock: for durations.
    :param dispatcher: asks the providers.
    :param coalescing: knows of answers that will do for others.
    :param completed: called with each request, once, when it is over.
    :param arrived: called with each request, when it has come; gives its minute, since the epoch.
    :param gate: lets requests in by their clients' limits, and by budgets; None: there are none.
    """

    def __init__(
        self,
        runtime: Callable[[], Runtime],
        clock: IReactorTime,
        dispatcher: Dispatcher,
        coalescing: Coalescing,
        completed: Callable[[RequestContext], None],
        arrived: Callable[[], int] = int,
        gate: Gate | None = None,
    ) -> None:
        self._runtime = runtime
        self._dispatcher = dispatcher
        self._coalescing = coalescing
        self._clock = clock
        self._completed = completed
        self._arrived = arrived
        self._gate = gate
        self._outlived: set[RequestContext] = set()
        self._refusals = Refusals(clock.seconds)
        self._contexts: set[RequestContext] = set()
        self._draining = self._leaving = False

    def serve(self, request: Request, client: RequestClient) -> Deferred[None]:
        """Answer *request* on *client*.

        :return: fires with None when the answer is over, however it went; it does not fail. Cancel it when the client
            has left.
        """
        attempts = AttemptHistory(request.request_id, self._refusals)
        context = RequestContext(request, client, self._clock.seconds(), attempts)
        context.minute = self._arrived()
        self._contexts.add(context)
        context.done = done = Deferred.fromCoroutine(self._serve(context))
        return done

    @property
    def under_way(self) -> Collection[RequestContext]:
        """The requests that are not over."""
        return self._contexts

    @property
    def unfinished(self) -> int:
        """How many have come and are not counted as over: those too whose client has left, but whose answer goes on."""
        return len(self._contexts) + len(self._outlived)

    @property
    def leaving(self) -> bool:
        """Whether balancers are to choose another server."""
        return self._leaving

    async def _serve(self, context: RequestContext) -> None:
        """Answer one request, and have it counted."""
        error: SkyproxyError | None = None
        try:
            answer = await self._obtain(context)
            context.let_body_go()
            await answer.send_to(context.client)
            if context.sharing is not None:
                context.cache_result = context.sharing.result
        except CancelledError as left:
            forget(left)
            context.cancelled()
            error = context.ended_by
            if error is not None and context.client.started:
                cut(context.client, error)
        except SkyproxyError as raised:
            error = raised
        except Exception:
            _log.failure("Request failed by a fault of skyproxy", request_id=context.request.request_id)
            error = InternalError("skyproxy failed on this request; its log tells more under the request id.")
        finally:
            self._contexts.discard(context)
        if context.sharing is not None:
            context.attempts.follows, context.attempts.age = context.sharing.follows, context.sharing.age
        if error is not None:
            forget(error)
            refuse(context.client, error, secrets=context.attempts.secrets)
        context.over(self._clock.seconds(), error)
        if context.place is not None:
            context.place.leave()
        if context.outlived_by is not None:
            # What the answer takes is known, and counted, when it is over.
            self._outlived.add(context)
            context.outlived_by.addBoth(self._outlived_by_none, context)
        else:
            self._completed(context)

    def _outlived_by_none(self, _: object, context: RequestContext) -> None:
        self._outlived.discard(context)
        self._completed(context)

    async def _obtain(self, context: RequestContext) -> RelayableAnswer:
        """Find an answer: a stored one, another request's, or that of a provider."""
        if self._draining:
            raise ShuttingDown("skyproxy is shutting down.", retry_after=1.0)
        runtime, request = self._runtime(), context.request
        parsed = parse(request, runtime.router.default_model)
        context.model, context.streaming = parsed.model, parsed.streaming
        if request.identity is not None and request.identity.slots is not ALL:
            runtime.router.check_allowed(parsed.model, request.identity)
        candidates = runtime.router.candidates(parsed.model)
        context.attempts.candidates, context.attempts.current = candidates, candidates[0]
        routed = [
            RoutedRequest(
                request,
                parsed,
                candidate,
                runtime.providers[candidate.provider.name],
                named=candidate.settings is not None or candidate is not candidates[0],
            )
            for candidate in candidates
        ]
        gate = self._gate
        if gate is not None and (request.identity is not None or gate.budgets.are_set):
            try:
                _admit(context, routed, gate)
            except RequestLimitExceeded as refused:
                await gate.enter_later(request.identity, partial(_admit, context, routed, gate), refused)
        context.sharing = sharing = self._coalescing.sharing(request, parsed.model, routed[0])
        if sharing is None:
            return await self._fetch(context, routed, runtime)
        return await self._coalescing.obtain(sharing, partial(self._fetch, context, routed, runtime))

    async def _fetch(self, context: RequestContext, routed: list[RoutedRequest], runtime: Runtime) -> ProviderAnswer:
        """Get an answer, which others may share."""
        attempts = context.attempts
        try:
            answer = await self._dispatcher.dispatch(routed, attempts)
        except (InsufficientQuota, NoPrice) as refused:
            first, charge = len(routed), attempts.charge
            if not step_down(attempts, routed, runtime.router, runtime.providers, self._clock.seconds()):
                # Where a budget refused the best candidate, what others are refused for is not what matters.
                raise refused if charge is None or charge.refusal is None else charge.refusal from None
            forget(refused)
        else:
            return _fetched(context, routed, answer)
        return _fetched(context, routed, await self._dispatcher.dispatch(routed, attempts, first))

    # The end of the process.

    def leave(self) -> None:
        """Ask to be sent no more, and serve on."""
        self._leaving = True

    def drain(self) -> Deferred[None]:
        """Refuse what comes from now on. Fires when all that was under way is over."""
        self._draining = self._leaving = True
        return Deferred.fromCoroutine(self._all_over())

    async def _all_over(self) -> None:
        while under_way := self._contexts or self._outlived:
            await DeferredList([each.end_awaited for each in under_way])

    def end_all(self, error: SkyproxyError) -> None:
        """Give up all that is under way, and then what others still wait for: each client gets *error*."""
        for contexts in (self._contexts, self._outlived):
            for context in list(contexts):
                try:
                    context.end(error)
                except Exception:
                    _log.failure("A request could not be ended", request_id=context.request.request_id)


def _admit(context: RequestContext, routed: Sequence[RoutedRequest], gate: Gate) -> None:
    """Have the request count to the limits and the budgets that concern it.

    :raise RequestLimitExceeded: a limit does not allow it.
    """
    first, identity = routed[0], context.request.identity
    if identity is not None:
        context.place = place = gate.enter(identity, first.most)
        if place is not None:
            context.client.tell_limits(place.fields)
    charge = context.attempts.charge = gate.budgets.charge(identity, first.candidate.slot)
    if charge is not None:
        for each in routed:
            each.charge = charge


def _shown_model(candidate: Candidate) -> str:
    """The model of *candidate*. One that a client names may have anything in its name, a key too."""
    name = candidate.model
    return name if candidate.settings is not None else masker(candidate.provider.secrets)(name)


def _fetched(context: RequestContext, routed: list[RoutedRequest], answer: Answer) -> ProviderAnswer:
    """A provider's *answer*, with what is needed to send it to the client."""
    attempt = answer.attempt
    assert attempt is not None
    chosen = routed[attempt.candidate]
    candidate = chosen.candidate
    presentation = Presentation(
        context.request.endpoint.in_json,
        chosen.asked_for,
        candidate.strip_reasoning,
        # A good answer that comes whole is not searched for them.
        candidate.provider.secrets if answer.status >= 400 or answer.whole is None or answer.whole.error else (),
        who_answered(candidate.provider.name, _shown_model(candidate)),
    )
    context.attempts.answered = attempt
    context.answer = fetched = ProviderAnswer(answer, attempt, candidate, presentation)
    return fetched
