"""The identity provider's keys: fetched beside the requests, and again when they may have changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from skyproxy.access.directory import Holder
from skyproxy.access.tokens.refusals import InvalidToken, KeysNotKnown
from skyproxy.access.tokens.verifier import Verified, Verifier
from skyproxy.config.access import TokenSettings
from skyproxy.errors import SkyproxyError

_log = Logger()

REFRESH_SECONDS = 600.0
"""Between two fetches. A key that the provider takes back opens nothing after that time."""

RETRY_SECONDS = 5.0
"""After a fetch that failed; doubled after each other one, up to :data:`REFRESH_SECONDS`."""

UNKNOWN_KEY_SECONDS = 10.0
"""Between two fetches because of tokens that name a key that is not known, so that who makes such up asks for few."""

MAX_AGE_SECONDS = 24 * 3600.0
"""For which keys count that cannot be fetched anew."""


class TokenKeys:
    """Checks tokens by the newest keys. While none are known, none is good: a request never waits for a fetch.

    :param clock: ``callLater`` and ``seconds`` are used.
    :param fetch: gets the set of keys as JSON.
    :param wall: the time of day, seconds since the epoch.
    """

    def __init__(
        self,
        clock: Any,
        settings: TokenSettings,
        fetch: Callable[[], Deferred[Any]],
        wall: Callable[[], float],
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._fetch = fetch
        self._wall = wall
        self._verifier: Verifier | None = None
        self._keys: Any = None
        self._fetched_at = self._asked_at = -MAX_AGE_SECONDS
        self._failures = 0
        self._pending: Deferred[None] | None = None
        self._timer: Any = None
        self._stopped = False
        self._refused: tuple[str, SkyproxyError] | None = None
        """The last token that was found to open nothing, until it is asked why."""

    def start(self) -> None:
        """Fetch the keys, now and from time to time."""
        self._refresh()

    def stop(self) -> None:
        """Fetch no more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pending is not None:
            self._pending.cancel()

    def follow(self, settings: TokenSettings) -> None:
        """Check tokens by *settings* from now on, by the keys that have come: they are those of the same place."""
        self.settings = settings
        if self._keys is not None:
            self._verifier = Verifier(settings, self._keys)

    def verify(self, token: str) -> Verified:
        """Check *token*.

        :raise InvalidToken: it opens nothing.
        :raise KeysNotKnown: nobody can tell now.
        """
        verifier, now = self._verifier, self._clock.seconds()
        if verifier is None or now - self._fetched_at > MAX_AGE_SECONDS:
            raise KeysNotKnown(
                "Tokens cannot be checked now: the keys of the identity provider (access.jwt.jwks) have not come.",
                retry_after=RETRY_SECONDS,
            )
        if not verifier.knows_key_of(token) and now - self._asked_at >= UNKNOWN_KEY_SECONDS:
            self._refresh()
        return verifier.verify(token, self._wall())

    def holder(self, token: str) -> Holder | None:
        """Whose *token* is; None: it opens nothing."""
        try:
            found = self.verify(token)
        except (InvalidToken, KeysNotKnown) as error:
            self._refused = (token, error.with_traceback(None))
            return None
        return Holder("client", found.identity, found.ends)

    def refusal(self, token: str) -> SkyproxyError:
        """Why *token*, which opens nothing, is refused."""
        refused, self._refused = self._refused, None
        if refused is not None and refused[0] == token:
            return refused[1]
        try:
            self.verify(token)
        except (InvalidToken, KeysNotKnown) as error:
            return error
        return InvalidToken("it did not hold a moment ago.")

    def _refresh(self) -> None:
        if self._pending is not None or self._stopped:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._asked_at = self._clock.seconds()
        pending = self._pending = self._fetch().addCallback(self._take)
        pending.addErrback(self._failed).addBoth(self._again)

    def _take(self, keys: Any) -> None:
        if keys != self._keys:
            self._verifier = Verifier(self.settings, keys)
            self._keys = keys
        self._fetched_at = self._clock.seconds()
        if self._failures:
            _log.info("The identity provider's keys have come", jwks=self.settings.jwks)
        self._failures = 0

    def _failed(self, failure: Failure) -> None:
        if self._stopped:
            return
        self._failures += 1
        if self._failures == 1:
            _log.warn(
                "The identity provider's keys cannot be fetched: those that are known count for a day",
                jwks=self.settings.jwks,
                error=f"{type(failure.value).__name__}: {failure.value}",
            )

    def _again(self, _: None) -> None:
        self._pending = None
        if not self._stopped:
            wait = RETRY_SECONDS * 2 ** (self._failures - 1) if self._failures else REFRESH_SECONDS
            self._timer = self._clock.callLater(min(wait, REFRESH_SECONDS), self._time_is_over)

    def _time_is_over(self) -> None:
        self._timer = None
        self._refresh()
