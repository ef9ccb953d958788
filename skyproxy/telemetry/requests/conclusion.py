"""What came of a request, in one sentence; and, where something went wrong, what to change."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal, NamedTuple

from skyproxy.telemetry.requests.facts import AttemptFacts, Facts, Step
from skyproxy.telemetry.requests.reasons import Reason, reason_of
from skyproxy.telemetry.requests.timeline import seconds_in
from skyproxy.telemetry.requests.words import duration, job, money, of_people

Trouble = Literal[
    "none", "rate", "key_refused", "breaker", "hedge_won", "hedge_lost", "late_first_token", "cut", "client_left",
    "queue_full", "cache", "other",
]  # fmt: skip
"""What a request met with. Only the last thing that mattered counts."""


class History(NamedTuple):
    """What the last requests tell, for advice.

    :ivar first_token_p95: seconds, of the provider that was late; None: too few are known.
    :ivar hedges: of the slot, of which *lost* were not needed.
    :ivar first_token_p90: seconds, of the slot's first candidate.
    :ivar cuts: answers of the provider that broke off.
    :ivar usual_seconds: of an answer of the slot that was not shared, half of which took no longer.
    :ivar usual_cost: likewise.
    """

    first_token_p95: float | None = None
    hedges: int = 0
    lost: int = 0
    first_token_p90: float | None = None
    cuts: int = 0
    usual_seconds: float | None = None
    usual_cost: float | None = None


NO_HISTORY = History()


class Conclusion(NamedTuple):
    """What came of a request.

    :ivar trouble: for programs.
    :ivar rescued: it was answered, although something failed.
    :ivar sentence: for people.
    :ivar advice: what to change; empty if nothing need be.
    """

    trouble: Trouble
    rescued: bool
    sentence: str
    advice: str


_TROUBLES: dict[str, Trouble] = {
    "rate": "rate", "keys_resting": "rate", "key_invalid": "key_refused", "breaker_open": "breaker",
    "first_token_timeout": "late_first_token", "backlog_full": "queue_full", "queue_timeout": "queue_full",
}  # fmt: skip

_ENDED_BY = {"shutting_down": "skyproxy, which was being stopped", "ended_by_hand": "you"}
"""Who has cut an answer, by the error's code, where it was not the provider."""

_OFTEN = 0.8
"""The share of lost hedges from which on it is worth to wait longer."""


def conclusion_of(facts: Facts, history: History = NO_HISTORY) -> Conclusion:
    """What came of the request of *facts*."""
    if facts.outcome is None:
        return Conclusion("none", False, "Under way.", "")
    if facts.outcome == "cancelled":
        return Conclusion("client_left", False, *_client_left(facts))
    if facts.cache in ("hit", "coalesced") and facts.outcome == "ok":
        return Conclusion("cache", False, _from_memory(facts, history), "")
    if facts.outcome == "ok":
        return _answered(facts, history)
    if facts.first_token is not None and facts.first_token < facts.seconds:
        return Conclusion("cut", False, *_cut(facts, history))
    return _failed(facts, history)


def _answered(facts: Facts, history: History) -> Conclusion:
    hedge = next((step for step in facts.steps if step.kind == "hedge"), None)
    winner = next((each for each in facts.attempts if each.won), None)
    trouble = _first_trouble(facts)
    if hedge is not None and winner is not None and trouble is None:
        return _hedged(facts, hedge, winner, history)
    provider, took = facts.provider or "skyproxy", duration(facts.seconds)
    if trouble is None:
        return Conclusion("none", False, f"Answered by {provider} after {took}.", "")
    kind = _TROUBLES.get(trouble.code, "other")
    failed, _ = facts.deployments[trouble.candidate]
    if failed == provider and trouble.attempt >= 0:
        why = "the first key was at its limit" if kind == "rate" else f"the first try {_tried(trouble)}"
    elif kind == "breaker":
        why = f"{failed}'s model was left alone"
    else:
        why = f"{failed} {_happened(trouble)}"
    advice = _late(trouble, history) if kind == "late_first_token" else ""
    return Conclusion(kind, True, f"Answered by {provider} after {took}; {why}.", advice)


def _tried(trouble: Step) -> str:
    if (trouble.status or 0) >= 400:
        return f"failed ({trouble.status})"
    return {
        "upstream_unreachable": "found no connection",
        "connect_timeout": "found no connection",
        "first_token_timeout": "brought nothing in time",
        "default_timeout": "brought nothing in time",
    }.get(trouble.code, "failed")


def _happened(trouble: Step) -> str:
    return reason_of(trouble.code).happened.format(seconds=seconds_in(trouble.text) or "too long")


def _first_trouble(facts: Facts) -> Step | None:
    """What went wrong first, of a request that was answered."""
    return next((step for step in facts.steps if step.kind in ("failed", "refused")), None)


def _hedged(facts: Facts, hedge: Step, winner: AttemptFacts, history: History) -> Conclusion:
    first, _ = facts.deployments[hedge.candidate]
    cost = facts.hedge_cost
    extra = "" if cost is None else f" It cost {money(cost, facts.currency)} extra." if cost else " It cost nothing."
    if facts.deployments[hedge.candidate] != (winner.provider, winner.model):
        silent = duration(facts.first_token if facts.first_token is not None else facts.seconds)
        sentence = f"The second one was quicker: {first} had said nothing for {silent}.{extra}"
        return Conclusion("hedge_won", True, sentence, "")
    advice = ""
    if history.hedges >= 10 and history.lost >= _OFTEN * history.hedges:
        raised = "" if history.first_token_p90 is None else f" to {duration(history.first_token_p90)}"
        lost = f"{history.lost} of {history.hedges} were not needed"
        advice = f"{lost}: raise hedge_after of {_slot(facts)}{raised}."
    return Conclusion("hedge_lost", False, f"The second one was not needed.{extra}", advice)


def _late(trouble: Step, history: History) -> str:
    if history.first_token_p95 is None:
        return "Set hedge_after, so that the next one is asked sooner."
    p95 = history.first_token_p95
    seconds = float((seconds_in(trouble.text) or "0").split()[0])
    if p95 <= seconds:
        return ""
    longer = duration(round(p95 * 1.15 + 0.5))
    hedge = duration(seconds / 2)
    return f"19 of 20 begin within {duration(p95)}: try first_token_timeout {longer}, or hedge_after {hedge}."


def _cut(facts: Facts, history: History) -> tuple[str, str]:
    about = "about " if facts.tokens is not None and facts.tokens.estimated else ""
    part = "a part of it" if facts.tokens is None else f"{about}{of_people(facts.tokens.completion, 'token', 'tokens')}"
    by = _ENDED_BY.get(facts.error_code or "", facts.provider or "the provider")
    if facts.error_code == "ended_by_hand":
        return f"The answer was cut by {by}; the client got {part} and an error.", ""
    if facts.error_code in ("client_stalled", "client_too_slow"):
        return reason_of(facts.error_code).sentence, ""
    often = f"; it happened {history.cuts} times among the last requests" if history.cuts > 1 else ""
    sentence = f"The answer was cut by {by}; the client got {part} and an error."
    return sentence, f"Nothing can be repeated after the first token{often}."


def _client_left(facts: Facts) -> tuple[str, str]:
    if facts.first_token is not None:
        sentence = f"The game left in the middle of the answer, after {duration(facts.seconds)}."
    else:
        sentence = f"The game did not wait ({duration(facts.seconds)})."
    billed = ""
    if facts.cost:
        billed = f"; about {money(facts.cost, facts.currency)} may be billed"
    return f"{sentence} Not counted as a failure{billed}.", ""


def _from_memory(facts: Facts, history: History) -> str:
    saved = [duration(history.usual_seconds)] if history.usual_seconds is not None else []
    if history.usual_cost:
        saved.append(money(history.usual_cost, facts.currency))
    if facts.cache == "coalesced":
        return f"Answered together with {facts.follows or 'another request'}."
    return f"Answered from memory; saved about {' and '.join(saved)}." if saved else "Answered from memory."


def _failed(facts: Facts, history: History) -> Conclusion:
    troubles = [step for step in facts.steps if step.kind in ("failed", "refused")]
    # What came down is what the last candidate came to.
    last = troubles[-1] if troubles else None
    code = last.code if last is not None and facts.error_code != "ended_by_hand" else facts.error_code or ""
    if code == "model_not_found" and facts.status == HTTPStatus.NOT_FOUND:
        # As who may not ask for everything hears it, who is not told what else there is.
        code = "model_not_allowed"
    reason = reason_of(code)
    kind = _TROUBLES.get(code, "other")
    seconds = seconds_in(last.text) if last is not None else seconds_in(facts.error)
    key = _key(facts)
    values = {
        "provider": facts.provider or "skyproxy", "model": facts.upstream_model or facts.model, "key": key,
        "slot": _slot(facts), "seconds": seconds or "too long",
    }  # fmt: skip
    advice = _late(last, history) if kind == "late_first_token" and last is not None else ""
    return Conclusion(kind, False, reason.sentence.format(**values), advice or _advice(reason, facts, values))


def _advice(reason: Reason, facts: Facts, values: dict[str, str]) -> str:
    advice = reason.advice
    if len(facts.deployments) > 1:
        # It has one.
        for phrase in ("; give {slot} a fallback", ", or give {slot} a fallback", "give {slot} a fallback"):
            advice = advice.replace(phrase, "")
        advice = advice.replace("Give {slot} a fallback, or raise", "Raise").strip()
    advice = advice.format(**values)
    return advice[:1].upper() + advice[1:]


def _slot(facts: Facts) -> str:
    return job(facts.slot) if facts.slot else "the request"


def _key(facts: Facts) -> str:
    aside = [step.text for step in facts.steps if step.kind in ("key_aside", "key_kept") and step.text]
    return aside[-1] if aside else facts.key or "the key"
