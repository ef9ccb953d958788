"""The timeline of one request: what happened when, in plain words, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from skyproxy.telemetry.requests.facts import AttemptFacts, Facts, Step
from skyproxy.telemetry.requests.reasons import reason_of
from skyproxy.telemetry.requests.words import deployment, duration, job, quoted

_NOTICED_SECONDS = 0.05
"""Seconds of a wait from which on it is told."""

_SECOND_OPINION_SECONDS = 0.2
"""Seconds between the first byte and the first token from which on both are told."""

_TOGETHER_SECONDS = 0.02
"""Seconds between the end of an attempt that was given up because its client left, and that of the request: a busy
process takes so long from the one to the other."""

_NO_ANSWER = "no answer"


class Line(NamedTuple):
    """One thing that happened.

    :ivar at: seconds from the request's arrival.
    :ivar kind: for programs: ``arrived``, ``waits``, ``asked``, ``hedge``, ``first_byte``, ``first_token``,
        ``first_sentence``, ``failed``, ``refused``, ``retry``, ``fallback``, ``cancelled``, ``cache``, ``cut``,
        ``left``, ``done``, ``now``.
    :ivar attempt: the index of the sending that it is about; -1: none.
    """

    at: float
    kind: str
    text: str
    attempt: int = -1


def lines_of(facts: Facts, follows_after: float | None = None) -> list[Line]:
    """What happened to the request of *facts*, in its order.

    :param follows_after: seconds from the arrival of the request whose answer this one shares to its own.
    """
    lines = [_arrival(facts)]
    if facts.cache == "hit":
        lines.append(Line(0.0, "cache", f"kept answer, {duration(facts.age or 0.0)} old"))
    elif facts.follows:
        before = "" if follows_after is None else f", which was asked {duration(follows_after)} before"
        lines.append(Line(0.0, "cache", f"follows {facts.follows}{before}"))
    for number, attempt in enumerate(facts.attempts):
        lines.extend(_sending(facts, number, attempt))
    lines.extend(_steps(facts))
    lines.extend(_answer(facts))
    lines.extend(_losers(facts))
    # Of what happened at once, causes stand before what follows from them: sorting keeps their order.
    return sorted(lines, key=lambda line: (round(line.at, 3), _RANKS.get(line.kind, 5)))


_RANKS = {
    "arrived": 0,
    "failed": 2,
    "refused": 2,
    "retry": 3,
    "fallback": 3,
    "hedge": 3,
    "waits": 4,
    "done": 8,
    "now": 9,
}
"""The order of what happened at the same time."""


def _arrival(facts: Facts) -> Line:
    target = f" for {job(facts.slot)}" if facts.slot else f" for {facts.model}" if facts.model else ""
    return Line(0.0, "arrived", f"arrived{target}")


def _sending(facts: Facts, number: int, attempt: AttemptFacts) -> Iterator[Line]:
    provider = attempt.provider
    if attempt.waited > _NOTICED_SECONDS:
        waited = f"waits for a place at {provider}: {duration(attempt.waited)}"
        yield Line(attempt.sent - attempt.waited, "waits", waited, number)
    hedge = _hedge_of(facts, attempt)
    with_key = f" with {attempt.key}" if attempt.key else ""
    if hedge is not None and hedge.seconds is not None:
        delay = duration(hedge.seconds)
        text = f"still silent: {provider} asked too{with_key} (hedge_after {delay})"
        yield Line(attempt.sent, "hedge", text, number)
        return
    again = any(_same(each, attempt) for each in facts.attempts[:number])
    asked = "asked again" if again else "asked"
    yield Line(attempt.sent, "asked", f"{provider} {asked}{with_key}", number)


def _hedge_of(facts: Facts, attempt: AttemptFacts) -> Step | None:
    """The hedge by which *attempt* was sent."""
    for step in facts.steps:
        if step.kind == "hedge" and step.candidate + 1 < len(facts.deployments):
            first_of_hedge = next(
                (each for each in facts.attempts if each.sent >= step.at - 0.001 and not _is_of(facts, each, step)),
                None,
            )
            if first_of_hedge is attempt:
                return step
    return None


def _is_of(facts: Facts, attempt: AttemptFacts, step: Step) -> bool:
    """Whether *attempt* is one of the candidate that *step* is about."""
    return facts.deployments[step.candidate] == (attempt.provider, attempt.model)


def _same(one: AttemptFacts, other: AttemptFacts) -> bool:
    return (one.provider, one.model) == (other.provider, other.model)


def _steps(facts: Facts) -> Iterator[Line]:
    steps = facts.steps
    for index, step in enumerate(steps):
        provider, model = facts.deployments[step.candidate]
        if step.kind == "failed":
            yield Line(step.at, "failed", _failure(provider, step, _follow_ups(steps, index)), step.attempt)
        elif step.kind == "refused":
            yield Line(step.at, "refused", _refusal(provider, model, step), step.attempt)
        elif step.kind == "retry" and step.seconds and step.seconds > _NOTICED_SECONDS:
            yield Line(step.at, "retry", f"{provider} is asked again in {duration(step.seconds)}", step.attempt)


def _follow_ups(steps: tuple[Step, ...], index: int) -> str:
    """What a failure meant for the key."""
    failed = steps[index]
    # A limit is noted right after the failure; of one under 200, right before it.
    near = [each for each in steps[max(0, index - 1) : index + 2] if each.attempt == failed.attempt]
    for step in near:
        key = step.text or "the provider"
        if step.kind == "key_rests" and step.seconds:
            return f"; {key} rests {duration(step.seconds)} for this model"
        if step.kind == "key_aside" and step.seconds:
            return f"; {key} is put aside for {duration(step.seconds)}"
        if step.kind == "key_kept":
            return "; there is no other key"
    return ""


def _failure(provider: str, step: Step, follow_up: str) -> str:
    said = f" {quoted(step.text)}" if step.text and step.status is not None else ""
    if step.status is not None:
        return f"{provider}: {step.status}{said or f' ({_kind(step.code)})'}{follow_up}"
    if step.code == "first_token_timeout":
        return f"{provider}: {_timer(step)}: given up{follow_up}"
    return f"{provider} {reason_of(step.code).happened.format(seconds='too long')}: {step.text}{follow_up}"


def _kind(code: str) -> str:
    return reason_of(code).happened


def _timer(step: Step) -> str:
    seconds = seconds_in(step.text)
    return f"no token within {seconds} ({step.code})" if seconds else step.text


def seconds_in(text: str) -> str:
    """The time that a message of a timer names, such as ``4 s``; empty if it names none."""
    words = text.split()
    for number, word in enumerate(words[:-1]):
        if word in ("within", "for") and words[number + 2 : number + 3] in (["s"], ["s."]):
            return f"{words[number + 1]} s"
    return ""


def _refusal(provider: str, model: str, step: Step) -> str:
    again = "" if step.seconds is None else f" for {duration(step.seconds)}"
    if step.code == "breaker_open":
        cause = f", the last: {step.text}" if step.text else ""
        return f"{deployment(provider, model)} not asked: left alone{again}, after {step.status} failures{cause}"
    if step.code == "keys_resting":
        return f"{provider} not asked: every key rests{again}"
    return f"{provider} not asked: {step.text}"


def _answer(facts: Facts) -> Iterator[Line]:
    """What came of the answer, and the end."""
    number = next((index for index, each in enumerate(facts.attempts) if each.won), -1)
    won = facts.attempts[number] if number >= 0 else None
    said_by = f"{won.provider}: " if won is not None and len(facts.attempts) > 1 else ""
    for index, each in enumerate(facts.attempts):
        if each.first_byte is not None and (each.status or 0) < 400 and _is_of_interest(facts, each):
            yield Line(each.first_byte, "first_byte", f"{each.provider}: first byte", index)
    if facts.first_token is not None:
        yield Line(facts.first_token, "first_token", f"{said_by}first token", number)
    if facts.first_sentence is not None and facts.stream:
        yield Line(facts.first_sentence, "first_sentence", "first sentence", number)
    yield _end(facts, won, number)


def _is_of_interest(facts: Facts, attempt: AttemptFacts) -> bool:
    """Whether the first byte of *attempt* came long before it said anything, if it did."""
    said = facts.first_token if attempt.won else attempt.ended
    if said is None:
        said = facts.seconds
    return facts.stream and attempt.first_byte is not None and said - attempt.first_byte > _SECOND_OPINION_SECONDS


def _end(facts: Facts, won: AttemptFacts | None, number: int) -> Line:
    at, outcome = facts.seconds, facts.outcome
    if outcome is None:
        return Line(at, "now", phase(facts), number)
    if outcome == "cancelled":
        when = "before the first token" if not facts.first_token else "in the middle of the answer"
        asked = [each.provider for each in facts.attempts if each.ended is None or each.ended >= at - _TOGETHER_SECONDS]
        cancelled = f"; {asked[-1]} cancelled" if asked else ""
        return Line(at, "left", f"the client closed the connection {when}{cancelled}", number)
    if outcome == "ok":
        return Line(at, "done", "done", number)
    if facts.first_token is not None and facts.first_token < at:
        after = "" if facts.tokens is None else f" after {_tokens(facts)}"
        return Line(at, "cut", f"{_how_cut(facts)}{after}", number)
    code = f" {facts.error_code}" if facts.error_code else ""
    return Line(at, "done", f"{facts.status or _NO_ANSWER}{code} sent", number)


def _how_cut(facts: Facts) -> str:
    if facts.error_code == "upstream_broken":
        return "the connection broke"
    if facts.error_code == "upstream_timeout":
        return f"nothing came for {seconds_in(facts.error) or 'too long'}"
    if facts.error_code is None:
        return "the provider reported an error"
    return reason_of(facts.error_code).sentence.format(provider=facts.provider, model=facts.upstream_model).rstrip(".")


def _tokens(facts: Facts) -> str:
    count = facts.tokens.completion if facts.tokens is not None else 0
    about = "about " if facts.tokens is not None and facts.tokens.estimated else ""
    return f"{about}{count} token{'' if count == 1 else 's'}"


def _losers(facts: Facts) -> Iterator[Line]:
    """Sendings that were cut because another was quicker."""
    failed = {step.attempt for step in facts.steps if step.kind == "failed"}
    if not any(step.kind == "hedge" for step in facts.steps) or facts.outcome == "cancelled":
        return
    for number, each in enumerate(facts.attempts):
        if not each.won and number not in failed and each.ended is not None:
            yield Line(
                each.ended, "cancelled", f"{each.provider} cancelled after {duration(each.ended - each.sent)}", number
            )


def phase(facts: Facts) -> str:
    """What a request that is under way does now."""
    last = facts.attempts[-1] if facts.attempts else None
    if facts.first_token is not None or (last is not None and last.won and not facts.stream):
        return f"{facts.provider} talks"
    if last is None or last.ended is not None:
        if facts.follows:
            return f"follows {facts.follows}"
        return f"waits for a place at {facts.provider}" if facts.provider else "is read"
    return f"{last.provider} thinks" if last.first_byte is not None else f"{last.provider} was asked"
