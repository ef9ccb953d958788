"""One attempt to have a request answered by one provider, and its observer."""

from __future__ import annotations

from collections.abc import Callable

from skyproxy.errors import ErrorKind, UpstreamReported, UpstreamUnusable


class AttemptObserver:
    """Learns of each attempt of one request.

    Each method does nothing here, so that an observer has only those that it needs.
    """

    def started(self, attempt: Attempt) -> None:
        """A candidate's turn has come; there is no permit yet."""

    def permit_waited(self, attempt: Attempt, seconds: float) -> None:
        """There is a permit, and it had to be waited for."""

    def sent(self, attempt: Attempt) -> None:
        """The request goes out."""

    def headers_received(self, attempt: Attempt, status: int) -> None:
        """The provider has begun to answer."""

    def first_content(self, attempt: Attempt) -> None:
        """The answer has said something, or is there whole, or is of a kind that is not looked at."""

    def failed(self, attempt: Attempt, status: int | None, kind: ErrorKind | None, said: str) -> None:
        """The attempt has come to no good answer.

        :param status: by which an error was reported; None if there was no answer.
        :param kind: what the reported error means; None if the provider reported none.
        :param said: in the provider's words; or else the code of skyproxy's error.
        """

    def given_up(self, attempt: Attempt) -> None:
        """What the attempt came to is not used: another follows, or has overtaken it."""

    def ended(self, attempt: Attempt, error: BaseException | None) -> None:
        """The answer is over, or given up because of *error*. Called for each attempt that was sent.

        Only :meth:`failed` and :meth:`given_up` may follow.
        """


class Attempt:
    """One sending of a request, be its answer wanted in the end or not.

    :param observer: learns what happens to it.
    :param candidate: the index of the candidate that is asked.
    :param seconds: gives the time.
    :ivar sent_at: when it went out, on that clock; None before that.
    :ivar key: the variable of the provider's key that went with it; None if it has none.
    :ivar ended_at: when its answer was over, or was given up; None before that.
    :ivar accepted: whether the provider got it, as far as can be known, and has not refused it.
    :ivar generated: of text, that had come when it was given up.
    """

    __slots__ = ("_seconds", "accepted", "candidate", "ended_at", "generated", "key", "observer", "sent_at")

    def __init__(self, observer: AttemptObserver, candidate: int, seconds: Callable[[], float]) -> None:
        self.observer = observer
        self.candidate = candidate
        self._seconds = seconds
        self.sent_at: float | None = None
        self.key: str | None = None
        self.ended_at: float | None = None
        self.accepted = False
        self.generated = 0

    def over(self, error: BaseException | None) -> None:
        """Its answer is over, or given up because of *error*. Its observer learns nothing more through it."""
        self.ended_at = self._seconds()
        if isinstance(error, UpstreamReported | UpstreamUnusable):
            self.accepted = False
        # An observer keeps the attempts, mostly: without this, the garbage collector would have to part the two.
        observer, self.observer = self.observer, _NO_OBSERVER
        observer.ended(self, error)


_NO_OBSERVER = AttemptObserver()
