"""Everything that one request has taken of a provider's resources, given back together."""

from __future__ import annotations

from skyproxy.errors import ErrorKind, UpstreamReported
from skyproxy.upstream.exchange.attempt import Attempt
from skyproxy.upstream.guards.admissions import Admissions, Calm, settle
from skyproxy.upstream.guards.concurrency import Permit
from skyproxy.upstream.guards.deployments import Deployment
from skyproxy.upstream.guards.keys import Lease
from skyproxy.upstream.guards.rate_guard import Ticket

_FAILURES = frozenset({ErrorKind.BROKEN, ErrorKind.OVERLOADED})
_LONGEST_SAID = 300
"""Characters of what a provider says of a limit, which whoever must wait for it is told."""


class Reservation:
    """A permit, a key, the breakers' admissions, and a place among those under way.

    :param admissions: of the breakers; or the breakers themselves where both were calm, as they mostly are; None: there
        are none.
    :ivar lease: of the key; None where the provider has none.
    :ivar attempt: what is sent with it; None before.
    :ivar error_message: what the body of an error answer says; empty if nothing.
    :ivar in_json: whether it says so in JSON.
    :ivar kind: what it means; None if that is not known.
    """

    __slots__ = (
        "_admissions",
        "_deployment",
        "_permit",
        "_released",
        "attempt",
        "error_message",
        "in_json",
        "kind",
        "lease",
        "ticket",
    )

    def __init__(
        self,
        permit: Permit,
        admissions: Admissions | Calm | None,
        deployment: Deployment | None = None,
        lease: Lease | None = None,
        ticket: Ticket | None = None,
    ) -> None:
        self._permit = permit
        self._released = False
        self._admissions = Admissions() if admissions is None else admissions
        self._deployment = deployment
        self.lease = lease
        self.ticket = ticket
        self.attempt: Attempt | None = None
        self.error_message = ""
        self.in_json = False
        self.kind: ErrorKind | None = None

    def begun(self, status: int) -> None:
        """The provider has begun to answer. That is enough for a probe: others shall not wait for its end."""
        if self.ticket is not None and status != 429:
            self.ticket.proven(sure=status >= 300)
        attempt = self.attempt
        if attempt is not None:
            attempt.accepted = status < 300
            attempt.headers_at, attempt.status = attempt.now(), status
        if isinstance(self._admissions, Calm):
            if self._admissions.still:
                return
            self._admissions = self._admissions.admissions()
        provider, deployment = self._admissions
        if provider is not None and status < 500:
            provider.succeeded()
        if deployment is not None and deployment.is_probe and status < 400:
            deployment.succeeded()

    def release(self, status: int | None, error: BaseException | None) -> None:
        """Give all of it back. Does nothing when it was given back before.

        :param status: of the provider's answer; None if there was none.
        :param error: what the answer ended with, or kept it from coming; None if nothing was wrong on the way.
        """
        if self._released:
            return
        self._released = True
        # The breakers hear first: whoever gets the permit asks them.
        asked = self._admissions
        if not isinstance(asked, Calm) or error is not None or status is None or status >= 400 or not asked.still:
            admissions = asked.admissions() if isinstance(asked, Calm) else asked
            settle(admissions, status, error, self.error_message, in_json=self.in_json, kind=self.kind)
        if isinstance(error, UpstreamReported):
            self.error_message = error.said
            self.reported(error.kind, error.status, error.retry_delay)
        if self.attempt is not None:
            self.attempt.over(error)
        if self.lease is not None:
            if (error.kind if isinstance(error, UpstreamReported) else self.kind) in _FAILURES:
                self.lease.failed()
            self.lease.release()
        if self.ticket is not None:
            self.ticket.ended()
        if self._deployment is not None:
            self._deployment.busy -= 1
        self._permit.release()

    def reported(self, kind: ErrorKind, status: int, seconds: float | None, request: int = 0) -> None:
        """Have the key and the rate guard know of an error that is of this *kind*.

        :param status: by which it came, or that it states.
        :param seconds: for which the provider asks to be left alone; None if it does not say.
        :param request: a number that distinguishes the request from others; 0 where nobody knows it any more.
        """
        lease = self.lease
        if kind is ErrorKind.RATE:
            self._limited(seconds)
        elif lease is not None and kind in (ErrorKind.KEY_INVALID, ErrorKind.NO_CREDIT):
            lease.rejected(status, request, kind)
            if self.attempt is not None:
                self.attempt.observer.key_refused(self.attempt, lease.aside)

    def _limited(self, seconds: float | None) -> None:
        rest: float | None = None
        if self._deployment is not None:
            self._deployment.limit_said = " ".join(self.error_message[:_LONGEST_SAID].split())
        if self.ticket is not None:
            rest = self.ticket.limited(seconds) or None
        elif self.lease is not None:
            rest = self.lease.limited(seconds)
        if self.attempt is not None:
            self.attempt.observer.limited(self.attempt, rest)
