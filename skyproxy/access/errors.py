"""How requests are refused that a limit or a budget does not allow."""

from __future__ import annotations

from skyproxy.errors import InvalidRequest, SkyproxyError, Unavailable


class RequestLimitExceeded(SkyproxyError):
    """The client has asked as often as it may in a minute, or has as much under way as it may at once.

    :ivar lacks: the limit, by its name in the configuration, and how much of it was missing; None: it would never do.
    """

    status = 429
    type = "requests"
    code = "rate_limit_exceeded"
    retryable = True
    lacks: tuple[str, int] | None = None


class TokenLimitExceeded(RequestLimitExceeded):
    """The client has used the tokens that it may use in a minute, or asks for more than these in one request."""

    type = "tokens"


class InsufficientQuota(SkyproxyError):
    """A budget has not got left what the request may cost.

    :param instead: the slot that serves such requests; None: none does.
    :param final: whether nothing comes back before the budget's period is over. Otherwise what is missing is reserved
        by requests under way, and some of it may come back soon.
    """

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"
    for_the_next = True

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        instead: str | None = None,
        final: bool = True,
    ) -> None:
        super().__init__(message, param=param, retry_after=retry_after)
        self.instead = instead
        if final:
            self.fields = ((b"X-Should-Retry", b"false"),)


class NoPrice(InvalidRequest):
    """The price of the model is not known, or not in the currency of a budget that the request counts to."""

    code = "no_price"
    for_the_next = True


class BudgetsUnwritable(Unavailable):
    """What is spent cannot be written down, so that nothing may be spent."""

    code = "budget_store_unavailable"
    for_the_next = True
