"""What stands between the clients and the provider: nothing, the rule, or one who knows the provider's limit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from skyproxy.upstream.guards.rate_guard import RateGuard, Ticket

from .limits import Limit, Request
from .time import VirtualTime

PERMITS = 25
QUEUE_TIMEOUT = 30.0
WAY = 0.04
"""Seconds from here to the provider, and back."""
ATTEMPTS = 3
PAUSES = (0.5, 1.0)
ORACLE_LOOKS = 0.05
"""Seconds after which the oracle looks again whether there is room."""


@dataclass
class Outcome:
    """What became of the requests of one run.

    :ivar waits: seconds from coming until the request that was answered went out.
    """

    answered: int = 0
    refused: int = 0
    talk_refused: int = 0
    limited: int = 0
    waits: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.answered / max(1, self.answered + self.refused)


class Gate:
    """Permits, queues of each model, talk before background, and the provider behind.

    :param counts: whether what becomes of a request is of interest.
    :param fallback: another provider takes at once what this one does not.
    """

    def __init__(
        self, time: VirtualTime, limit: Limit, counts: Callable[[Request], bool], *, fallback: bool = False
    ) -> None:
        self.time = time
        self.limit = limit
        self.outcome = Outcome()
        self._counts = counts
        self._fallback = fallback
        self._permits = PERMITS
        self._queues: dict[tuple[bool, str], deque[Request]] = {}
        self._waiting: set[Request] = set()

    # What gates differ in.

    def may(self, request: Request) -> bool:
        """Whether *request* may go now; if not, :meth:`pump` is to be called when it may."""
        return True

    def sent(self, request: Request) -> None:
        """It goes."""

    def proven(self, request: Request) -> None:
        """Its first byte has come."""

    def met(self, request: Request) -> None:
        """It got a 429."""
        self._again(request)

    def ended(self, request: Request) -> None:
        """Its answer is over."""

    # What they have in common.

    def come(self, request: Request) -> None:
        """A client asks."""
        self._wait(request, first=False)
        self.pump()
        if request in self._waiting:
            if self._fallback and self._permits:
                self._leave(request)
                self._answered(request)
            else:
                self.time.callLater(QUEUE_TIMEOUT, self._expire, request)

    def pump(self) -> None:
        """Send who may go."""
        for talk, model in sorted(self._queues, reverse=True):
            queue = self._queues[talk, model]
            while queue and self._permits and self.may(queue[0]):
                request = queue.popleft()
                self._waiting.discard(request)
                self._permits -= 1
                request.attempts += 1
                request.sent_at = self.time.seconds()
                self.sent(request)
                self._send(request)

    def _again(self, request: Request) -> None:
        """To the next candidate, or to the head of the queue."""
        if self._fallback:
            self._answered(request)
        elif self.time.seconds() < request.at + QUEUE_TIMEOUT:
            self._wait(request, first=True)
            self.time.callLater(request.at + QUEUE_TIMEOUT - self.time.seconds(), self._expire, request)
        else:
            self._refused(request)

    def _wait(self, request: Request, *, first: bool) -> None:
        queue = self._queues.setdefault((request.talk, request.model), deque())
        if first:
            queue.appendleft(request)
        else:
            queue.append(request)
        self._waiting.add(request)

    def _leave(self, request: Request) -> None:
        self._waiting.discard(request)
        self._queues[request.talk, request.model].remove(request)

    def _expire(self, request: Request) -> None:
        if request in self._waiting:
            self._leave(request)
            self._refused(request)

    def _refused(self, request: Request) -> None:
        if self._counts(request):
            self.outcome.refused += 1
            self.outcome.talk_refused += request.talk

    def _answered(self, request: Request) -> None:
        if self._counts(request):
            self.outcome.answered += 1
            self.outcome.waits.append(self.time.seconds() - request.at)

    # At the provider.

    def _send(self, request: Request) -> None:
        self.time.callLater(WAY, self._arrive, request)

    def _arrive(self, request: Request) -> None:
        if self.limit.take(request, self.time.seconds()):
            self.time.callLater(request.first + WAY, self._first_byte, request)
            self.time.callLater(request.duration, self.limit.end, request)
            self.time.callLater(request.duration + WAY, self._end, request)
        else:
            self.outcome.limited += 1
            self.time.callLater(WAY, self._limited, request)

    def _limited(self, request: Request) -> None:
        self._permits += 1
        self.met(request)
        self.pump()

    def _first_byte(self, request: Request) -> None:
        if self._counts(request):
            self.outcome.answered += 1
            self.outcome.waits.append(request.sent_at - request.at)
        self.proven(request)

    def _end(self, request: Request) -> None:
        self._permits += 1
        self.ended(request)
        self.pump()


class NoGate(Gate):
    """Asks at most three times, after pauses, as each request would on its own."""

    def met(self, request: Request) -> None:
        if self._fallback:
            self._again(request)
        elif request.attempts < ATTEMPTS:
            self.time.callLater(PAUSES[request.attempts - 1], self.come, request)
        else:
            self._refused(request)


class Rule(Gate):
    """A :class:`RateGuard` for each model."""

    def __init__(
        self, time: VirtualTime, limit: Limit, counts: Callable[[Request], bool], *, fallback: bool = False
    ) -> None:
        super().__init__(time, limit, counts, fallback=fallback)
        self._guards: dict[str, RateGuard] = {}
        self._tickets: dict[Request, Ticket] = {}
        self._look_at: dict[str, float] = {}

    def make(self, model: str) -> RateGuard:
        """A new guard."""
        return RateGuard(self.time, self.pump)

    def guard(self, model: str) -> RateGuard:
        """That of *model*."""
        guard = self._guards.get(model)
        if guard is None:
            guard = self._guards[model] = self.make(model)
        return guard

    def may(self, request: Request) -> bool:
        model = request.model
        wait = self.guard(model).wait(background=not request.talk)
        if wait:
            at = self.time.seconds() + wait
            if self._look_at.get(model, 0.0) < at:
                self._look_at[model] = at
                self.time.callLater(wait, self.pump)
        return wait == 0.0

    def sent(self, request: Request) -> None:
        self._tickets[request] = self._guards[request.model].sent(background=not request.talk)

    def proven(self, request: Request) -> None:
        self._tickets[request].proven()

    def met(self, request: Request) -> None:
        ticket = self._tickets.pop(request)
        self._again(request)
        ticket.limited(None)

    def ended(self, request: Request) -> None:
        self._tickets.pop(request).ended()


class Oracle(Gate):
    """Knows what the provider has room for, and is there at once."""

    def __init__(
        self, time: VirtualTime, limit: Limit, counts: Callable[[Request], bool], *, fallback: bool = False
    ) -> None:
        super().__init__(time, limit, counts, fallback=fallback)
        self._looking = False

    def may(self, request: Request) -> bool:
        if self.limit.room(request, self.time.seconds()):
            return True
        if not self._looking:
            self._looking = True
            self.time.callLater(ORACLE_LOOKS, self._look)
        return False

    def _look(self) -> None:
        self._looking = False
        self.pump()

    def _send(self, request: Request) -> None:
        # So that what it knows is right for the next one, too.
        self._arrive(request)
