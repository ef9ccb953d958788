"""The objects of JSON that ``/api/now``, ``/api/requests`` and ``/api/events`` give. Each has the version in ``v``.

A member may be added; the version changes when one goes or means something else. Times of day are seconds since the
epoch, others seconds; of a request they count from its arrival. What is not known is null, and never 0.

- *now*: ``sentence`` and ``more`` (each ``code``, ``level``, ``text``, ``advice``, ``about``, ``request_id``, and what
  to ``use`` for which ``slot``), ``slots``, ``providers``, ``under_way`` (rows), ``lag``, ``cost_hour``, ``profile``,
  ``profiles``, ``readings`` of the configuration, ``changes``; what is ``paused`` (or put aside, or set by hand) has
  the ``action``, ``by`` whom and ``since`` when;
- *row*: one request in a list;
- *series*: ``points``, and ``since`` when requests are known, where older ones are no longer kept;
- *request*: a row with ``lines``, ``attempts``, ``advice`` and more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skyproxy.telemetry.requests.conclusion import NO_HISTORY, Conclusion, History, conclusion_of
from skyproxy.telemetry.requests.facts import Facts
from skyproxy.telemetry.requests.ring import MOST_REQUESTS
from skyproxy.telemetry.requests.search import SearchResult
from skyproxy.telemetry.requests.timeline import lines_of, phase
from skyproxy.telemetry.requests.way import way
from skyproxy.telemetry.requests.words import job
from skyproxy.telemetry.state.samples import Sample
from skyproxy.telemetry.state.sentence import Sentence
from skyproxy.telemetry.state.sentences import sentences_of
from skyproxy.telemetry.state.series import Point
from skyproxy.telemetry.state.slots import PACES, WORDS, SlotHealth, speed_text
from skyproxy.telemetry.state.snapshot import BreakerState, ByHand, DeploymentState, ProviderState, SlotState, Snapshot

VERSION = 1

_STRIP = 40
"""Requests of a slot of which each is a mark."""


def row(facts: Facts, conclusion: Conclusion | None = None) -> dict[str, Any]:
    """One request in a list."""
    if conclusion is None:
        conclusion = conclusion_of(facts)
    tokens = facts.tokens
    return {
        "number": facts.number,
        "id": facts.request_id,
        "at": round(facts.arrived, 3),
        "slot": facts.slot,
        "job": job(facts.slot) if facts.slot else None,
        "model": facts.model,
        "endpoint": facts.endpoint,
        "stream": facts.stream,
        "client": facts.client,
        "agent": facts.agent,
        "outcome": facts.outcome,
        "trouble": conclusion.trouble,
        "rescued": conclusion.rescued,
        "sentence": conclusion.sentence,
        "phase": phase(facts) if facts.outcome is None else None,
        "way": way(facts),
        "provider": facts.provider,
        "upstream_model": facts.upstream_model,
        "status": facts.status,
        "error_code": facts.error_code,
        "first_token": _seconds(facts.first_token),
        "first_sentence": _seconds(facts.first_sentence),
        "seconds": _seconds(facts.seconds),
        "queue": _seconds(facts.queue),
        "tokens": None if tokens is None else tokens._asdict(),
        "cost": facts.cost,
        "currency": facts.currency,
        "price_source": facts.price_source,
        "hedge_cost": facts.hedge_cost,
        "cache": facts.cache,
    }


def request(facts: Facts, history: History = NO_HISTORY, follows_after: float | None = None) -> dict[str, Any]:
    """All that is known of one request."""
    conclusion = conclusion_of(facts, history)
    return {
        "v": VERSION,
        **row(facts, conclusion),
        "advice": conclusion.advice,
        "error": facts.error,
        "lines": [{**line._asdict(), "at": _seconds(line.at)} for line in lines_of(facts, follows_after)],
        "attempts": [
            {
                **each._asdict(),
                **{name: _seconds(getattr(each, name)) for name in ("sent", "waited", "first_byte", "ended")},
            }
            for each in facts.attempts
        ],
        "deployments": [f"{provider}:{model}" for provider, model in facts.deployments],
        "key": facts.key,
        "follows": facts.follows,
        "age": _seconds(facts.age),
        "bytes_out": facts.bytes_out,
    }


def requests(found: SearchResult, kept: int) -> dict[str, Any]:
    """A page of requests.

    :param kept: how many there are at all.
    """
    return {
        "v": VERSION,
        "kept": kept,
        "matching": found.matching,
        "counts": found.counts,
        "requests": [row(each) for each in found.requests],
        "next": found.next,
        "slots": found.slots,
        "providers": found.providers,
        "clients": found.clients,
    }


def series(points: Sequence[Point], samples: Sequence[Sample]) -> dict[str, Any]:
    """How requests went over time.

    :param samples: all that are kept.
    """
    return {
        "v": VERSION,
        "since": round(samples[0].at, 3) if len(samples) >= MOST_REQUESTS else None,
        "points": [
            {**each._asdict(), "at": round(each.at, 3), "p50": _seconds(each.p50), "p95": _seconds(each.p95)}
            for each in points
        ],
    }


def now(snapshot: Snapshot, health: Mapping[str, SlotHealth], under_way: list[dict[str, Any]]) -> dict[str, Any]:
    """How all is.

    :param health: how each slot is.
    :param under_way: rows.
    """
    providers = {each.name: each for each in snapshot.providers}
    first, *more = sentences_of(snapshot, health)
    return {
        "v": VERSION,
        "at": round(snapshot.at, 3),
        "uptime": round(snapshot.uptime, 3),
        "url": snapshot.url,
        "requests": snapshot.requests,
        "sentence": _sentence(first),
        "more": [_sentence(each) for each in more],
        "slots": [_slot(slot, health[slot.name], providers) for slot in snapshot.slots],
        "providers": [_provider(each, snapshot) for each in snapshot.providers],
        "under_way": under_way,
        "under_way_count": snapshot.under_way,
        "lag_p99": None if snapshot.lag_p99 is None else round(snapshot.lag_p99, 6),
        "log_lost": snapshot.log_lost,
        "cost_hour": snapshot.cost_hour,
        "profile": snapshot.profile or None,
        "profiles": list(snapshot.profiles),
        "readings": snapshot.readings,
        "changes": snapshot.changes,
        "change_ids": list(snapshot.change_ids),
    }


def _by_hand(change: ByHand | None) -> dict[str, Any] | None:
    return None if change is None else {"action": change.action, "by": change.by, "since": round(change.at, 3)}


def _sentence(sentence: Sentence) -> dict[str, Any]:
    return sentence._asdict()


def _slot(slot: SlotState, found: SlotHealth, providers: dict[str, ProviderState]) -> dict[str, Any]:
    icon, word = WORDS[found.health]
    speed = found.speed
    pace_icon, pace_word = PACES[speed.pace]
    last = next((each for each in reversed(slot.samples) if each.good), None)
    return {
        "name": slot.name,
        "job": job(slot.name),
        "candidates": [f"{provider}:{model}" for provider, model in slot.candidates],
        "answered_by": None if last is None else last.provider,
        "background": slot.background,
        "health": {
            "code": found.health,
            "icon": icon,
            "word": word,
            "line": found.line,
            "counted": found.counted,
            "answered": found.answered,
            "rescued": found.rescued,
        },
        "speed": {
            "code": speed.pace,
            "icon": pace_icon,
            "word": pace_word,
            "text": speed_text(speed),
            "measured": speed.measured,
            "samples": speed.samples,
            "p50": _seconds(speed.p50),
            "p95": _seconds(speed.p95),
            "slowest": _seconds(speed.slowest),
            "sentence_p50": _seconds(speed.sentence_p50),
            "sentence_p95": _seconds(speed.sentence_p95),
        },
        "strip": [
            {"number": each.number, "id": each.request_id, "mark": _mark(each.good, rescued=each.rescued)}
            for each in slot.samples[-_STRIP:]
        ],
        "cost_hour": found.cost_hour,
        "paused": _by_hand(slot.paused),
        "changed": _by_hand(slot.changed),
    }


def _mark(good: bool | None, *, rescued: bool) -> str:
    if good is None:
        return "left"
    return ("rescued" if rescued else "ok") if good else "failed"


def _provider(provider: ProviderState, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "name": provider.name,
        "local": provider.local,
        "needed": provider.needed,
        "key_missing": provider.key_missing,
        "places": {"in_use": provider.in_use, "limit": provider.limit},
        "queue": {"waiting": provider.waiting, "max_pending": provider.max_pending},
        "connections": provider.connections,
        "breaker": _breaker(provider.breaker),
        "keys": [
            {**each._asdict(), "resting": _seconds(each.resting), "by_hand": _by_hand(each.by_hand)}
            for each in provider.keys
        ],
        "paused": _by_hand(provider.paused),
        "limit_by_hand": _by_hand(provider.limit_by_hand),
        "deployments": [_deployment(each, provider, snapshot) for each in provider.deployments],
    }


def _deployment(deployment: DeploymentState, provider: ProviderState, snapshot: Snapshot) -> dict[str, Any]:
    word = snapshot.words.get((provider.name, deployment.model))
    return {
        "model": deployment.model,
        "paused": _by_hand(deployment.paused),
        "breaker": _breaker(deployment.breaker),
        "rests": {key: _seconds(rest) for key, rest in deployment.rests.items() if rest > 0},
        "at_once": deployment.at_once,
        "answered": deployment.answered,
        "failed": deployment.failed,
        "first_token_p50": _seconds(deployment.first_token_p50),
        "first_token_p95": _seconds(deployment.first_token_p95),
        "last": None
        if word is None
        else {"at": round(word.at, 3), "code": word.fault, "text": word.text if word.fault else ""},
    }


def _breaker(breaker: BreakerState | None) -> dict[str, Any] | None:
    return None if breaker is None else {**breaker._asdict(), "retry_in": _seconds(breaker.retry_in)}


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def model_object(name: str) -> dict[str, Any]:
    """A model as OpenAI's API lists it."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "skyproxy"}
