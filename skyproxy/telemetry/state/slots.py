"""Whether a slot is reliable, and whether it is slow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice, takewhile
from typing import Literal, NamedTuple

from skyproxy.telemetry.requests.reasons import reason_of
from skyproxy.telemetry.requests.words import duration, of_people
from skyproxy.telemetry.state import thresholds as limits
from skyproxy.telemetry.state.samples import Sample, Word
from skyproxy.telemetry.state.snapshot import ProviderState, SlotState, Snapshot
from skyproxy.util.percentile import percentile

Health = Literal["unused", "too_few", "reliable", "some_errors", "unreliable", "not_answering", "paused"]

WORDS: dict[Health, tuple[str, str]] = {
    "unused": ("○", "Not used yet"),
    "too_few": ("○", "Too few to say"),
    "reliable": ("✓", "Reliable"),
    "some_errors": ("!", "Some errors"),
    "unreliable": ("✕", "Unreliable"),
    "not_answering": ("✕", "Not answering"),
    "paused": ("‖", "Paused by you"),
}
"""The icon and the words of each."""

Pace = Literal["fine", "slow_to_start", "slow", "slow_background", "slower"]

PACES: dict[Pace, tuple[str, str]] = {
    "fine": ("", ""),
    "slow_to_start": ("◔", "Slow to start talking"),
    "slow": ("◔", "Slow to answer"),
    "slow_background": ("◔", "Slow (nobody waits for it)"),
    "slower": ("◔", "Slower than usual"),
}


class Speed(NamedTuple):
    """How long a slot takes: its streams to the first token, its whole answers to their end.

    :ivar measured: ``first_token`` or ``answer``.
    :ivar p95: None: there are too few; then *slowest* tells.
    """

    pace: Pace
    measured: str
    samples: int
    p50: float | None
    p95: float | None
    slowest: float | None
    sentence_p50: float | None
    sentence_p95: float | None


class SlotHealth(NamedTuple):
    """How a slot is.

    :ivar line: what it is said by, in a sentence.
    :ivar answered: of the requests that are *counted*.
    """

    health: Health
    line: str
    counted: int
    answered: int
    rescued: int
    speed: Speed
    cost_hour: dict[str, float]


def health_of(
    slot: SlotState, words: Mapping[tuple[str, str], Word], providers: Mapping[str, ProviderState], now: float
) -> SlotHealth:
    """How *slot* is.

    :param words: what each deployment was last heard to say.
    """
    recent = [
        each for each in slot.samples if now - each.at <= limits.COUNTED_SECONDS and _tells(each, slot, providers)
    ]
    newest_first = (each for each in reversed(recent) if each.good is not None)
    counted = list(islice(newest_first, limits.COUNTED))[::-1]
    health, line = _judged(slot, counted, words, providers, now)
    wrong = _wrong(recent)
    if not counted and health not in ("paused", "not_answering") and len(wrong) >= limits.UNRELIABLE_IN_A_ROW:
        health, line = "some_errors", f"The last {len(wrong)} were refused, mostly {_mostly(wrong)}."
    elif health == "unused" and slot.samples:
        line = _uncounted(slot, recent, now)
    return SlotHealth(
        health,
        line,
        len(counted),
        sum(each.good is True for each in counted),
        sum(each.rescued for each in counted),
        speed_of(slot, recent, now),
        cost_hour(slot.samples, now, slot.since),
    )


def _tells(sample: Sample, slot: SlotState, providers: Mapping[str, ProviderState]) -> bool:
    """Whether *sample* tells how *slot* is now: since then other models may serve it, or what failed was mended."""
    if sample.at < slot.served_since:
        return False
    if sample.good or not sample.words:
        return True
    word = sample.words[-1]
    provider = providers.get(word.provider)
    return provider is None or word.at >= provider.since


def all_health(snapshot: Snapshot) -> dict[str, SlotHealth]:
    """How each slot is, by its name."""
    providers = {each.name: each for each in snapshot.providers}
    return {slot.name: health_of(slot, snapshot.words, providers, snapshot.at) for slot in snapshot.slots}


def _judged(
    slot: SlotState,
    counted: Sequence[Sample],
    words: Mapping[tuple[str, str], Word],
    providers: Mapping[str, ProviderState],
    now: float,
) -> tuple[Health, str]:
    if slot.paused is not None:
        return "paused", f"For {duration(max(0.0, now - slot.paused.at))}, by {slot.paused.by}."
    silent = _all_silent(slot, words, providers, now)
    if silent and counted and not counted[-1].good:
        return "not_answering", f"Nobody answers: {', '.join(silent)}."
    if not counted:
        return "unused", "No request yet."
    bad = [index for index, each in enumerate(counted) if not each.good]
    answered = f"{len(counted) - len(bad)} of {len(counted)} answered."
    if not bad:
        return ("reliable" if len(counted) >= limits.ENOUGH else "too_few"), answered
    last = counted[bad[-1]]
    mostly = _mostly([counted[index] for index in bad])
    line = f"{len(bad)} of {len(counted)} failed, mostly {mostly}."
    age = now - last.at
    if age > limits.FORGIVEN_SECONDS and len(counted) - 1 - bad[-1] >= limits.GOOD_SINCE:
        several = f"{len(bad)} errors, the last one {duration(age)} ago, mostly {mostly}."
        return "reliable", several if len(bad) > 1 else f"1 error, {duration(age)} ago: {mostly}."
    many = len(bad) >= limits.UNRELIABLE_LEAST and len(bad) / len(counted) > limits.UNRELIABLE_SHARE
    in_a_row = counted[-limits.UNRELIABLE_IN_A_ROW :]
    if many or (len(in_a_row) == limits.UNRELIABLE_IN_A_ROW and not any(each.good for each in in_a_row)):
        return "unreliable", line
    if len(bad) == 1 and len(counted) == limits.COUNTED:
        return "reliable", f"1 error, {duration(age)} ago: {mostly}."
    return "some_errors", line


def _wrong(recent: Sequence[Sample]) -> list[Sample]:
    """The last requests, since one counted, that providers found wrong. Where none but such came, and many, it is no
    slip of a client's.
    """
    uncounted = takewhile(lambda each: each.good is None, reversed(recent))
    return [each for each in uncounted if each.code and each.provider]


def _uncounted(slot: SlotState, recent: Sequence[Sample], now: float) -> str:
    """What there is to say of a slot that was asked, but none of whose requests counts."""
    if slot.samples[-1].at < slot.served_since:
        return "No request since other models serve it."
    if not recent:
        return f"No request for {duration(max(0.0, now - slot.samples[-1].at))}."
    return f"{of_people(len(recent), 'request', 'requests')}, none of which tells anything."


def _all_silent(
    slot: SlotState, words: Mapping[tuple[str, str], Word], providers: Mapping[str, ProviderState], now: float
) -> list[str]:
    """Why no candidate answers, if none does."""
    causes = []
    for provider, model in slot.candidates:
        state, word = providers.get(provider), words.get((provider, model))
        if state is not None and state.key_missing is not None:
            causes.append(f"{provider} has no key")
        elif word is not None and word.fault and now - word.at <= limits.TROUBLE_SECONDS:
            causes.append(f"{provider} {reason_of(word.fault).happened.format(seconds='too long')}")
        else:
            return []
    return causes


def _mostly(bad: Sequence[Sample]) -> str:
    causes: dict[str, int] = {}
    for each in bad:
        cause = _cause(each)
        causes[cause] = causes.get(cause, 0) + 1
    return max(causes, key=lambda cause: causes[cause])


def _cause(sample: Sample) -> str:
    happened = reason_of(sample.code).happened.format(seconds="too long")
    return f"{sample.provider} {happened}" if sample.provider else happened


def speed_of(slot: SlotState, recent: Sequence[Sample], now: float) -> Speed:
    """How long *slot* takes."""
    streams = not slot.background and any(each.stream for each in recent)
    samples = [each for each in recent if each.good and (not streams or each.first_token is not None)]
    lately = [each for each in samples if now - each.at <= limits.SPEED_SECONDS]
    used = lately if len(lately) >= limits.ENOUGH else samples[-limits.COUNTED :]
    times = sorted([(each.first_token or 0.0) if streams else each.seconds for each in used])
    sentences = sorted([each.first_sentence for each in used if each.stream and each.first_sentence is not None])
    p50, p95 = percentile(times, 50), percentile(times, 95)
    pace: Pace = "fine"
    if len(times) >= limits.ENOUGH and p50 is not None and p95 is not None:
        if slot.background:
            pace = "slow_background" if p50 > limits.SLOW_BACKGROUND_P50 else "fine"
        elif streams:
            late = len(times) >= limits.PERCENTILE_SAMPLES and p95 > limits.SLOW_FIRST_P95
            pace = "slow_to_start" if p50 > limits.SLOW_FIRST_P50 or late else "fine"
        elif p50 > limits.SLOW_WHOLE_P50:
            pace = "slow"
    if pace == "fine" and not slot.background and _is_slower(slot, streams, now):
        pace = "slower"
    enough = len(times) >= limits.PERCENTILE_SAMPLES
    return Speed(
        pace,
        "first_token" if streams else "answer",
        len(times),
        p50,
        p95 if enough else None,
        max(times, default=None),
        percentile(sentences, 50),
        percentile(sentences, 95) if len(sentences) >= limits.PERCENTILE_SAMPLES else None,
    )


def _is_slower(slot: SlotState, streams: bool, now: float) -> bool:
    """Whether the last requests took much longer than those before."""
    times = [
        each.first_token if streams and each.first_token is not None else each.seconds
        for each in slot.samples
        if each.good
        and (not streams or each.first_token is not None)
        and now - each.at <= limits.USUAL_SECONDS
        and each.at >= slot.served_since
    ]
    before, last = times[: -limits.SLOWER_SAMPLES], times[-limits.SLOWER_SAMPLES :]
    if len(before) < limits.USUAL_SAMPLES:
        return False
    usual, lately = percentile(sorted(before), 50) or 0.0, percentile(sorted(last), 50) or 0.0
    return lately > limits.SLOWER_TIMES * usual and lately - usual >= limits.SLOWER_SECONDS


def speed_text(speed: Speed) -> str:
    """``half start within 0.6 s, 19 of 20 within 2.1 s``."""
    if speed.p50 is None:
        return ""
    starts = "start" if speed.measured == "first_token" else "end"
    if speed.p95 is None:
        return f"half {starts} within {duration(speed.p50)}, slowest {duration(speed.slowest or 0.0)}"
    return f"half {starts} within {duration(speed.p50)}, 19 of 20 within {duration(speed.p95)}"


def cost_hour(samples: Sequence[Sample], now: float, since: float | None = None) -> dict[str, float]:
    """What *samples* cost an hour, by currency, as in the last hour, or since the first of them.

    :param since: see :func:`hour_span`.
    """
    # Before the clock was set back, others were.
    lately = [each for each in samples if -limits.AHEAD_SECONDS <= now - each.at <= limits.HOUR_SECONDS]
    if not lately:
        return {}
    span = hour_span(lately[0].at - lately[0].seconds, now, since)
    costs: dict[str, float] = {}
    for each in lately:
        for currency, cost in each.costs:
            costs[currency] = costs.get(currency, 0.0) + cost
    return {currency: cost * limits.HOUR_SECONDS / span for currency, cost in costs.items()}


def hour_span(first: float, now: float, since: float | None) -> float:
    """Seconds, an hour at most, to which the requests of the last hour belong of which something is known.

    :param first: when the first of them came. A minute is the least: one request does not tell what an hour costs.
    :param since: where so many came that older ones were let go of: since when all are known.
    """
    span = max(limits.LEAST_SPAN_SECONDS, now - first) if since is None else max(1.0, now - since)
    return min(limits.HOUR_SECONDS, span)
