"""The attempts of one request: kept for its record and its timeline, and their refusals for the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from skyproxy.access.budgets.charge import Charge
from skyproxy.errors import ErrorKind, SkyproxyError, Unavailable, UpstreamReported, UpstreamTimeout
from skyproxy.formats.error_body import masker
from skyproxy.pipeline.router import Candidate
from skyproxy.telemetry.refusals import MAY_ECHO, Refusal, Refusals
from skyproxy.telemetry.requests.facts import MAX_SENDINGS, MAX_STEPS, MAX_TEXT, Step, StepKind
from skyproxy.upstream.exchange.attempt import Attempt, AttemptObserver
from skyproxy.upstream.guards.refusals import BreakerOpen


class AttemptHistory(AttemptObserver):
    """Observes the attempts of one request.

    :param refusals: has the log know of what providers refuse.
    :ivar candidates: of the request, once they are known.
    :ivar current: the candidate that was asked last; before that, the first.
    :ivar count: of attempts.
    :ivar sendings: those that went out, in their order.
    :ivar answered: the one whose answer the client got.
    :ivar steps: what happened besides; most requests have none.
    :ivar follows: the id of the request whose answer this one shares.
    :ivar age: seconds that a kept answer was old.
    :ivar charge: what the request may cost, of budgets that it counts to; None: it counts to none.
    """

    __slots__ = (
        "_refusals", "_request_id", "age", "answered", "candidates", "charge", "count", "current", "follows",
        "sendings", "steps",
    )  # fmt: skip

    def __init__(self, request_id: str, refusals: Refusals) -> None:
        self._request_id = request_id
        self._refusals = refusals
        self.candidates: Sequence[Candidate] = ()
        self.current: Candidate | None = None
        self.count = 0
        self.sendings: list[Attempt] = []
        self.answered: Attempt | None = None
        self.steps: Sequence[Step] = ()
        self.follows: str | None = None
        self.age: float | None = None
        self.charge: Charge | None = None

    # As a trace.

    def deployments(self) -> list[tuple[str, str]]:
        """The provider and the model of each candidate."""
        return [(each.provider.name, each.model) for each in self.candidates]

    @property
    def secrets(self) -> list[str]:
        """The keys of the candidates' providers, and the like."""
        return [secret for each in self.candidates for secret in each.provider.secrets]

    def masked(self, text: str) -> str:
        """*text* without :attr:`secrets`."""
        return masker(self.secrets)(text)

    def shorten(self, most: int) -> None:
        """Keep no more than *most* characters of what a client has named, and not all of very many sendings."""
        if len(self.sendings) > MAX_SENDINGS:
            self.sendings = [*self.sendings[: MAX_SENDINGS - 1], self.sendings[-1]]
        self.candidates = tuple(
            each if len(each.model) <= most else replace(each, model=each.model[:most]) for each in self.candidates
        )

    # As an observer.

    def started(self, attempt: Attempt) -> None:
        self.current = self.candidates[attempt.candidate]
        self.count += 1

    def sent(self, attempt: Attempt) -> None:
        self.sendings.append(attempt)

    def refused(self, attempt: Attempt, error: SkyproxyError) -> None:
        if self.charge is not None:
            self.charge.release(attempt)
        failures, text, said = None, error.message, ""
        if isinstance(error, BreakerOpen):
            failures, text = error.failures, error.cause
        elif isinstance(error, Unavailable):
            said = error.said
        self._note(
            attempt,
            "refused",
            code=error.code or "",
            status=failures,
            text=self.masked(text),
            seconds=error.retry_after,
            said=self.masked(said),
        )

    def failed(self, attempt: Attempt, status: int, kind: ErrorKind, said: str) -> None:
        # It is of interest whichever candidate answers the client in the end.
        mask = self._tell(attempt, status, kind, said)
        text = "" if kind in MAY_ECHO else " ".join(mask(said[: 4 * MAX_TEXT]).split())
        self._note(attempt, "failed", code=kind.value, status=status, text=text)

    def reported(self, attempt: Attempt, error: UpstreamReported) -> None:
        self._tell(attempt, attempt.status or 200, error.kind, error.said)

    def unanswered(self, attempt: Attempt, error: SkyproxyError) -> None:
        code = error.timer if isinstance(error, UpstreamTimeout) else error.code or ""
        self._note(attempt, "failed", code=code, text=self.masked(error.message))

    def limited(self, attempt: Attempt, seconds: float | None) -> None:
        self._note(attempt, "key_rests", text=attempt.key or "", seconds=seconds)

    def key_refused(self, attempt: Attempt, seconds: float | None) -> None:
        self._note(attempt, "key_kept" if seconds is None else "key_aside", text=attempt.key or "", seconds=seconds)

    def retrying(self, attempt: Attempt, seconds: float, reason: str) -> None:
        self._note(attempt, "retry", code=reason, seconds=seconds)

    def falling_back(self, candidate: int, at: float, reason: str) -> None:
        self._keep(Step(at, "fallback", candidate, code=reason))

    def hedging(self, candidate: int, at: float, seconds: float) -> None:
        self._keep(Step(at, "hedge", candidate, seconds=seconds))

    def _tell(self, attempt: Attempt, status: int, kind: ErrorKind, said: str) -> Callable[[str], str]:
        """Have the log know; what takes out of a text what nobody may see."""
        candidate = self.candidates[attempt.candidate]
        mask = masker(candidate.provider.secrets)
        refusal = Refusal(self._request_id, candidate.provider.name, candidate.model, status, kind, said)
        self._refusals.heard(refusal, mask)
        return mask

    def _note(
        self,
        attempt: Attempt,
        kind: StepKind,
        *,
        code: str = "",
        status: int | None = None,
        text: str = "",
        seconds: float | None = None,
        said: str = "",
    ) -> None:
        # The attempt itself is not kept here: one that was not sent would keep this observer.
        number = -1 if attempt.sent_at is None else self.sendings.index(attempt)
        step = Step(
            attempt.now(), kind, attempt.candidate, number, code, status, text[:MAX_TEXT], seconds, said[:MAX_TEXT]
        )
        self._keep(step)

    def _keep(self, step: Step) -> None:
        steps = self.steps
        if not isinstance(steps, list):
            self.steps = steps = []
        if len(steps) >= MAX_STEPS:
            steps.pop()
        steps.append(step)
