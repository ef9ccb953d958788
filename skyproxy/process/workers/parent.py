"""The parent of several workers.

::

    clients ── the parent accepts ──(descriptors)──▶ workers ──▶ providers
                      ▲ │
         requests that are over, figures │ configuration, actions
                      │ ▼
                    workers

It listens, and gives each connection to the worker that has the fewest; it serves no request itself. Workers send it
the requests that are over, which it keeps and counts as a process alone does: so there is one page, one ``/metrics``
and one admin socket for all, whichever worker is asked, and nothing that a worker has counted ends with it. Figures of
the moment are asked of the workers when somebody wants them. Whatever changes the configuration happens in the parent,
and is told to all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from skyproxy.config import Config
from skyproxy.http import Wire
from skyproxy.log.logging import Logging
from skyproxy.process.admin import AdminEndpoint
from skyproxy.process.announcement import announce
from skyproxy.process.child import Child, Resource
from skyproxy.process.collector import spare_the_collector
from skyproxy.process.draining import FLUSH_SECONDS, IDLE_SECONDS
from skyproxy.process.parts import Parts, make_parts
from skyproxy.process.places import NOWHERE, Places
from skyproxy.process.service import SkyproxyService
from skyproxy.process.signals import Signals
from skyproxy.process.systemd import Notifier
from skyproxy.process.workers import messages
from skyproxy.process.workers.crew import Crew
from skyproxy.process.workers.parent_role import ParentRole

STATE_SECONDS = 1.0
"""Seconds between two looks at the workers while nobody looks: what one has counted since is lost if it is killed."""

WATCHED_SECONDS = 0.25
"""The same while somebody watches."""

LONGER_SECONDS = 10.0
"""Seconds that a worker may take to end, beside its drain_timeout."""


LATE_SECONDS = 30.0
"""Seconds after which a worker that does not serve yet is told of."""

_log = Logger()


class ParentService(SkyproxyService):
    """The life of the parent.

    :ivar crew: the workers; set when they are known.
    """

    crew: Crew

    def terminate(self) -> None:
        """Have all stopped; at the second call, do not wait for what is under way."""
        if not self.running and not self.handed_over:
            self.crew.tell(messages.Hurry(0.0))
            # One that hangs does not hear that.
            self._reactor.callLater(LONGER_SECONDS, self.crew.kill_all)
        super().terminate()

    def terminate_within(self, seconds: float) -> None:
        self.crew.tell(messages.Hurry(seconds))
        super().terminate_within(seconds)


def build_parent(
    reactor: Any,
    config: Config,
    load: Callable[..., Config],
    logging: Logging,
    wire: Wire,
    signals: Signals,
    notifier: Notifier,
    runtime: Path | None,
    places: Places,
    workers: int,
    told: Callable[..., messages.Start],
) -> SkyproxyService:
    """The service of a parent; :func:`skyproxy.process.building.build` explains the arguments.

    :param workers: how many.
    :param told: see :class:`ParentRole`.
    """
    role = ParentRole(reactor, workers, told)
    service = ParentService(reactor, make_parts(reactor, config, load, logging, wire, notifier, places, role))
    service.crew = role.crew
    role.lending.providers = lambda: service.parts.providers.runtime().providers
    for child in children(reactor, service, role, signals, runtime):
        child.setServiceParent(service)  # type: ignore[no-untyped-call]
    return service


def children(
    reactor: Any, service: SkyproxyService, role: ParentRole, signals: Signals, runtime: Path | None = None
) -> list[Child]:
    """The children of *service*, as :func:`skyproxy.process.building.children` has them."""
    parts, crew = service.parts, role.crew
    admin = AdminEndpoint(reactor, runtime, lambda token: parts.admin_site(service.terminate, token, service.upgrade))
    configuration, providers, drain = parts.configuration, parts.providers, parts.drain
    looking = Looking(reactor, crew, parts)
    return [
        Resource("log", parts.logging.start, parts.logging.stop),
        Child("admin socket", lambda: parts.notifier.when_serving(admin.listen), admin.close),
        Child("reading", stop=configuration.reloading.end),
        Child("warnings", configuration.warn),
        Child("access", parts.access.start, parts.access.stop),
        Child("costs", parts.ledger.open, lambda: parts.ledger.close(FLUSH_SECONDS)),
        Child(
            "budgets",
            lambda: parts.gate.budgets.use(configuration.current),
            lambda: parts.gate.budgets.store.close(FLUSH_SECONDS),
        ),
        Child("bodies", parts.bodies.open, lambda: parts.bodies.close(FLUSH_SECONDS)),
        Child("event loop lag", parts.lag.start, parts.lag.stop),
        Child("demo", stop=parts.demo.stop),
        Resource("caches", stop=lambda: parts.stores.close(FLUSH_SECONDS)),
        Child("shared limits", parts.shared_limits.start, parts.shared_limits.stop),
        Child("providers", lambda: parts.operations.take(configuration.current), providers.close),
        Child(
            "notices",
            lambda: parts.shared_limits.tell(parts.operations, parts.access),
            parts.shared_limits.tell_no_more,
        ),
        Child("workers", crew.start, lambda: _stop(crew, service)),
        Child("figures", looking.start, looking.stop),
        Child("event streams", stop=parts.streams.close),
        Resource("endpoints", parts.endpoints.listen, parts.endpoints.close),
        Child("readiness", stop=lambda: None if service.handed_over else _leave(crew, drain.leave)),
        Child("configuration", configuration.start, configuration.stop),
        Child("watched files", stop=configuration.stop_watching),
        Child("signals", lambda: signals.serve(reactor, _handlers(service, crew))),
        Child(
            "announcement",
            lambda: announce(providers.runtime(), *parts.endpoints.address(), with_key=parts.access.required),
        ),
        Child(
            "supervisor",
            lambda: crew.ready.addCallback(lambda _: parts.notifier.ready()),
            parts.notifier.stopping,
        ),
        Child("commands", stop=lambda: admin.close() if service.handed_over else None),
        Child("garbage collector", spare_the_collector),
    ]


def _stop(crew: Crew, service: SkyproxyService) -> Deferred[None]:
    idle = IDLE_SECONDS if service.handed_over else 0.0
    return crew.stop(service.config.proxy.drain_timeout + idle + LONGER_SECONDS, idle)


async def _leave(crew: Crew, leave: Callable[[], Any]) -> None:
    crew.leave()
    await leave()


def _handlers(service: SkyproxyService, crew: Crew) -> dict[str, Callable[[], object]]:
    parts = service.parts

    def reopen() -> None:
        parts.logging.reopen()
        crew.tell(messages.Reopen())

    return {
        "SIGTERM": service.terminate,
        "SIGINT": service.terminate,
        "SIGBREAK": service.terminate,
        "SIGHUP": parts.configuration.reload,
        "SIGUSR1": reopen,
        "SIGUSR2": lambda: service.upgrade("the signal SIGUSR2"),
    }


class Looking:
    """Asks the workers how they are, again and again: more often while somebody watches."""

    def __init__(self, reactor: Any, crew: Crew, parts: Parts) -> None:
        self._reactor = reactor
        self._crew = crew
        self._parts = parts
        self._call = LoopingCall(self._look)
        self._call.clock = reactor
        self._turns = 0
        self._begin: dict[int, float] = {}
        """Since when processes begin; of those that were told of, infinity."""

    def start(self) -> None:
        """Begin."""
        self._call.start(WATCHED_SECONDS, now=False)

    def stop(self) -> None:
        """End."""
        if self._call.running:
            self._call.stop()

    def _look(self) -> None:
        self._turns += 1
        second = self._turns % int(STATE_SECONDS / WATCHED_SECONDS) == 0
        if second or len(self._parts.streams):
            self._crew.look()
        if second:
            self._look_at_budgets()
            self._look_at_beginners()

    def _look_at_beginners(self) -> None:
        """Tell, once, of a worker that has begun long ago, and does not serve."""
        now = self._reactor.seconds()
        begin = {each.pid: each.number for each in self._crew.members if each.pid is not None and not each.ready}
        self._begin = {pid: self._begin.get(pid, now) for pid in begin}
        for pid, since in self._begin.items():
            if now - since >= LATE_SECONDS:
                self._begin[pid] = inf
                _log.warn("A worker does not begin to serve", worker=begin[pid], pid=pid, seconds=LATE_SECONDS)

    def _look_at_budgets(self) -> None:
        """Have the parent, which spends nothing, know what the workers have written."""
        budgets = self._parts.gate.budgets
        if any(True for _ in budgets.accounts()):
            written = budgets.store.written()
            if written is not None:
                written.addErrback(lambda _: None)


def told_by(twistd: Any, cwd: Path, text: Path | None, places: Places) -> Callable[..., messages.Start]:
    """What a worker is told that does not change.

    :param twistd: its options.
    :param text: the file for the log's text where there is no terminal.
    """
    names = ("nodaemon", "quiet", "logfile", "syslog", "prefix", "logger")
    options = {name: twistd[name] for name in names if isinstance(twistd.get(name), (str, int, bool))}
    # A worker finds the file of clients by itself: how is nothing that can be sent.
    places = places._replace(clients=NOWHERE.clients)
    return partial(messages.Start, twistd=options, cwd=cwd, text=text, places=places)
