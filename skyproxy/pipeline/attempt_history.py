"""The attempts of one request: kept for its record, and their refusals for the log."""

from __future__ import annotations

from collections.abc import Sequence

from skyproxy.errors import ErrorKind
from skyproxy.formats.error_body import masker
from skyproxy.pipeline.router import Candidate
from skyproxy.telemetry.refusals import Refusal, Refusals
from skyproxy.upstream.exchange.attempt import Attempt, AttemptObserver


class AttemptHistory(AttemptObserver):
    """Observes the attempts of one request.

    :param refusals: has the log know of what providers refuse.
    :ivar candidates: of the request, once they are known.
    :ivar current: the candidate that was asked last; before that, the first.
    :ivar count: of attempts.
    :ivar all_sent: those that went out, in their order.
    """

    def __init__(self, request_id: str, refusals: Refusals) -> None:
        self._request_id = request_id
        self._refusals = refusals
        self.candidates: Sequence[Candidate] = ()
        self.current: Candidate | None = None
        self.count = 0
        self.all_sent: list[Attempt] = []

    def started(self, attempt: Attempt) -> None:
        self.current = self.candidates[attempt.candidate]
        self.count += 1

    def sent(self, attempt: Attempt) -> None:
        self.all_sent.append(attempt)

    def failed(self, attempt: Attempt, status: int | None, kind: ErrorKind | None, said: str) -> None:
        if status is None or kind is None:
            return
        candidate = self.candidates[attempt.candidate]
        refusal = Refusal(self._request_id, candidate.provider.name, candidate.model, status, kind, said)
        # It is of interest whichever candidate answers the client in the end.
        self._refusals.heard(refusal, masker(candidate.provider.secrets))
