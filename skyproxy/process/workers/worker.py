"""A worker: it serves requests on the connections that the parent passes to it, and leaves all else to the parent."""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from skyproxy.log.live_lines import LiveLines
from skyproxy.pipeline.changes import EndedByHand
from skyproxy.pipeline.under_way import facts_under_way
from skyproxy.process.child import Child, Resource
from skyproxy.process.collector import spare_the_collector
from skyproxy.process.draining import FLUSH_SECONDS
from skyproxy.process.parts import Parts
from skyproxy.process.service import SkyproxyService
from skyproxy.process.span_export import stop_tracing
from skyproxy.process.workers import messages
from skyproxy.process.workers.flights import decode
from skyproxy.process.workers.news import Found, Known, Seen
from skyproxy.process.workers.protocol import Channel
from skyproxy.process.workers.shared_gate import client_states, spenders
from skyproxy.process.workers.state import CounterKey, WorkerState, provider_counters, provider_state
from skyproxy.process.workers.worker_role import WorkerRole
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.web.metrics.process import ProcessMetrics
from skyproxy.web.observations import MOST_UNDER_WAY

LINES_SECONDS = 0.25
"""Seconds between two looks for lines of the log, while somebody wants them."""

EARLIER_LINES = 40
"""That are told of those that nobody has looked at."""


def children(
    reactor: Any, service: SkyproxyService, role: WorkerRole, say_bye: Callable[[], Deferred[Any]]
) -> list[Child]:
    """The children of *service*, as :func:`skyproxy.process.building.children` has them.

    :param say_bye: tells the parent all that it does not know yet.
    """
    parts = service.parts
    configuration, providers, drain = parts.configuration, parts.providers, parts.drain
    return [
        Resource("log", parts.logging.start, parts.logging.stop),
        Child("costs", parts.ledger.open, lambda: parts.ledger.close(FLUSH_SECONDS)),
        Child(
            "budgets",
            lambda: parts.gate.budgets.use(configuration.current),
            lambda: parts.gate.budgets.store.close(FLUSH_SECONDS),
        ),
        Child("bodies", parts.bodies.open, lambda: parts.bodies.close(FLUSH_SECONDS)),
        Child("parent", stop=say_bye),
        Child("access", parts.access.start, parts.access.stop),
        Child(
            "spans",
            lambda: parts.tracing.start(configuration.current),
            lambda: stop_tracing(parts.tracing, reactor, FLUSH_SECONDS),
        ),
        Child("records", stop=parts.batches.hand_on),
        Child("event loop lag", parts.lag.start, parts.lag.stop),
        Child("demo", stop=parts.demo.stop),
        Resource("caches", parts.stores.start, lambda: parts.stores.close(FLUSH_SECONDS)),
        Child("providers", stop=providers.close),
        Child("last bytes", stop=drain.flush),
        Child("requests under way", stop=lambda: drain.finish(role.flights)),
        Child("idle connections", stop=drain.rest),
        Resource("endpoints", parts.endpoints.listen, parts.endpoints.close),
        Child("garbage collector", spare_the_collector),
    ]


class Worker:
    """Does what the parent tells."""

    def __init__(self, reactor: Any, channel: Channel, service: SkyproxyService, role: WorkerRole) -> None:
        self._reactor = reactor
        self._channel = channel
        self._service = service
        self._parts: Parts = service.parts
        self._role = role
        assert role.own is not None
        self._sources = role.own
        self._lines: LiveLines = self._parts.logging.live_lines()
        self._telling: Any = None
        self._process = ProcessMetrics()

    def handle(self, message: Any) -> Any:
        """Do what *message* says."""
        if isinstance(message, bytes):
            self._role.flights.heard(decode(message))
            return None
        parts = self._parts
        match message:
            case messages.Refresh():
                return self._refresh(message)
            case messages.Adopt():
                self.adopt(message.config, message.changes)
            case messages.Clients():
                return parts.access.renew()
            case messages.Reopen():
                parts.logging.reopen()
            case messages.Granted():
                self._role.holding.heard(message)
            case messages.Lines():
                self._want_lines(message.wanted)
            case messages.Leave():
                parts.proxy.leave()
            case messages.Stop():
                # A second call would not wait for what is under way.
                if self._service.running:
                    parts.drain.outlive(message.idle_seconds)
                    self._service.terminate()
            case messages.Hurry():
                parts.drain.limit(message.seconds)
            case _:
                self._act(message)
        return None

    def _act(self, message: Any) -> None:
        """Do what somebody has asked for."""
        match message:
            case messages.PutBack():
                self._provider(message.provider).guards.put_back(message.key)
            case messages.CloseBreaker():
                self._close_breaker(message)
            case Found() | Seen() | Known():
                self._role.telling.take(message)
            case messages.SpentElsewhere():
                self._look_at_spending()
            case messages.MarkMet() | messages.MarkFalse():
                self._role.marks.heard(message)
            case messages.Purge():
                self._role.forget_answers()
            case messages.Logins():
                self._role.known_logins.kept = dict(message.kept)
            case messages.End():
                for each in list(self._parts.proxy.under_way):
                    if each.request.request_id == message.request_id:
                        each.end(EndedByHand(message.text))

    def _look_at_spending(self) -> None:
        store = self._parts.gate.budgets.store
        if store.is_open:
            store.with_file(lambda file: file.look()).addErrback(lambda _: None)
        else:
            # It will be read when it is opened.
            store.turns.begin(store.turns.parts)

    def say_bye(self) -> Deferred[Any]:
        """Tell the parent all that it does not know yet."""
        self._parts.batches.hand_on()
        self._role.sent.flush()
        told = self._channel.ask(messages.Bye(self.state()))
        return told.addTimeout(FLUSH_SECONDS, self._reactor).addErrback(lambda _: None)

    def adopt(self, config: Any, changes: Any) -> None:
        """Serve as *config* and *changes* say."""
        self._parts.access.take(config, lambda config: self._parts.providers.build(config, changes))
        self._parts.configuration.follow(config)

    def _provider(self, name: str) -> Provider:
        return self._parts.providers.runtime().providers[name]

    def _close_breaker(self, message: messages.CloseBreaker) -> None:
        provider = self._provider(message.provider)
        if message.model is None:
            if provider.guards.breaker is not None:
                provider.guards.breaker.close()
            return
        for each in provider.deployments:
            if each.model == message.model and each.breaker is not None:
                each.breaker.close()

    def _refresh(self, wanted: messages.Refresh) -> Any:
        self._parts.batches.hand_on()
        self._role.sent.flush()
        most = None if wanted.every else MOST_UNDER_WAY
        if not wanted.files:
            return self.state(most)
        written: list[Deferred[Any]] = [self._parts.ledger.flush(), self._parts.bodies.flush()]
        return DeferredList(written, consumeErrors=True).addCallback(lambda _: self.state(most))

    def state(self, most: int | None = MOST_UNDER_WAY) -> WorkerState:
        """How the worker is.

        :param most: requests under way, of which is told; None: of all.
        """
        parts, sources = self._parts, self._sources
        providers = parts.providers.runtime().providers
        budget, lag = sources.budget.statistics(), sources.lag
        counters: dict[CounterKey, float] = provider_counters(providers.values())
        counters |= {("cache", name): count for name, count in sources.statistics.cache.items()}
        counters |= {("evicted", name): store.statistics.evicted for name, store in sources.stores.items()}
        counters |= {("dropped", name): store.statistics.dropped for name, store in sources.stores.items()}
        counters |= {("door", reason): count for reason, count in sources.refused_doors.items()}
        counters |= {("traces", "lost", reason): count for reason, count in sources.traces.lost.items()}
        for each in parts.gate.limits():
            counters |= {("limited", each.name, limit): count for limit, count in each.refused.items()}
        counters |= {("spent", each.owner.key): each.refused for each in parts.gate.budgets.accounts() if each.refused}
        counters["traces", "exported"] = sources.traces.exported
        counters["traces", "rejected"] = sources.traces.rejected_spans
        counters["budget", "requests"] = budget.requests
        counters["budget", "retries"] = budget.retries
        counters["budget", "refused"] = budget.refused
        counters["log", "dropped"] = sources.log_dropped()
        counters["lag", "sum"] = lag.histogram.sum
        counters |= {("lag", str(index)): count for index, count in enumerate(lag.histogram.counts)}
        now, wall = self._reactor.seconds(), time()
        oldest = sorted(parts.proxy.under_way, key=lambda context: context.started)[:most]
        process = {sample.name: sample.value for metric in self._process.collect() for sample in metric.samples}
        counters["process", "cpu"] = process.pop("process_cpu_seconds_total", 0.0)
        return WorkerState(
            counters,
            tuple(facts_under_way(each, now, wall) for each in oldest),
            len(parts.proxy.under_way),
            parts.proxy.unfinished,
            lag.summary(),
            budget.available,
            {name: provider_state(each) for name, each in providers.items()},
            {name: (store.statistics.entries, store.statistics.bytes) for name, store in sources.stores.items()},
            process,
            tuple(client_states(parts.gate)),
            tuple(spenders(parts.gate)),
        )

    def _want_lines(self, wanted: bool) -> None:
        if wanted and self._telling is None:
            self._lines.skip(EARLIER_LINES)
            self._telling = self._reactor.callLater(LINES_SECONDS, self._tell_lines)
        elif not wanted and self._telling is not None:
            self._telling.cancel()
            self._telling = None

    def _tell_lines(self) -> None:
        self._telling = self._reactor.callLater(LINES_SECONDS, self._tell_lines)
        missed, lines = self._lines.take()
        if lines:
            self._channel.tell(messages.Logged(lines, missed))
