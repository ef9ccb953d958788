"""How the guards of a provider refuse a request: it is not sent."""

from __future__ import annotations

from skyproxy.errors import Unavailable


class BreakerOpen(Unavailable):
    """The provider has failed too often in a row, and is left alone for ``open_for``.

    :ivar failures: how often it failed.
    :ivar cause: how it failed last; empty if nothing is known of that.
    """

    code = "breaker_open"

    def __init__(self, message: str, *, failures: int = 0, cause: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.failures = failures
        self.cause = cause


class KeysResting(Unavailable):
    """Every key of the provider has met its rate limit, and rests."""

    code = "keys_resting"


class BacklogFull(Unavailable):
    """``max_pending`` requests already wait for a permit of this provider."""

    code = "backlog_full"


class QueueTimeout(Unavailable):
    """No permit came free within ``queue_timeout``."""

    code = "queue_timeout"
