"""One attempt to have a request answered by one provider, and its observer."""

from __future__ import annotations

from collections.abc import Callable

from skyproxy.errors import ErrorKind, SkyproxyError, UpstreamReported, UpstreamUnusable


class AttemptObserver:
    """Learns of each attempt of one request.

    Each method does nothing here, so that an observer has only those that it needs.

    :ivar count: of attempts so far.
    """

    __slots__ = ()

    count: int = 0

    def started(self, attempt: Attempt) -> None:
        """A candidate's turn has come; there is no permit yet."""

    def sent(self, attempt: Attempt) -> None:
        """The request goes out."""

    def refused(self, attempt: Attempt, error: SkyproxyError) -> None:
        """A guard of the candidate did not let the request go: it was not sent."""

    def failed(self, attempt: Attempt, status: int, kind: ErrorKind, said: str) -> None:
        """The provider has answered the attempt with an error.

        :param status: by which it came; 200 where the error is in the answer.
        :param kind: what it means.
        :param said: in the provider's words.
        """

    def reported(self, attempt: Attempt, error: UpstreamReported) -> None:
        """The attempt's answer, of which some has gone down, has turned out to be *error*."""

    def unanswered(self, attempt: Attempt, error: SkyproxyError) -> None:
        """The attempt has come to no answer, or to none that can be used, and the provider has not said why."""

    def limited(self, attempt: Attempt, seconds: float | None) -> None:
        """The attempt has met a rate limit.

        :param seconds: for which its key is not used for its model now; None: it is not known, or there is no rest.
        """

    def key_refused(self, attempt: Attempt, seconds: float | None) -> None:
        """The provider refuses the key of the attempt.

        :param seconds: for which it is put aside; None: it is not.
        """

    def retrying(self, attempt: Attempt, seconds: float, reason: str) -> None:
        """The candidate is asked again in *seconds*, because of *reason*."""

    def falling_back(self, candidate: int, at: float, reason: str) -> None:
        """The turn of the candidate after *candidate* has come, at the time *at*."""

    def hedging(self, candidate: int, at: float, seconds: float) -> None:
        """The candidate after *candidate*, which has been silent for *seconds*, is asked besides, at the time *at*."""


class Attempt:
    """One sending of a request, be its answer wanted in the end or not.

    :param observer: learns what happens to it.
    :param candidate: the index of the candidate that is asked.
    :param seconds: gives the time.
    :ivar now: gives it.
    :ivar sent_at: when it went out, on that clock; None before that.
    :ivar key: the variable of the provider's key that went with it; None if it has none.
    :ivar ended_at: when its answer was over, or was given up; None before that.
    :ivar waited: seconds for the permit.
    :ivar headers_at: when the provider began to answer; None before that.
    :ivar status: of the answer; None before that.
    :ivar sentence_at: when the first sentence of a stream had come; None before that, and where nobody looks for one.
    :ivar accepted: whether the provider got it, as far as can be known, and has not refused it.
    :ivar generated: bytes of text that had come when it was given up.
    :ivar span_id: by which its provider knows it; None: it is not traced.
    """

    __slots__ = (
        "accepted", "candidate", "ended_at", "generated", "headers_at", "key", "now", "observer", "sent_at",
        "sentence_at", "span_id", "status", "waited",
    )  # fmt: skip

    def __init__(self, observer: AttemptObserver, candidate: int, seconds: Callable[[], float]) -> None:
        self.observer = observer
        self.candidate = candidate
        self.now = seconds
        self.sent_at: float | None = None
        self.headers_at: float | None = None
        self.sentence_at: float | None = None
        self.status: int | None = None
        self.waited = 0.0
        self.key: str | None = None
        self.ended_at: float | None = None
        self.accepted = False
        self.generated = 0
        self.span_id: str | None = None

    def over(self, error: BaseException | None) -> None:
        """Its answer is over, or given up because of *error*. Its observer learns nothing more through it."""
        self.ended_at = self.now()
        if isinstance(error, UpstreamUnusable) or (isinstance(error, UpstreamReported) and not self.generated):
            # What was generated before the error is paid for.
            self.accepted = False
        # An observer keeps the attempts, mostly: without this, the garbage collector would have to part the two.
        self.observer = _NO_OBSERVER


_NO_OBSERVER = AttemptObserver()
