"""What the last requests tell about one of them: the figures of its advice."""

from __future__ import annotations

from skyproxy.telemetry.requests.conclusion import NO_HISTORY, History
from skyproxy.telemetry.requests.facts import Facts
from skyproxy.telemetry.requests.ring import RequestRing
from skyproxy.util.percentile import percentile

_ENOUGH = 10
"""Times from which on a percentile says something."""


def history_of(facts: Facts, ring: RequestRing) -> History:
    """What there is to tell of the request of *facts*; nothing if it is under way, or all went the plain way."""
    if facts.outcome is None or not (facts.steps or facts.cache or facts.outcome == "failed"):
        return NO_HISTORY
    late = next((facts.deployments[step.candidate] for step in facts.steps if step.code == "first_token_timeout"), None)
    of_late: list[float] = []
    of_first: list[float] = []
    seconds: list[float] = []
    costs: list[float] = []
    hedges = lost = cuts = 0
    for _, (record, _, started, trace, _, _) in ring.kept():
        first, answered, outcome = record.time_to_first_byte, trace.answered, record.outcome
        if outcome == "failed" and record.provider == facts.provider and answered is not None:
            cuts += 1
        if outcome != "ok" or answered is None or first is None:
            continue
        if record.stream and answered.sent_at is not None:
            own = first - (answered.sent_at - started)
            if late is not None and (record.provider, record.upstream_model) == late:
                of_late.append(own)
            if record.slot == facts.slot and answered.candidate == 0:
                of_first.append(own)
        if record.slot != facts.slot:
            continue
        seconds.append(record.latency)
        if record.cost is not None:
            costs.append(record.cost)
        if any(step.kind == "hedge" for step in trace.steps):
            hedges += 1
            lost += answered.candidate == 0
    return History(
        first_token_p95=percentile(sorted(of_late), 95) if len(of_late) >= _ENOUGH else None,
        hedges=hedges,
        lost=lost,
        first_token_p90=percentile(sorted(of_first), 90) if len(of_first) >= _ENOUGH else None,
        cuts=cuts,
        usual_seconds=percentile(sorted(seconds), 50),
        usual_cost=percentile(sorted(costs), 50),
    )
