"""What a provider takes, and what it answers 429."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol


@dataclass(eq=False)
class Request:
    """One request of a client.

    :ivar at: when it comes, in seconds of virtual time.
    :ivar talk: whether somebody waits for it; otherwise it is background.
    :ivar first: seconds from being taken until its first byte.
    :ivar duration: seconds from being taken until its end.
    :ivar tokens: that it costs.
    :ivar attempts: times that it was sent.
    :ivar sent_at: when it was sent last.
    """

    at: float
    model: str
    talk: bool
    first: float
    duration: float
    tokens: int
    attempts: int = 0
    sent_at: float = 0.0


class Limit(Protocol):
    """A limit, seen from the provider."""

    def room(self, request: Request, now: float) -> bool:
        """Whether *request* would be taken now, so far as can be known."""

    def take(self, request: Request, now: float) -> bool:
        """Take it, or answer 429."""

    def end(self, request: Request) -> None:
        """Its answer is over."""


class Unlimited:
    """Takes everything."""

    def room(self, request: Request, now: float) -> bool:
        return True

    def take(self, request: Request, now: float) -> bool:
        return True

    def end(self, request: Request) -> None:
        pass


class Once(Unlimited):
    """One 429 for the first that comes at *since* or later."""

    def __init__(self, since: float) -> None:
        self._since: float | None = since

    def take(self, request: Request, now: float) -> bool:
        if self._since is None or now < self._since:
            return True
        self._since = None
        return False


class Never(Unlimited):
    """One model always answers 429."""

    def __init__(self, model: str) -> None:
        self._model = model

    def room(self, request: Request, now: float) -> bool:
        return request.model != self._model

    take = room


class Chance(Unlimited):
    """429 for a share of the requests, whatever happens."""

    def __init__(self, share: float, random: Random) -> None:
        self._share = share
        self._random = random

    def take(self, request: Request, now: float) -> bool:
        return self._random.random() >= self._share


class AtOnce:
    """Requests at once.

    :param limits: pairs of the second from which on a limit holds, and the limit.
    """

    def __init__(self, *limits: tuple[float, int]) -> None:
        self._limits = limits
        self._busy = 0

    def room(self, request: Request, now: float) -> bool:
        return self._busy < next(limit for since, limit in reversed(self._limits) if now >= since)

    def take(self, request: Request, now: float) -> bool:
        if not self.room(request, now):
            return False
        self._busy += 1
        return True

    def end(self, request: Request) -> None:
        self._busy -= 1


class Bucket:
    """A rate: a bucket that fills evenly.

    :param per_minute: what flows in.
    :param size: what it holds at most, and at first.
    :param of_tokens: it holds tokens; otherwise requests.
    """

    def __init__(self, per_minute: float, size: float, *, of_tokens: bool = False) -> None:
        self._per_second = per_minute / 60
        self._size = self._level = size
        self._filled = 0.0
        self._of_tokens = of_tokens

    def _cost(self, request: Request) -> float:
        return request.tokens if self._of_tokens else 1

    def room(self, request: Request, now: float) -> bool:
        self._level = min(self._size, self._level + (now - self._filled) * self._per_second)
        self._filled = now
        return self._level >= self._cost(request)

    def take(self, request: Request, now: float) -> bool:
        if not self.room(request, now):
            return False
        self._level -= self._cost(request)
        return True

    def end(self, request: Request) -> None:
        pass


class Minutes:
    """A rate: so many requests in each minute of the provider's clock.

    :param offset: seconds by which its minutes begin later than ours.
    """

    def __init__(self, per_minute: int, offset: float) -> None:
        self._per_minute = per_minute
        self._offset = offset
        self._minute = -1.0
        self._taken = 0

    def room(self, request: Request, now: float) -> bool:
        minute = (now + 60 - self._offset) // 60
        if minute != self._minute:
            self._minute = minute
            self._taken = 0
        return self._taken < self._per_minute

    def take(self, request: Request, now: float) -> bool:
        if not self.room(request, now):
            return False
        self._taken += 1
        return True

    def end(self, request: Request) -> None:
        pass
