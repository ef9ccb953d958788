"""Everything that one request holds of a provider, given back together."""

from __future__ import annotations

from skyproxy.errors import UpstreamError
from skyproxy.upstream.breaker import Admission
from skyproxy.upstream.keys import Lease
from skyproxy.upstream.limiter import Permit


class Hold:
    """A permit, a key, and the breaker's admission.

    :ivar lease: of the key; None where the provider has none.
    :ivar is_probe: whether how it goes tells if the provider works again.
    """

    __slots__ = ("_admission", "_permit", "_released", "is_probe", "lease")

    def __init__(self, permit: Permit, admission: Admission | None, lease: Lease | None) -> None:
        self._permit = permit
        self._released = False
        self._admission = admission
        self.is_probe = admission is not None and admission.is_probe
        self.lease = lease

    def probed(self, status: int) -> None:
        """The provider has begun to answer this probe. That is enough: others shall not wait for its end."""
        if self._admission is not None and status < 500 and status not in (401, 403, 408, 429):
            self._admission.succeeded()

    def release(self, status: int | None, error: BaseException | None) -> None:
        """Give all of it back. Does nothing when it was given back before.

        :param status: of the provider's answer; None if there was none.
        :param error: what the answer ended with, or kept it from coming; None if nothing was wrong on the way.
        """
        if self._released:
            return
        self._released = True
        # The breaker hears first: whoever gets the permit asks it.
        if self._admission is not None:
            settle(self._admission, status, error)
        if self.lease is not None:
            self.lease.release()
        self._permit.release()


def settle(admission: Admission, status: int | None, error: BaseException | None) -> None:
    """Tell the breaker how a request went.

    Refusals that concern the request, the key or the rate say nothing about whether the provider works, and neither
    does a client that leaves.
    """
    if isinstance(error, UpstreamError) or (error is None and status is not None and status >= 500):
        admission.failed()
    elif error is None and status is not None and status < 400:
        admission.succeeded()
    else:
        admission.ignored()
