"""A snapshot of how all is, read from the parts of the process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from skyproxy.access.report import MOST_AT_A_GLANCE, budgets
from skyproxy.config.files import ENV_FILE
from skyproxy.config.hosts import is_loopback
from skyproxy.pipeline.changes import Change, Pauses, pauses_of, profile_of
from skyproxy.pipeline.context import RequestContext
from skyproxy.pipeline.proxy import Runtime
from skyproxy.pipeline.since import Since
from skyproxy.pipeline.under_way import facts_under_way
from skyproxy.telemetry.requests.facts import Facts
from skyproxy.telemetry.requests.ring import RequestRing
from skyproxy.telemetry.state import thresholds as limits
from skyproxy.telemetry.state.samples import KEY_INVALID, UNREACHED, Sample, Samples, Word
from skyproxy.telemetry.state.slots import cost_hour
from skyproxy.telemetry.state.snapshot import (
    BreakerState,
    BudgetState,
    ByHand,
    DeploymentState,
    KeyState,
    ProviderState,
    SlotState,
    Snapshot,
)
from skyproxy.telemetry.tallies import Tally, Times
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.breaker import Breaker
from skyproxy.upstream.guards.deployments import Deployment
from skyproxy.web.figures import Sources

_QUEUE = frozenset({"backlog_full", "queue_timeout"})


@dataclass(frozen=True, slots=True)
class Observed:
    """What is looked at.

    :ivar under_way: the requests that are not over.
    :ivar url: of the API.
    :ivar seconds: the time, on the clock of requests.
    :ivar wall: the time of day, seconds since the epoch.
    :ivar facts: tells what is known of a request under way, at a time on the clock and of the day.
    """

    sources: Sources
    ring: RequestRing
    under_way: Callable[[], Collection[RequestContext]]
    runtime: Callable[[], Runtime]
    url: Callable[[], str]
    seconds: Callable[[], float]
    wall: Callable[[], float]
    facts: Callable[[Any, float, float], Facts] = facts_under_way


def snapshot_of(observed: Observed, samples: Samples) -> Snapshot:
    """How all is now. What is not counted yet is counted before."""
    sources, runtime, now = observed.sources, observed.runtime(), observed.wall()
    sources.refresh()
    statistics = sources.statistics
    by_slot: defaultdict[str, list[Sample]] = defaultdict(list)
    words: dict[tuple[str, str], Word] = {}
    refused = 0
    unknown: list[Sample] = []
    answered = False
    everything = list(samples.all())
    for each in everything:
        if each.slot is not None:
            by_slot[each.slot].append(each)
        for word in each.words:
            if word.at >= runtime.since.providers.get(word.provider, 0.0):
                words[word[:2]] = word
        if each.good:
            answered = True
        elif each.code == "model_not_found" and each.provider is None and now - each.at <= limits.TROUBLE_SECONDS:
            unknown.append(each)
            answered = False
        if each.good is False:
            refused += each.code in _QUEUE and now - each.at <= limits.REFUSED_SECONDS
    if unknown and answered and now - unknown[-1].at > limits.REFUSED_SECONDS:
        # Somebody has mended it.
        unknown = []
    first = everything[0] if everything else None
    since = first.at - first.seconds if first is not None and first.number > 1 else None
    workers = sources.workers()
    slots = tuple(_slot(runtime, name, by_slot.get(name, ()), since) for name in runtime.config.model_slots)
    needed = {provider for slot in slots for provider, _ in slot.candidates}
    return Snapshot(
        at=now,
        uptime=statistics.now() - statistics.since,
        url=observed.url(),
        demo=runtime.config.is_demo,
        reloaded=sources.reloads.successful,
        lag_p99=sources.lag.summary().p99,
        log_lost=sources.log_dropped(),
        requests=observed.ring.total if not everything or everything[-1].at >= runtime.since.configured else 0,
        under_way=sources.under_way(),
        slots=slots,
        providers=tuple(
            _provider(each, sources, runtime, each.config.name in needed) for each in runtime.providers.values()
        ),
        words=_standing(words, runtime.since),
        refused=refused,
        unknown=len(unknown),
        unknown_said=unknown[-1].text if unknown else "",
        unknown_id=unknown[-1].request_id if unknown else "",
        cost_hour=cost_hour(everything, now, since),
        profile=profile_of(runtime.changes),
        profiles=tuple(runtime.config.profiles),
        changes=len(runtime.changes),
        change_ids=tuple(each.action for each in runtime.changes),
        budgets=tuple(_budget(each) for each in budgets(sources.gate, MOST_AT_A_GLANCE) if each["used"] is not None),
        unwritable=sources.gate.budgets.store.trouble.reason or "",
        workers=len(workers),
        missing=sum(each.missing >= limits.MISSING_SECONDS for each in workers),
        alone=sources.leased() is False,
        waits=runtime.config.proxy.shared_down == "stop",
        readings=sum(sources.reloads.counts.values()),
    )


def _standing(words: dict[tuple[str, str], Word], since: Since) -> dict[tuple[str, str], Word]:
    """Those of *words* that nothing has shown to be no longer so: whoever answers can be reached, and takes the key."""
    answered: dict[str, float] = {}
    for word in words.values():
        if not word.code:
            answered[word.provider] = max(word.at, answered.get(word.provider, 0.0))

    def stands(word: Word) -> bool:
        if word.code in UNREACHED:
            return word.at >= max(answered.get(word.provider, 0.0), since.reached(word.provider))
        if word.code == KEY_INVALID:
            return word.at >= max(answered.get(word.provider, 0.0), since.welcome(word.provider))
        return True

    return {key: word for key, word in words.items() if stands(word)}


def _budget(each: dict[str, Any]) -> BudgetState:
    name = f"{each['kind']} {each['name']}" if each["name"] else "the purse"
    values = (each[key] for key in ("spent", "amount", "currency", "per", "used", "until", "on_budget"))
    return BudgetState(name, *values)


def _slot(runtime: Runtime, name: str, samples: Iterable[Sample], since: float | None) -> SlotState:
    candidates, pauses = runtime.router.configured(name), pauses_of(runtime.changes)
    of_candidates = [pauses.of(each.provider.name, each.model) for each in candidates]
    paused = pauses.slots.get(name) or (of_candidates[0] if all(of_candidates) else None)
    changed = [each for each in runtime.changes if any(s.path[:2] == ("model_slots", name) for s in each.settings)]
    return SlotState(
        name,
        tuple((each.provider.name, each.model) for each in candidates),
        candidates[0].priority == "background",
        tuple(samples),
        _by_hand(paused),
        _by_hand(changed[-1] if changed else None),
        since,
        runtime.since.slots.get(name, 0.0),
    )


def _by_hand(change: Change | None) -> ByHand | None:
    return None if change is None else ByHand(change.action, change.by, change.at)


def _provider(provider: Provider, sources: Sources, runtime: Runtime, needed: bool) -> ProviderState:
    changes = [each for each in runtime.changes if each.target.provider == provider.config.name]
    pauses = pauses_of(changes)
    aside = {each.target.key: each for each in changes if each.kind == "aside"}
    config, guards, limiter, pool = provider.config, provider.guards, provider.limits(), provider.connections()
    places = {each.variable: each.place for each in config.api_keys}
    return ProviderState(
        name=config.name,
        local=is_loopback(urlsplit(config.base_url).hostname or ""),
        key_missing=config.key_missing,
        in_use=limiter.in_use,
        limit=limiter.max_concurrent,
        waiting=limiter.queued + sum(each.waiting for each in provider.deployments),
        max_pending=limiter.max_pending,
        connections={"idle": pool.idle, "busy": pool.busy, "connecting": pool.connecting},
        breaker=_breaker(guards.breaker),
        keys=tuple(
            KeyState(
                each.variable,
                each.busy,
                each.resting,
                each.rejected,
                each.requests,
                _by_hand(aside.get(each.variable)),
                places.get(each.variable, ENV_FILE),
            )
            for each in (() if guards.keys is None else guards.keys.statistics())
        ),
        deployments=tuple(_deployments(provider, sources, pauses)),
        needed=needed,
        paused=_by_hand(pauses.providers.get(config.name)),
        limit_by_hand=_by_hand(next((each for each in changes if each.settings), None)),
        since=runtime.since.providers.get(config.name, 0.0),
    )


def _deployments(provider: Provider, sources: Sources, pauses: Pauses) -> Iterable[DeploymentState]:
    statistics, name = sources.statistics, provider.config.name
    counted = statistics.deployments(name)
    for each in provider.deployments:
        paused = pauses.deployments.get((name, each.model))
        if each.named or paused is not None:
            state = _deployment(each, *(counted.get(each.model) or (Tally(), Times())), statistics.now())
            yield state._replace(paused=_by_hand(paused))


def _deployment(deployment: Deployment, tally: Tally, times: Times, now: float) -> DeploymentState:
    first, outcomes = times.first_token.summary(now), tally.outcomes
    marks = [guard.mark for guard in deployment.guards.values() if guard.mark is not None]
    return DeploymentState(
        model=deployment.model,
        breaker=_breaker(deployment.breaker),
        rests={key: guard.rest for key, guard in deployment.guards.items()},
        at_once=min(marks, default=None),
        first_token_p50=first.p50,
        first_token_p95=first.p95,
        answered=outcomes.get("ok", 0),
        failed=outcomes.get("failed", 0) + outcomes.get("upstream_error", 0) + tally.given_up,
    )


def _breaker(breaker: Breaker | None) -> BreakerState | None:
    if breaker is None:
        return None
    told = breaker.statistics()
    return BreakerState(told.state, told.retry_in, told.cause)
