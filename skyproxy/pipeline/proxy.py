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
from skyproxy.formats.openai.stream_watch import StreamWatch
from skyproxy.http.common.headers import Fields
from skyproxy.pipeline.coalescing import Errand, Sharing
from skyproxy.pipeline.context import Journey
from skyproxy.pipeline.relay import Client, relay
from skyproxy.pipeline.request import Request, UpstreamBody, parse
from skyproxy.pipeline.router import Candidate, Router
from skyproxy.telemetry.refusals import Complaint, Complaints
from skyproxy.upstream.dispatch.dispatcher import Asker, Plan
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
        asker: Asker,
        sharing: Sharing,
        completed: Callable[[Journey], None],
    ) -> None:
        self._runtime = runtime
        self._asker = asker
        self._sharing = sharing
        self._clock = clock
        self._completed = completed
        self._complaints = Complaints(clock.seconds)
        self._journeys: set[Journey] = set()
        self._draining = self._leaving = False

    def serve(self, request: Request, client: Client) -> Deferred[None]:
        """Answer *request* on *client*.

        :return: fires with None when the answer is over, however it went; it does not fail. Cancel it when the client
            has left.
        """
        journey = Journey(request, client, self._clock.seconds())
        self._journeys.add(journey)
        journey.done = done = Deferred.fromCoroutine(self._journey(journey))
        return done

    @property
    def leaving(self) -> bool:
        """Whether whoever chooses among servers is to choose another."""
        return self._leaving

    async def _journey(self, journey: Journey) -> None:
        error: SkyproxyError | None = None
        gone = False
        try:
            await self._carry(journey)
        except CancelledError as left:
            forget(left)
            error = journey.ended_by
            gone = error is None
        except SkyproxyError as raised:
            error = raised
        except Exception:
            _log.failure("Request failed by a fault of skyproxy", request_id=journey.request.request_id)
            error = InternalError("skyproxy failed on this request; its log tells more under the request id.")
        self._journeys.discard(journey)
        if error is not None:
            forget(error)
            refuse(journey.client, error, secrets=secrets_of(journey.candidates))
        journey.over(self._clock.seconds(), error, gone=gone)
        if journey.outlived_by is None:
            self._completed(journey)
        else:
            # What the answer takes is known, and counted, when it is over.
            journey.outlived_by.addCallback(lambda _: self._completed(journey))

    async def _carry(self, journey: Journey) -> None:
        if self._draining:
            raise ShuttingDown("skyproxy is shutting down.", retry_after=1.0)
        runtime = self._runtime()
        request = journey.request
        parsed = parse(request, runtime.router.default_model)
        journey.model, journey.streaming = parsed.model, parsed.streaming
        journey.candidates = candidates = runtime.router.resolve(parsed.model)
        journey.candidate = candidates[0]
        first = parsed.body_for(candidates[0])
        plans = [_plan(runtime, journey, candidates[0], first, self._refused)]
        for candidate in candidates[1:]:
            plans.append(_plan(runtime, journey, candidate, parsed.body_for(candidate), self._refused))
        wish = self._sharing.wish(request, parsed.model, candidates[0], first)
        if wish is None:
            await self._bring(journey, await self._asker.ask(plans, journey.asked), journey.client)
            return
        errand = Errand(
            ask=lambda: self._asker.ask(plans, journey.asked),
            bring=lambda outcome, client: self._bring(journey, outcome, client),
            ended_by=lambda: journey.ended_by,
            outlived=journey.outlived,
        )
        journey.shared = await self._sharing.serve(wish, journey.client, errand)

    async def _bring(self, journey: Journey, outcome: AskOutcome, client: Client) -> None:
        """Bring what a provider answered to *client*."""
        journey.candidate = candidate = journey.candidates[outcome.plan]
        with outcome.answer as answer:
            journey.answer = answer
            if answer.is_event_stream:
                journey.watch = StreamWatch()
            model = journey.model if journey.request.endpoint.in_json else None
            journey.verdict = await relay(
                answer,
                client,
                model,
                watch=journey.watch,
                strip_reasoning=candidate.strip_reasoning,
                # A good answer that comes whole is not searched for them.
                secrets=secrets_of([candidate]) if answer.status >= 400 or answer.is_event_stream else (),
            )

    def _refused(self, request_id: str, candidate: Candidate, status: int, kind: ErrorKind, said: str) -> None:
        """Tell what a provider said that did not want the request, whoever answers it in the end."""
        complaint = Complaint(request_id, candidate.provider.name, candidate.model, status, kind, said)
        self._complaints.heard(complaint, masker(secrets_of([candidate])))

    # The end of the process.

    def leave(self) -> None:
        """Ask to be sent no more, and serve on."""
        self._leaving = True

    def drain(self) -> Deferred[None]:
        """Refuse what comes from now on.

        :return: fires when all that was under way is over.
        """
        self._draining = self._leaving = True
        waiting = [journey.done for journey in self._journeys if journey.done is not None]
        return DeferredList(waiting).addCallback(lambda _: None)

    def end_all(self, error: SkyproxyError) -> None:
        """Give up all that is under way: each client gets *error*."""
        for journey in list(self._journeys):
            try:
                journey.end(error)
            except Exception:
                _log.failure("A request could not be ended", request_id=journey.request.request_id)


def _plan(
    runtime: Runtime,
    journey: Journey,
    candidate: Candidate,
    body: UpstreamBody,
    refused: Callable[[str, Candidate, int, ErrorKind, str], None],
) -> Plan:
    """The request as *candidate*'s provider shall get it."""
    request, provider = journey.request, candidate.provider.name
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
            default_timeout=candidate.stream_timeout if journey.streaming else candidate.whole_timeout,
            idle_timeout=candidate.idle_timeout,
            queue_timeout=candidate.queue_timeout,
            priority=candidate.priority,
            sent=partial(journey.note_sent, candidate),
            refused=partial(refused, request.request_id, candidate),
            model=candidate.model,
            named=candidate.settings is not None or candidate is not journey.candidates[0],
            request_id=request.request_id,
            added=body.added,
            without=body.without if body.added else None,
        ),
        kind=Kind.JSON if request.endpoint.in_json else Kind.ANYTHING,
        first_token_timeout=candidate.first_token_timeout if journey.streaming else None,
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
