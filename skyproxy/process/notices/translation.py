"""What guards find out, as other machines are told of it, and the reverse."""

from __future__ import annotations

from skyproxy.config import ProviderConfig
from skyproxy.process.notices.names import Names
from skyproxy.process.notices.notice import (
    CLOSED,
    IGNORED,
    KEY_REFUSED,
    KEY_RESTS,
    MAX_MODEL,
    MAX_TEXT,
    MODEL_RESTS,
    MODEL_TAKEN,
    OPENED,
    PROBES,
    Notice,
)
from skyproxy.process.workers.news import Found
from skyproxy.upstream.guards import breaker, keys, learned_limits
from skyproxy.upstream.guards.findings import (
    BreakerClosed,
    BreakerOpened,
    BreakerProbes,
    Finding,
    KeyRefused,
    KeyRests,
    ModelRests,
    ModelTaken,
    ProbeIgnored,
)
from skyproxy.upstream.guards.learned_limits import Rest


def notice_of(found: Found, names: Names) -> Notice | None:
    """What other machines are told of *found*; None: nothing."""
    provider, finding = names.provider(found.provider), found.finding
    if provider is None or len(getattr(finding, "model", None) or "") > MAX_MODEL:
        return None
    variable = getattr(finding, "key", None)
    key = "" if variable is None else names.key(found.provider, variable)
    if key is None:
        return None
    match finding:
        case ModelRests(model, _, rest):
            return Notice(MODEL_RESTS, provider, key, model, rest.seconds, rest.doubled, rest.stated)
        case ModelTaken(model, _):
            return Notice(MODEL_TAKEN, provider, key, model)
        case KeyRests(_, seconds):
            return Notice(KEY_RESTS, provider, key, seconds=seconds)
        case KeyRefused(_, seconds):
            return Notice(KEY_REFUSED, provider, key, seconds=seconds)
        case BreakerOpened(model, seconds, doubled, cause):
            # A provider's own words may repeat a key.
            text = names.masked(provider, cause)[:MAX_TEXT]
            return Notice(OPENED, provider, "", model, seconds, doubled, text=text, stamp=found.stamp)
        case BreakerProbes(model):
            return Notice(PROBES, provider, "", model, stamp=found.stamp)
        case ProbeIgnored(model):
            return Notice(IGNORED, provider, "", model, stamp=found.stamp)
        case BreakerClosed(model):
            return Notice(CLOSED, provider, "", model, stamp=found.stamp)


def found_by(notice: Notice, names: Names, seen: int) -> list[Found]:
    """What *notice* comes to on this machine: nothing where it has not that provider, or not that key.

    No time is longer than guards here would take of themselves, whatever the other machine says.

    :param seen: see :class:`~skyproxy.process.workers.news.Found`.
    """
    config = names.here(notice.provider)
    if config is None:
        return []
    findings: list[Finding] = []
    if notice.kind in (MODEL_RESTS, MODEL_TAKEN, KEY_RESTS, KEY_REFUSED):
        findings = [_of_key(notice, each) for each in names.variables(notice.provider, notice.key)]
    else:
        findings = [_of_breaker(notice, config)]
    return [Found(config.name, each, notice.stamp, seen) for each in findings]


def _of_key(notice: Notice, variable: str) -> Finding:
    model, seconds = notice.model or "", notice.seconds
    match notice.kind:
        case "rate":
            longest = learned_limits.LONGEST_STATED_SECONDS if notice.stated else learned_limits.LONGEST_SECONDS
            doubled = min(notice.doubled, learned_limits.LONGEST_SECONDS)
            return ModelRests(model, variable, Rest(min(seconds, longest), doubled, notice.stated))
        case "taken":
            return ModelTaken(model, variable)
        case "rests":
            return KeyRests(variable, min(seconds, learned_limits.LONGEST_STATED_SECONDS))
        case _:
            return KeyRefused(variable, min(seconds, keys.ASIDE_SECONDS))


def _of_breaker(notice: Notice, config: ProviderConfig) -> Finding:
    match notice.kind:
        case "opened":
            first = 0.0 if config.breaker is None else config.breaker.open_for
            longest = max(first, breaker.LONGEST_OPEN_SECONDS)
            seconds, doubled = min(notice.seconds, longest), min(notice.doubled, longest)
            return BreakerOpened(notice.model, seconds, doubled, notice.text)
        case "probes":
            return BreakerProbes(notice.model)
        case "ignored":
            return ProbeIgnored(notice.model)
        case _:
            return BreakerClosed(notice.model)
