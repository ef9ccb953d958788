"""The search among the last requests: the whole ring is looked through, and facts are made only of what is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Literal, NamedTuple, get_args

from skyproxy.telemetry.records import RequestRecord
from skyproxy.telemetry.requests.facts import Facts, Trace
from skyproxy.telemetry.requests.ring import Kept, RequestRing, agent_of, facts_of, first_token_of, host_of
from skyproxy.telemetry.requests.words import job
from skyproxy.telemetry.state import thresholds as limits

CLASSES = ("failed", "rescued", "slow", "hedged", "cached", "cancelled")
"""What a request may be shown as, beside its outcome. It may be several at once."""

OF_PROVIDERS = frozenset({"key_invalid", "no_credit", "model_unknown", "region"})
"""Kinds of a provider's 4xx that are not the client's fault."""

MOST_ROWS = 500
"""Requests that one search gives, at most."""

Sort = Literal["time", "total", "first_token", "cost"]
SORTS: tuple[Sort, ...] = get_args(Sort)

_VALUES: dict[Sort, Callable[[Kept], float | None]] = {
    "time": lambda kept: kept[1] - kept[0].latency,
    "total": lambda kept: kept[0].latency,
    "first_token": lambda kept: first_token_of(kept[0], kept[3]),
    "cost": lambda kept: kept[0].cost,
}
"""What is sorted by."""


class Query(NamedTuple):
    """Which requests are wanted. What is empty says nothing.

    :ivar text: is in the id, the slot or its job, the model, the provider, the error or the client.
    :ivar outcome: one of :data:`CLASSES`, or an outcome of a record.
    :ivar before: only those with a lower number; where they are sorted, all but as many as this of the first ones.
    :ivar sort: what they are sorted by, in all of the ring; None: the newest first, as they ended.
    :ivar ascending: the lowest first. What is not known comes last anyway.
    """

    text: str = ""
    slot: str = ""
    provider: str = ""
    outcome: str = ""
    client: str = ""
    before: int | None = None
    limit: int = 100
    sort: Sort | None = None
    ascending: bool = False


class SearchResult(NamedTuple):
    """What was found.

    :ivar requests: in the order that is wanted.
    :ivar matching: how many there are in all.
    :ivar counts: of what matches but for the outcome, by class; ``all`` is their number.
    :ivar next: what *before* has to be for the rest; None: there is none.
    :ivar slots: that any request is of, and so the next two.
    """

    requests: list[Facts]
    matching: int
    counts: dict[str, int]
    next: int | None
    slots: list[str]
    providers: list[str]
    clients: list[str]


def search(ring: RequestRing, query: Query, background: Set[str] = frozenset()) -> SearchResult:
    """The requests in *ring* that *query* asks for.

    :param background: slots that nobody waits for.
    """
    counts = dict.fromkeys(("all", *CLASSES), 0)
    found: list[tuple[int, Kept]] = []
    slots: dict[str, None] = {}
    providers: dict[str, None] = {}
    clients: dict[str, None] = {}
    text, matching, more = query.text.casefold(), 0, False
    most = min(query.limit, MOST_ROWS)
    chosen = bool(text or query.slot or query.provider or query.client)
    for number, kept in ring.kept():
        record, _, _, trace, (address, _), _ = kept
        client = record.client or host_of(address)
        slots[record.slot or ""] = providers[record.provider or ""] = clients[client] = None
        if chosen and not _matches(query, text, kept, client):
            continue
        classes = classes_of(record, trace, background)
        counts["all"] += 1
        for each in classes:
            counts[each] += 1
        if query.outcome not in ("", "all", record.outcome) and query.outcome not in classes:
            continue
        matching += 1
        if query.sort is not None:
            found.append((number, kept))
        elif query.before is None or number < query.before:
            if len(found) < most:
                found.append((number, kept))
            else:
                more = True
    following = found[-1][0] if more and found else None
    if query.sort is not None:
        begin = query.before or 0
        found = _sorted(found, _VALUES[query.sort], query.ascending)[begin : begin + most]
        following = begin + len(found) if found and begin + len(found) < matching else None
    return SearchResult(
        [facts_of(number, kept) for number, kept in found], matching, counts, following,
        _names(slots), _names(providers), _names(clients),
    )  # fmt: skip


def _sorted(
    found: list[tuple[int, Kept]], value: Callable[[Kept], float | None], ascending: bool
) -> list[tuple[int, Kept]]:
    """Those that are equal stay as they were, the newest first."""
    known = [(known, each) for each in found if (known := value(each[1])) is not None]
    unknown = [each for each in found if value(each[1]) is None]
    known.sort(key=lambda pair: pair[0], reverse=not ascending)
    return [*(each for _, each in known), *unknown]


def _names(found: Mapping[str, None]) -> list[str]:
    return sorted(name for name in found if name)


def _matches(query: Query, text: str, kept: Kept, client: str) -> bool:
    record, _, _, trace, (_, said), error = kept
    if query.slot and query.slot != record.slot:
        return False
    if query.provider and query.provider != record.provider:
        return False
    if query.client and query.client not in (client, agent_of(said)):
        return False
    if not text:
        return True
    parts = (
        record.request_id, record.slot, job(record.slot or ""), record.model, record.provider, record.upstream_model,
        record.error_code, error, client, agent_of(said), *(step.text for step in trace.steps),
    )  # fmt: skip
    return any(part and text in part.casefold() for part in parts)


def classes_of(record: RequestRecord, trace: Trace, background: Set[str] = frozenset()) -> list[str]:
    """What a request is shown as."""
    classes: list[str] = []
    steps, outcome = trace.steps, record.outcome
    if outcome == "ok" and not steps and record.cache is None:
        # So are nearly all.
        return ["slow"] if _is_slow(record, background) else classes
    failures = [step for step in steps if step.kind in ("failed", "refused")]
    hedged = any(step.kind == "hedge" for step in steps)
    if outcome in ("failed", "upstream_error", "refused", "client_error"):
        # Whoever is at fault, the game got no answer.
        classes.append("failed")
    elif outcome == "cancelled":
        classes.append("cancelled")
    elif outcome == "ok":
        answered = trace.answered
        if failures or (hedged and answered is not None and answered.candidate > 0):
            classes.append("rescued")
        if _is_slow(record, background):
            classes.append("slow")
    if hedged:
        classes.append("hedged")
    if record.cache in ("hit", "coalesced"):
        classes.append("cached")
    return classes


def _is_slow(record: RequestRecord, background: Set[str]) -> bool:
    if record.slot in background:
        return record.latency > limits.SLOW_BACKGROUND_P50
    if record.stream and record.time_to_first_byte is not None:
        return record.time_to_first_byte > limits.SLOW_FIRST_P50
    return record.latency > limits.SLOW_WHOLE_P50
