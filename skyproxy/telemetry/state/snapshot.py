"""How all is at one moment: plain values, from which sentences and figures are made."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from skyproxy.telemetry.state.samples import Sample, Word


class ByHand(NamedTuple):
    """Who has changed something by hand, and when.

    :ivar action: the id of the action, by which it can be undone.
    :ivar at: seconds since the epoch.
    """

    action: str
    by: str
    at: float


class KeyState(NamedTuple):
    """One key of a provider.

    :ivar resting: seconds until it may be used again.
    :ivar aside: the provider refuses it.
    :ivar by_hand: somebody has put it aside.
    :ivar place: the file that has it, or ``environment``.
    """

    variable: str
    busy: int
    resting: float
    aside: bool
    requests: int
    by_hand: ByHand | None = None
    place: str = ".env"


class BreakerState(NamedTuple):
    """A breaker.

    :ivar state: ``closed``, ``open`` or ``half_open``.
    :ivar retry_in: seconds until it is asked again.
    :ivar cause: the last failure.
    """

    state: str
    retry_in: float
    cause: str


class DeploymentState(NamedTuple):
    """One model of a provider.

    :ivar rests: seconds for which each key, by its variable, is not used for it.
    :ivar at_once: requests that it is known to take at once; None: no limit is known.
    :ivar first_token_p50: seconds, of the last five minutes; so is the next.
    """

    model: str
    breaker: BreakerState | None
    rests: dict[str, float]
    at_once: int | None
    first_token_p50: float | None
    first_token_p95: float | None
    answered: int
    failed: int
    paused: ByHand | None = None


class ProviderState(NamedTuple):
    """One provider.

    :ivar local: it runs on this machine.
    :ivar key_missing: the variables that could hold its key, if none does.
    :ivar in_use: permits that requests have, of *limit*.
    :ivar needed: a slot asks it.
    :ivar limit_by_hand: somebody has set *limit*.
    :ivar since: seconds since the epoch, since when nothing is different by which it may have failed.
    """

    name: str
    local: bool
    key_missing: str | None
    in_use: int
    limit: int
    waiting: int
    max_pending: int
    connections: dict[str, int]
    breaker: BreakerState | None
    keys: tuple[KeyState, ...]
    deployments: tuple[DeploymentState, ...]
    needed: bool = True
    paused: ByHand | None = None
    limit_by_hand: ByHand | None = None
    since: float = -inf


class SlotState(NamedTuple):
    """One slot.

    :ivar candidates: provider and model, the best first.
    :ivar samples: its last requests, the oldest first.
    :ivar paused: it, or all that serves it, is paused by hand.
    :ivar changed: somebody has pointed it elsewhere, or set something of it.
    :ivar since: since when all its requests are among *samples*; None: none was let go of.
    :ivar served_since: seconds since the epoch, since when the same models have served it.
    """

    name: str
    candidates: tuple[tuple[str, str], ...]
    background: bool
    samples: tuple[Sample, ...]
    paused: ByHand | None = None
    changed: ByHand | None = None
    since: float | None = None
    served_since: float = -inf


class BudgetState(NamedTuple):
    """A budget in its present period.

    :ivar name: ``client lydia-pc``, or ``the purse``.
    :ivar used: the share of its amount that is spent.
    :ivar until: when it begins anew, seconds since the epoch; None: nobody knows, or never.
    :ivar instead: the slot that serves what it has nothing left for; None: none does.
    """

    name: str
    spent: float
    amount: float
    currency: str
    per: str
    used: float
    until: float | None
    instead: str | None


class Snapshot(NamedTuple):
    """How all is at one moment.

    :ivar at: seconds since the epoch.
    :ivar uptime: seconds.
    :ivar url: what a client types.
    :ivar demo: the embedded demo answers, because there is no configuration.
    :ivar reloaded: the last reading of the configuration went well.
    :ivar readings: how often it was read again.
    :ivar lag_p99: seconds, of the event loop.
    :ivar log_lost: lines.
    :ivar requests: that are over, since the start; none where all were the demo's, before there was a configuration.
    :ivar under_way: requests.
    :ivar words: what each deployment was last heard to say.
    :ivar refused: requests that were refused in the last minute because the queue was full.
    :ivar unknown: requests that were refused lately because they named what is no slot, and what the last of them was
        told, with its id; none where others were answered since, for a minute.
    :ivar profile: the one in use; empty: none.
    :ivar changes: by hand, that hold now.
    :ivar change_ids: of the actions that made them.
    :ivar budgets: whose present sums are known.
    :ivar unwritable: why what is spent cannot be written down; empty: it can be.
    :ivar workers: where several processes serve; *missing*: those of them that have not served for a while.
    :ivar alone: limits are shared by a Redis, and it grants none now; *waits*: requests wait for as long.
    """

    at: float
    uptime: float
    url: str
    demo: bool
    reloaded: bool
    lag_p99: float | None
    log_lost: int
    requests: int
    under_way: int
    slots: tuple[SlotState, ...]
    providers: tuple[ProviderState, ...]
    words: dict[tuple[str, str], Word]
    refused: int
    cost_hour: dict[str, float]
    profile: str = ""
    profiles: tuple[str, ...] = ()
    changes: int = 0
    change_ids: tuple[str, ...] = ()
    budgets: tuple[BudgetState, ...] = ()
    unwritable: str = ""
    workers: int = 0
    missing: int = 0
    alone: bool = False
    waits: bool = False
    readings: int = 0
    unknown: int = 0
    unknown_said: str = ""
    unknown_id: str = ""
