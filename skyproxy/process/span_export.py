"""The exporter of spans, made of the configuration."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from skyproxy import __version__
from skyproxy.config import TelemetrySettings
from skyproxy.http.client.trust import Roots
from skyproxy.telemetry.tracing.traced import TraceCounts
from skyproxy.telemetry.tracing.tracing import Tracing

if TYPE_CHECKING:
    from skyproxy.telemetry.tracing.exporter import SpanExporter

_log = Logger()


def exporter_of(
    settings: TelemetrySettings, counts: TraceCounts, boot: str, roots: Roots, reactor: Any
) -> SpanExporter:
    """What sends spans as *settings* say.

    :param boot: distinguishes this process from others.
    :param roots: vouch for an https receiver.
    """
    # What sends is not imported where nothing is sent.
    from skyproxy.telemetry.tracing.exporter import SpanExporter
    from skyproxy.telemetry.tracing.posting import Receiver

    assert settings.endpoint is not None
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    resource = {
        "service.name": settings.service_name,
        "service.version": __version__,
        "service.instance.id": f"{boot}-{os.getpid()}",
    }

    def trouble(problem: str) -> None:
        reactor.callFromThread(
            _log.warn,
            "Spans cannot be sent; requests go on, and what is lost is counted in /metrics",
            endpoint=settings.endpoint,
            problem=problem,
        )

    return SpanExporter(Receiver(settings.endpoint, headers, roots.context), resource, counts, trouble)


def stop_tracing(tracing: Tracing, reactor: Any, patience: float) -> Deferred[Any] | None:
    """Have the spans sent that wait.

    :param patience: seconds that this may take.
    :return: fires when that is done, or was given up; None: there is nothing to send.
    """
    if not tracing.on:
        return None
    stopped: Deferred[Any] = Deferred()

    def done() -> None:
        if not stopped.called:
            stopped.callback(None)

    def from_thread() -> None:
        reactor.callFromThread(done)

    tracing.stop(from_thread)
    return stopped.addTimeout(patience, reactor).addErrback(_given_up)


def _given_up(failure: Any) -> None:
    failure.trap(TimeoutError)
