"""The journey of one request, from the client's bytes to the end of its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from math import ceil

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from skyproxy.config import Config
from skyproxy.errors import ErrorKind, InternalError, ShuttingDown, SkyproxyError, forget
from skyproxy.formats.error_body import masked, masker
from skyproxy.formats.openai.stream_inspector import StreamInspector
from skyproxy.http.common.headers import Fields
from skyproxy.pipeline.coalescing import Coalescing, Errand
from skyproxy.pipeline.context import RequestContext
from skyproxy.pipeline.relay import Client, relay
from skyproxy.pipeline.request import Request, UpstreamBody, parse
from skyproxy.pipeline.router import Candidate, Router
from skyproxy.telemetry.refusals import Refusal, Refusals
from skyproxy.upstream.dispatch.dispatcher import Dispatcher, Plan
from skyproxy.upstream.dispatch.dispatcher import Outcome as AskOutcome
from skyproxy.upstream.exchange.first_content import Kind
from skyproxy.upstream.exchange.provider import Call, Provider

_log = Logger()


@dataclass(frozen=True)
class Runtime:
    """What a configuration became. A reload builds another beside it."""

    config: Config
    router: Router
    providers: Mapping[str, Provider]


class Proxy:
    """Carries requests to providers and answers to clients.

    :param runtime: gives the current :class:`Runtime`; asked once per request, so that a reload never changes the
        ground under one.
    :param clock: for durations.
    :param asker: asks the providers.
    :param sharing: knows of answers that will do for others.
    :param completed: told of each request, once, when it is over.
    """

    def __init__(
        self,
        runtime: Callable[[], Runtime],
        clock: IReactorTime,
        dispatcher: Dispatcher,
        coalescing: Coalescing,
        completed: Callable[[RequestContext], None],
    ) -> None:
        self._runtime = runtime
        self._dispatcher = dispatcher
        self._coalescing = coalescing
        self._clock = clock
        self._completed = completed
        self._refusals = Refusals(clock.seconds)
        self._contexts: set[RequestContext] = set()
        self._draining = self._leaving = False

    def serve(self, request: Request, client: Client) -> Deferred[None]:
        """Answer *request* on *client*.

        :return: fires with None when the answer is over, however it went; it does not fail. Cancel it when the client
            has left.
        """
        context = RequestContext(request, client, self._clock.seconds())
        self._contexts.add(context)
        context.done = done = Deferred.fromCoroutine(self._context(context))
        return done

    @property
    def leaving(self) -> bool:
        """Whether whoever chooses among servers is to choose another."""
        return self._leaving

    async def _context(self, context: RequestContext) -> None:
        error: SkyproxyError | None = None
        gone = False
        try:
            await self._carry(context)
        except CancelledError as left:
            forget(left)
            error = context.ended_by
            gone = error is None
        except SkyproxyError as raised:
            error = raised
        except Exception:
            _log.failure("Request failed by a fault of skyproxy", request_id=context.request.request_id)
            error = InternalError("skyproxy failed on this request; its log tells more under the request id.")
        self._contexts.discard(context)
        if error is not None:
            forget(error)
            refuse(context.client, error, secrets=secrets_of(context.candidates))
        context.over(self._clock.seconds(), error, gone=gone)
        if context.outlived_by is None:
            self._completed(context)
        else:
            # What the answer takes is known, and counted, when it is over.
            context.outlived_by.addCallback(lambda _: self._completed(context))

    async def _carry(self, context: RequestContext) -> None:
        if self._draining:
            raise ShuttingDown("skyproxy is shutting down.", retry_after=1.0)
        runtime = self._runtime()
        request = context.request
        parsed = parse(request, runtime.router.default_model)
        context.model, context.streaming = parsed.model, parsed.streaming
        context.candidates = candidates = runtime.router.resolve(parsed.model)
        context.candidate = candidates[0]
        first = parsed.body_for(candidates[0])
        plans = [_plan(runtime, context, candidates[0], first, self._refused)]
        for candidate in candidates[1:]:
            plans.append(_plan(runtime, context, candidate, parsed.body_for(candidate), self._refused))
        wish = self._coalescing.wish(request, parsed.model, candidates[0], first)
        if wish is None:
            await self._bring(context, await self._dispatcher.ask(plans, context.asked), context.client)
            return
        errand = Errand(
            ask=lambda: self._dispatcher.ask(plans, context.asked),
            bring=lambda outcome, client: self._bring(context, outcome, client),
            ended_by=lambda: context.ended_by,
            outlived=context.outlived,
        )
        context.shared = await self._coalescing.serve(wish, context.client, errand)

    async def _bring(self, context: RequestContext, outcome: AskOutcome, client: Client) -> None:
        """Bring what a provider answered to *client*."""
        context.candidate = candidate = context.candidates[outcome.plan]
        with outcome.answer as answer:
            context.answer = answer
            if answer.is_event_stream:
                context.watch = StreamInspector()
            model = context.model if context.request.endpoint.in_json else None
            context.state = await relay(
                answer,
                client,
                model,
                watch=context.watch,
                strip_reasoning=candidate.strip_reasoning,
                # A good answer that comes whole is not searched for them.
                secrets=secrets_of([candidate]) if answer.status >= 400 or answer.is_event_stream else (),
            )

    def _refused(self, request_id: str, candidate: Candidate, status: int, kind: ErrorKind, said: str) -> None:
        """Tell what a provider said that did not want the request, whoever answers it in the end."""
        complaint = Refusal(request_id, candidate.provider.name, candidate.model, status, kind, said)
        self._refusals.heard(complaint, masker(secrets_of([candidate])))

    # The end of the process.

    def leave(self) -> None:
        """Ask to be sent no more, and serve on."""
        self._leaving = True

    def drain(self) -> Deferred[None]:
        """Refuse what comes from now on.

        :return: fires when all that was under way is over.
        """
        self._draining = self._leaving = True
        waiting = [context.done for context in self._contexts if context.done is not None]
        return DeferredList(waiting).addCallback(lambda _: None)

    def end_all(self, error: SkyproxyError) -> None:
        """Give up all that is under way: each client gets *error*."""
        for context in list(self._contexts):
            try:
                context.end(error)
            except Exception:
                _log.failure("A request could not be ended", request_id=context.request.request_id)


def _plan(
    runtime: Runtime,
    context: RequestContext,
    candidate: Candidate,
    body: UpstreamBody,
    refused: Callable[[str, Candidate, int, ErrorKind, str], None],
) -> Plan:
    """The request as *candidate*'s provider shall get it."""
    request, provider = context.request, candidate.provider.name
    if body.dropped:
        _log.debug(
            "Dropped fields the provider does not know",
            provider=provider,
            fields=body.dropped,
            request_id=request.request_id,
        )
    return Plan(
        provider=runtime.providers[provider],
        call=Call(
            path=request.endpoint.path,
            headers=(
                (b"Content-Type", body.content_type),
                (b"X-Request-Id", request.request_id.encode("ascii")),
                *request.headers,
            ),
            body=body.data,
            default_timeout=candidate.stream_timeout if context.streaming else candidate.whole_timeout,
            idle_timeout=candidate.idle_timeout,
            queue_timeout=candidate.queue_timeout,
            priority=candidate.priority,
            sent=partial(context.note_sent, candidate),
            refused=partial(refused, request.request_id, candidate),
            model=candidate.model,
            named=candidate.settings is not None or candidate is not context.candidates[0],
            request_id=request.request_id,
            added=body.added,
            without=body.without if body.added else None,
        ),
        kind=Kind.JSON if request.endpoint.in_json else Kind.ANYTHING,
        first_token_timeout=candidate.first_token_timeout if context.streaming else None,
        hedge_after=candidate.hedge_after,
        must_be_whole=candidate.strip_reasoning,
    )


def secrets_of(candidates: Iterable[Candidate]) -> list[str]:
    """The keys of the providers of *candidates*, and the like."""
    return [secret for candidate in candidates for secret in candidate.provider.secrets]


def refuse(client: Client, error: SkyproxyError, headers: Fields = (), secrets: Iterable[str] = ()) -> None:
    """Answer with *error*, unless an answer has begun: then relay has cut it.

    :param secrets: what it shall not show, though a provider may have said it.
    """
    if client.started:
        return
    sent = [(b"Content-Type", b"application/json"), *headers]
    if error.retry_after is not None:
        sent.append((b"Retry-After", b"%d" % ceil(error.retry_after)))
    mask = masker(secrets)
    # What a provider reported may have more levels than can be written.
    body = masked(error.as_object(), mask) or masked(SkyproxyError.as_object(error), mask) or b"{}"
    client.answer(error.status, sent, body)
