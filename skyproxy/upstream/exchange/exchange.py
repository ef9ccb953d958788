"""One request under way to a provider, and the time it may take."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from skyproxy.errors import SkyproxyError, UpstreamTimeout
from skyproxy.upstream.exchange.body import Body
from skyproxy.util.timers import Timers


class Exchange:
    """Watches over ``default_timeout``, which bounds the wait for the headers and, after them, the body until that is
    read as a stream.

    It is a timer itself: the body cancels it when it is read as a stream.

    :param provider: its name, for messages.
    :param seconds: ``default_timeout``.
    :param idle_timeout: of the body, if it is a stream; seconds.
    :param pending: the response that is waited for.
    :ivar expired: what it failed with when the time was over before the headers came.
    """

    __slots__ = (
        "_body", "_idle_timeout", "_pending", "_provider", "_seconds", "_setting", "_timers", "due", "expired",
    )  # fmt: skip

    due: float

    def __init__(
        self, timers: Timers, provider: str, seconds: float, idle_timeout: float, pending: Deferred[Any]
    ) -> None:
        self._timers = timers
        self._provider = provider
        self._seconds = seconds
        self._setting = "default_timeout"
        self._idle_timeout = idle_timeout
        self._pending = pending
        self._body: Body | None = None
        self.expired: SkyproxyError | None = None
        timers.start(self, seconds)

    def hurry(self, seconds: float, first_token_timeout: float) -> None:
        """Let the time be over in *seconds* from now, which is what is left of *first_token_timeout*."""
        if seconds < self._seconds and self.active():
            self._seconds, self._setting = first_token_timeout, "first_token_timeout"
            self._timers.start(self, max(0.0, seconds))

    def active(self) -> bool:
        """Whether the time is not over, and matters."""
        return self in self._timers.pending

    def cancel(self) -> None:
        """Nothing more is waited for. Does nothing when the time is over."""
        self._timers.pending.discard(self)
        self._body = None

    def body_of(self, response: Any) -> Body:
        """The body of *response*, which came in time."""
        body = Body(self._timers, self, self._idle_timeout)
        if self.active():
            # Of an answer that came whole there is nothing to watch, and the two would be a cycle of references.
            self._body = body
        response.deliverBody(body)
        return body

    def fire(self) -> None:
        """The time is over."""
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
