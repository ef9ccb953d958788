"""A request to one candidate, as the dispatcher needs it."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from skyproxy.config import Priority
from skyproxy.upstream.exchange.attempt import Attempt
from skyproxy.upstream.exchange.first_content import AnswerKind
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.exchange.timeouts import Timeouts
from skyproxy.upstream.exchange.upstream_request import UpstreamRequest


class CandidateRequest(Protocol):
    """One way to have a request answered.

    Its parts are known before the candidate's turn comes, except for the request itself, which is made then: most
    requests are answered by their first candidate.
    """

    @property
    def provider(self) -> Provider:
        """The provider that is asked."""

    @property
    def model(self) -> str:
        """As the provider calls it; for the log."""

    @property
    def window(self) -> int | None:
        """Tokens that the model reads at once; None if that is not known."""

    @property
    def request_id(self) -> str:
        """For the log."""

    @property
    def timeouts(self) -> Timeouts:
        """The times that this candidate allows."""

    @property
    def priority(self) -> Priority:
        """Which requests it goes before."""

    @property
    def streaming(self) -> bool:
        """Whether a stream is asked for."""

    @property
    def kind(self) -> AnswerKind:
        """What the answer is."""

    @property
    def hedge_after(self) -> float | None:
        """Seconds to the first content, after which the next candidate is asked besides; None: never."""

    @property
    def must_be_whole(self) -> bool:
        """Whether nothing can be done with a part of a whole answer."""

    def reserve(self, attempt: Attempt) -> Deferred[None] | None:
        """Reserve what *attempt* may cost, before it is sent.

        :return: fires when that is done; None: there is nothing to wait for.
        :raise SkyproxyError: it may not be sent.
        """

    def upstream_request(self) -> UpstreamRequest:
        """The request for the provider.

        :raise InvalidRequest: it cannot be written.
        """
