"""One request under way to a provider, and the time it may take."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from skyproxy.errors import SkyproxyError, UpstreamTimeout
from skyproxy.upstream.body import Body
from skyproxy.upstream.timers import Cancellable, Clock


class Exchange:
    """Watches over ``default_timeout``: of the wait for the headers, and of the body after them until it is read as a
    stream.

    :param provider: its name, for messages.
    :param seconds: ``default_timeout``.
    :param idle_timeout: of the body, if it is a stream; seconds.
    :param pending: the response that is waited for.
    :ivar expired: what it failed with when the time was over before the headers came.
    """

    __slots__ = (
        "_body", "_clock", "_idle_timeout", "_pending", "_provider", "_seconds", "_setting", "_timer", "expired",
    )  # fmt: skip

    def __init__(
        self, clock: Clock, provider: str, seconds: float, idle_timeout: float, pending: Deferred[Any]
    ) -> None:
        self._clock = clock
        self._provider = provider
        self._seconds = seconds
        self._setting = "default_timeout"
        self._idle_timeout = idle_timeout
        self._pending = pending
        self._body: Body | None = None
        self.expired: SkyproxyError | None = None
        self._timer: Cancellable = clock.callLater(seconds, self._expire)

    def hurry(self, seconds: float, first_token_timeout: float) -> None:
        """Let the time be over in *seconds* from now, which is what is left of *first_token_timeout*."""
        if seconds < self._seconds and self._timer.active():
            self._timer.cancel()
            self._seconds, self._setting = first_token_timeout, "first_token_timeout"
            self._timer = self._clock.callLater(max(0.0, seconds), self._expire)

    def end(self) -> None:
        """Nothing more is waited for."""
        if self._timer.active():
            self._timer.cancel()

    def body_of(self, response: Any) -> Body:
        """The body of *response*, which came in time."""
        self._body = body = Body(self._clock, self._timer, self._idle_timeout)
        response.deliverBody(body)
        return body

    def _expire(self) -> None:
        late = UpstreamTimeout(
            f"Provider {self._provider!r} did not answer within {self._seconds:g} s ({self._setting}).",
            timer=self._setting,
        )
        body, self._body = self._body, None
        if body is None:
            self.expired = late
            self._pending.cancel()
        else:
            body.fail(late)
