"""The limits of one client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from skyproxy.access.errors import RequestLimitExceeded, TokenLimitExceeded
from skyproxy.access.limits.window import SlidingWindow
from skyproxy.http.common.headers import Field
from skyproxy.telemetry.usage import Tokens

_BUSY_RETRY_SECONDS = 1.0
"""Seconds after which one of the requests under way may be over."""

_E = TypeVar("_E", bound=RequestLimitExceeded)


class Limits(Protocol):
    """What a client may ask for; None: as much as it likes.

    :ivar requests_per_minute: requests in any 60 seconds.
    :ivar tokens_per_minute: tokens, read and generated, in any 60 seconds.
    :ivar concurrent: requests at once.
    """

    @property
    def requests_per_minute(self) -> int | None: ...
    @property
    def tokens_per_minute(self) -> int | None: ...
    @property
    def concurrent(self) -> int | None: ...


class ClientLimits:
    """What one client has asked for lately, and what it may.

    :param name: of the client, for messages.
    :ivar concurrent_share: requests at once that may be here, where others come elsewhere; all of them where none do.
    :ivar under_way: its requests that are not over.
    :ivar refused: requests that a limit refused, by its name in the configuration.
    """

    __slots__ = ("concurrent", "concurrent_share", "name", "refused", "requests", "tokens", "under_way")

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self.requests: SlidingWindow | None = None
        self.tokens: SlidingWindow | None = None
        self.concurrent: int | None = None
        self.concurrent_share = 0
        self.under_way = 0
        self.refused: dict[str, int] = {}
        self.follow(limits)

    def follow(self, limits: Limits) -> None:
        """Keep to *limits* from now on. What has happened counts."""
        self.requests = _followed(self.requests, limits.requests_per_minute)
        self.tokens = _followed(self.tokens, limits.tokens_per_minute)
        self.concurrent = limits.concurrent
        self.concurrent_share = limits.concurrent or 0

    def enter(self, now: int, most: Tokens, catch_up: Callable[[], None]) -> int:
        """Count a request, which :meth:`leave` is to follow.

        :param now: the time in whole seconds.
        :param most: that it may take; estimated where the request itself sets no limit.
        :param catch_up: has all requests settled that are over.
        :return: the tokens that it counts as, until they are known.
        :raise RequestLimitExceeded: it is one too many.
        :raise TokenLimitExceeded: it may take more tokens than there are left.
        """
        requests, window, tokens = self.requests, self.tokens, 0
        if self.concurrent is not None and self.under_way >= self.concurrent_share:
            raise self._busy(self.concurrent)
        if requests is not None:
            requests.advance(now)
            if requests.used >= requests.share:
                raise self._too_many(requests)
        if window is not None:
            window.advance(now)
            tokens = most.prompt + most.completion
            if most.estimated and tokens > window.limit:
                # It was skyproxy that supposed so much. A limit that is lower than that shall not refuse all.
                tokens = max(most.prompt, window.limit)
            if window.used + tokens > window.share:
                catch_up()
                if window.used + tokens > window.share:
                    raise self._too_much(window, tokens)
            window.add(tokens)
        if requests is not None:
            requests.add(1)
        self.under_way += 1
        return tokens

    def leave(self) -> None:
        """A request is over, as far as its client is concerned."""
        self.under_way -= 1

    def settle(self, second: int, estimated: int, used: int) -> None:
        """A request that was counted in *second* with *estimated* tokens has taken *used*."""
        if self.tokens is not None and estimated != used:
            self.tokens.correct(second, used - estimated)

    def is_idle(self, now: int) -> bool:
        """Whether nothing is known that still counts.

        :param now: the time in whole seconds.
        """
        for window in (self.requests, self.tokens):
            if window is not None:
                window.advance(now)
                if window.used:
                    return False
        return not self.under_way

    def fields(self) -> list[Field]:
        """The header fields that tell the client of its limits, as OpenAI's do.

        https://platform.openai.com/docs/guides/rate-limits
        """
        found: list[Field] = []
        if self.requests is not None:
            found += _told(self.requests, *_OF_REQUESTS)
        if self.tokens is not None:
            found += _told(self.tokens, *_OF_TOKENS)
        return found

    def _refused(self, limit: str, error: _E, lacks: int | None = 1) -> _E:
        self.refused[limit] = self.refused.get(limit, 0) + 1
        error.fields = tuple(self.fields())
        if lacks is not None:
            error.lacks = limit, lacks
        return error

    def _busy(self, concurrent: int) -> RequestLimitExceeded:
        requests = "1 request" if concurrent == 1 else f"{concurrent} requests"
        error = RequestLimitExceeded(
            f"Client {self.name!r} has {requests} under way, and may have no more at once (concurrent).",
            retry_after=_BUSY_RETRY_SECONDS,
        )
        return self._refused("concurrent", error)

    def _too_many(self, window: SlidingWindow) -> RequestLimitExceeded:
        seconds = window.free_after(1)
        error = RequestLimitExceeded(
            f"Client {self.name!r} may ask {window.limit} times a minute (requests_per_minute), and has. "
            f"Try again in {seconds} s.",
            retry_after=float(seconds),
        )
        return self._refused("requests_per_minute", error)

    def _too_much(self, window: SlidingWindow, tokens: int) -> TokenLimitExceeded:
        begun = f"Client {self.name!r} may use {window.limit} tokens a minute (tokens_per_minute)"
        if tokens > window.limit:
            error = TokenLimitExceeded(
                f"{begun}, and this request may take {tokens}: ask for less, or set max_tokens lower.",
                param="max_tokens",
            )
        else:
            seconds = window.free_after(tokens)
            error = TokenLimitExceeded(
                f"{begun}: {window.left} are left, and this request may take {tokens}. Try again in {seconds} s.",
                retry_after=float(seconds),
            )
        return self._refused("tokens_per_minute", error, tokens if tokens <= window.limit else None)


_OF_REQUESTS = (b"X-RateLimit-Limit-Requests", b"X-RateLimit-Remaining-Requests", b"X-RateLimit-Reset-Requests")
_OF_TOKENS = (b"X-RateLimit-Limit-Tokens", b"X-RateLimit-Remaining-Tokens", b"X-RateLimit-Reset-Tokens")


def _told(window: SlidingWindow, limit: bytes, remaining: bytes, reset: bytes) -> list[Field]:
    # All of a window is there again 60 seconds after the last request, which is this one.
    return [
        (limit, b"%d" % window.limit),
        (remaining, b"%d" % window.left),
        (reset, b"1m0s" if window.used else b"0s"),
    ]


def _followed(window: SlidingWindow | None, limit: int | None) -> SlidingWindow | None:
    if limit is None:
        return None
    if window is None:
        return SlidingWindow(limit)
    window.limit = window.share = limit
    return window
