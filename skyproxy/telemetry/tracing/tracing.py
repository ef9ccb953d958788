"""Whether requests are traced, and the beginning of each one's trace."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Protocol

from skyproxy.config import Config, TelemetrySettings
from skyproxy.telemetry.tracing.context import TraceContext, parent_of
from skyproxy.telemetry.tracing.conventions import Peer, peer_of
from skyproxy.telemetry.tracing.traced import TraceCounts, Traced

_IDS = 1 << 64


class Exporter(Protocol):
    """See :class:`~skyproxy.telemetry.tracing.exporter.SpanExporter`."""

    def add(self, traced: Traced, peers: Mapping[str, Peer]) -> None: ...
    def start(self) -> None: ...
    def stop(self, done: Callable[[], None]) -> None: ...


class Tracing:
    """Follows the configuration. While nothing is traced, it costs a request nothing.

    :param make_exporter: makes what sends spans as the settings say; it counts on the counts given.
    :param random: gives that many random bytes.
    :ivar on: whether requests are traced.
    :ivar counts: of all exporters so far.
    """

    def __init__(
        self,
        make_exporter: Callable[[TelemetrySettings, TraceCounts], Exporter],
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._make_exporter = make_exporter
        self._random = random
        self._settings = TelemetrySettings()
        self._exporter: Exporter | None = None
        self._peers: Mapping[str, Peer] = {}
        self._started = False
        self.on = False
        self.counts = TraceCounts()

    def start(self, config: Config) -> None:
        """Trace as *config* says. Threads start from now on: a process that forks does so before."""
        self._started = True
        self.use(config)

    def stop(self, done: Callable[[], None]) -> None:
        """Send what there is, and end the thread.

        :param done: is called, perhaps in the thread, when that is done.
        """
        exporter, self._exporter, self.on = self._exporter, None, False
        if exporter is None:
            done()
        else:
            exporter.stop(done)

    def use(self, config: Config) -> None:
        """Trace as *config* says from now on; what was traced before is sent as was said before."""
        self._peers = {name: peer_of(provider) for name, provider in config.providers.items()}
        settings = config.proxy.telemetry
        if settings == self._settings or not self._started:
            return
        before, self._settings = self._exporter, settings
        self.on = settings.endpoint is not None
        self._exporter = self._make_exporter(settings, self.counts) if self.on else None
        if self._exporter is not None:
            self._exporter.start()
        if before is not None:
            before.stop(_ignore)

    def begin(self, traceparent: bytes | None, tracestate: bytes | None) -> TraceContext:
        """The trace of a request that names this parent."""
        settings, parent = self._settings, parent_of(traceparent, tracestate)
        span_id = self._span_id()
        if parent is not None:
            return TraceContext(
                parent.trace_id, span_id, parent.span_id, parent.sampled, parent.state, settings.propagate,
                self._span_id,
            )  # fmt: skip
        trace_id = self._random(16).hex()
        sampled = int(trace_id[16:], 16) < settings.sample * _IDS
        return TraceContext(trace_id, span_id, "", sampled, b"", settings.propagate, self._span_id)

    def ended(self, traced: Traced) -> None:
        """Have a request that is over sent, if its trace is recorded."""
        if self._exporter is not None and traced.context.sampled:
            self._exporter.add(traced, self._peers)

    def _span_id(self) -> str:
        return self._random(8).hex()


def _ignore() -> None:
    """Nobody waits for it."""
