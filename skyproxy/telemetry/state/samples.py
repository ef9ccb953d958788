"""What the state is judged by: of each of the last requests what counts for its slot and for its candidates."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from skyproxy.errors import ErrorKind
from skyproxy.telemetry.requests.facts import Facts
from skyproxy.telemetry.requests.ring import MOST_REQUESTS, Kept, RequestRing, facts_of
from skyproxy.telemetry.requests.search import OF_PROVIDERS

_OF_REQUESTS = frozenset(
    each.value for each in (ErrorKind.CLIENT, ErrorKind.CONTENT, ErrorKind.CONTEXT_LENGTH, ErrorKind.PARAMETER)
)
"""What the request is at fault for."""


KEY_INVALID = "key_invalid"
UNREACHED = frozenset({"upstream_unreachable", "connect_timeout"})
"""The codes of what is said of a provider, whichever model is asked for."""


class Word(NamedTuple):
    """What a candidate was last heard to say.

    :ivar code: of what failed; empty: all was well.
    :ivar at: seconds since the epoch.
    :ivar endpoint: that was asked of it.
    :ivar said: what it had said of the limit by which a guard refused a request to it; empty if nothing.
    """

    provider: str
    model: str
    code: str
    text: str
    at: float
    endpoint: str
    said: str = ""

    @property
    def fault(self) -> str:
        """The code of what it failed by itself: that a request is wrong tells nothing against whoever says so."""
        return "" if self.code in _OF_REQUESTS else self.code

    @property
    def of_a_limit(self) -> str:
        """What it said of a limit that it met, in its own words; empty if nothing."""
        return self.text if self.code == "rate" else self.said


class Sample(NamedTuple):
    """One request.

    :ivar at: when it was over, seconds since the epoch.
    :ivar good: what the client got; None: it does not count, because the client left, or was wrong.
    :ivar rescued: it was answered although something failed, or by the second of two.
    :ivar code: of what it failed by, and *text* what was said; both empty where the client left, or people ended it.
    :ivar words: what its candidates said, in their order.
    :ivar costs: currencies and amounts, with those of sendings that were given up.
    :ivar tokens: all that were read and written, by these, too.
    """

    number: int
    request_id: str
    at: float
    slot: str | None
    provider: str | None
    good: bool | None
    rescued: bool
    code: str
    text: str
    stream: bool
    seconds: float
    first_token: float | None
    first_sentence: float | None
    costs: tuple[tuple[str, float], ...]
    words: tuple[Word, ...]
    tokens: int = 0


def sample_of(facts: Facts) -> Sample:
    """What counts of the request of *facts*, which is over."""
    at = facts.arrived + facts.seconds
    failures = [step for step in facts.steps if step.kind in ("failed", "refused")]
    words = [
        Word(
            *facts.deployments[step.candidate], step.code, step.text, facts.arrived + step.at, facts.endpoint, step.said
        )
        for step in failures
    ]
    won = next((each for each in facts.attempts if each.won), None)
    ok, wrong = facts.outcome == "ok", facts.outcome == "client_error"
    if won is not None and (ok or facts.first_token is not None):
        code = "" if ok or facts.outcome == "cancelled" else facts.error_code or "upstream_error"
        words.append(Word(won.provider, won.model, code, facts.error, at, facts.endpoint))
    code = failures[-1].code if failures else facts.error_code or ""
    good: bool | None = ok
    if (
        facts.outcome == "cancelled"
        or code == "paused"
        or facts.error_code == "ended_by_hand"
        or (wrong and code not in OF_PROVIDERS)
    ):
        good = None
    failed = good is False or wrong
    hedged = any(step.kind == "hedge" for step in facts.steps)
    second = won is not None and bool(facts.deployments) and facts.deployments[0] != (won.provider, won.model)
    return Sample(
        number=facts.number,
        request_id=facts.request_id,
        at=at,
        slot=facts.slot,
        provider=facts.provider,
        good=good,
        rescued=ok and (bool(failures) or (hedged and second)),
        code=code if failed else "",
        text="" if not failed else (failures[-1].text if failures else facts.error),
        stream=facts.stream,
        seconds=facts.seconds,
        first_token=facts.first_token,
        first_sentence=facts.first_sentence,
        costs=tuple(each for each in (*facts.given_up_cost, (facts.currency, facts.cost or 0.0)) if each[1]),
        words=tuple(words),
        tokens=facts.given_up_tokens + (0 if facts.tokens is None else facts.tokens.prompt + facts.tokens.completion),
    )


class Samples:
    """Those of the last requests. They are made when somebody looks, each once.

    :param ring: the requests.
    """

    def __init__(self, ring: RequestRing) -> None:
        self._ring = ring
        self._seen = 0
        self._samples: deque[Sample] = deque(maxlen=MOST_REQUESTS)

    def all(self) -> Iterable[Sample]:
        """The oldest first."""
        new = []
        for number, kept in self._ring.kept():
            if number <= self._seen:
                break
            new.append(_plain(number, kept) or sample_of(facts_of(number, kept)))
        self._samples.extend(reversed(new))
        self._seen = self._ring.total
        return self._samples


_make_sample, _make_word = partial(tuple.__new__, Sample), partial(tuple.__new__, Word)
"""As the classes do it, without going by the names of the parameters: in a third of the time."""


def _plain(number: int, kept: Kept) -> Sample | None:
    """The sample of a request that went the plain way, as nearly all do; None if it is none.

    It is the same as :func:`sample_of` makes, in an eighth of the time: under load there are thousands a second.
    """
    record, at, started, trace, _, _ = kept
    (
        request_id, endpoint, slot, provider, _, model, _, outcome, stream, latency, first, _, _, _, _, _, tokens, _,
        cost, currency, _, _, _, given_up, _, _, _,
    ) = record  # fmt: skip
    answered = trace.answered
    if (
        outcome != "ok" or trace.steps or given_up or answered is None or first is None
        or provider is None or model is None
    ):  # fmt: skip
        return None
    sentence = latency
    if answered.sentence_at is not None:
        sentence = answered.sentence_at - started
    elif stream:
        return None
    return _make_sample((
        number, request_id, at, slot, provider, True, False, "", "", stream, latency, first if stream else None,
        sentence, ((currency, cost),) if cost else (), (_make_word((provider, model, "", "", at, endpoint, "")),),
        0 if tokens is None else tokens.prompt + tokens.completion,
    ))  # fmt: skip
