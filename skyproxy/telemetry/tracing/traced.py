"""A request that is over, as its spans are made from it, and the counts of such requests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from skyproxy.telemetry.records import RequestRecord
from skyproxy.telemetry.requests.facts import Trace
from skyproxy.telemetry.tracing.context import TraceContext


class Traced(NamedTuple):
    """What is there anyway when a request is over.

    :ivar at: when it was over, seconds since the epoch.
    :ivar started: when it came, on the clock of *attempts*.
    """

    context: TraceContext
    record: RequestRecord
    at: float
    started: float
    attempts: Trace


LOSSES = ("queue_full", "unreachable", "rejected", "stopped", "fault")
"""Why spans are lost: there were too many, nobody took them in time, the receiver does not take such, the process has
stopped, or skyproxy could not write them."""


@dataclass(slots=True)
class TraceCounts:
    """Requests whose spans were sent, and those whose spans were not.

    :ivar exported: that the receiver has taken.
    :ivar lost: by reason, one of :data:`LOSSES`.
    :ivar rejected_spans: of those exported, single spans that the receiver says it has not taken.
    """

    exported: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    rejected_spans: int = 0
