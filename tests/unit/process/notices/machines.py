"""Machines with workers, in memory: what they tell comes when it is carried, in whatever order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.task import Clock

from skyproxy.config import BreakerSettings, ProviderConfig
from skyproxy.process.notices.hearsay import Hearsay, OwnHearsay
from skyproxy.process.notices.names import Names
from skyproxy.process.notices.notice import Notice, Subject, message_of, read_notice
from skyproxy.process.notices.notices import Notices
from skyproxy.process.notices.outbox import State
from skyproxy.process.workers.board import Board
from skyproxy.process.workers.news import Found, Seen
from skyproxy.process.workers.publishing import Publisher
from skyproxy.process.workers.telling import Telling
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.admission_control import Guards
from skyproxy.upstream.guards.breaker import Breaker
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.upstream.guards.deployments import Deployments
from skyproxy.upstream.guards.findings import Teller
from skyproxy.upstream.guards.keys import KeyRing
from tests.unit.configs import config_of

FAR = "https://api.example/v1"


def provider_config(
    first: str = "key-one", second: str = "key-two", base_url: str = FAR, **more: str
) -> ProviderConfig:
    """A provider called ``some`` with two keys."""
    text = f"providers: {{some: {{base_url: '{base_url}', api_key_env: [A, B], breaker: {{open_for: 600s}}}}}}"
    return config_of(text, A=first, B=second, **more).providers["some"]


class Store:
    """In place of Redis: what is told waits for each machine that is connected.

    :ivar messages: all that were ever told.
    :ivar up: whether it is there.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.lines: list[Line] = []
        self.messages: list[bytes] = []
        self.states: dict[Subject, tuple[str, float, bytes]] = {}
        self.up = True

    @property
    def now(self) -> float:
        return self._clock.seconds()

    def tell(self, message: bytes | None, states: Sequence[State]) -> None:
        now = self.now
        for each in states:
            rank = each.rank or f"{now + each.seconds:030.6f}"
            if self.states.get(each.subject, ("", 0.0, b""))[0] <= rank:
                self.states.pop(each.subject, None)
                if each.seconds:
                    self.states[each.subject] = rank, now + each.seconds, each.value
        if message is not None:
            message = b"%d " % int(now * 1000) + message
            self.messages.append(message)
            for line in self.lines:
                if line.connected:
                    line.queue.append(message)

    def read(self) -> list[Notice]:
        now, found = self.now, []
        for _, ends, value in self.states.values():
            notice = read_notice(value)
            if notice is not None and ends > now:
                found.append(notice._replace(seconds=min(notice.seconds, ends - now)))
        return found

    def restart(self) -> None:
        """It is there again, with nothing."""
        self.states.clear()


class Line:
    """One machine's connection: a :class:`~skyproxy.process.notices.kept.KeptNotices`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.connected = False
        self.queue: deque[bytes] = deque()
        self.listener: Any = None
        store.lines.append(self)

    def listen(self, listener: Any) -> None:
        self.listener = listener

    def tell(self, message: bytes | None, states: Sequence[State], done: Callable[[bool], object]) -> None:
        if self.connected:
            self._store.tell(message, states)
        done(self.connected)

    def late(self, sent: int) -> float:
        return max(0.0, self._store.now - sent / 1000)

    def read(self, done: Callable[[list[Notice], int], object]) -> None:
        if self.connected:
            done(self._store.read(), 0)

    def connect(self) -> None:
        self.connected = True
        self.listener.ready()

    def cut(self) -> None:
        """What was told and is not heard is lost."""
        self.connected = False
        self.queue.clear()
        self.listener.lost()

    def carry(self, index: int = 0, *, again: bool = False) -> None:
        """The machine hears one of what waits."""
        if self.queue:
            index %= len(self.queue)
            message = self.queue[index]
            if not again:
                del self.queue[index]
            self.listener.heard(message)


def guards_of(clock: Clock, config: ProviderConfig, tell: Teller | None) -> Guards:
    """Those of a provider."""
    breaker = Breaker(clock, config.breaker or BreakerSettings(), config.name, tell=tell)
    limiter = Limiter(clock, max_concurrent=5, max_pending=5)
    keys = KeyRing(clock, config.api_keys, config.name, tell)
    return Guards(limiter, Deployments(clock, config.breaker, config.name, tell=tell), breaker, keys, rate=True)


class Hands:
    """Takes down what was done elsewhere."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.client = b""
        self.revoked_before: list[bytes] = []
        self.unknown = ""

    def purge(self) -> None:
        self.done.append("purge")

    def profile(self, name: str) -> bool:
        self.done.append(("profile", name))
        return name != self.unknown

    def put_back(self, provider: str, variable: str) -> None:
        self.done.append(("back", provider, variable))

    def revoke(self, is_revoked: Callable[[bytes], bool]) -> None:
        self.done.append(("revoked", is_revoked(self.client)))

    def recall(self, done: Callable[[list[bytes]], object]) -> None:
        done(self.revoked_before)


def limit_of(provider: Provider) -> str:
    return f"{provider.config.name} at {provider.config.base_url}"


class Machine:
    """A process alone with one provider.

    :ivar ways: what is told and not yet heard between its processes; here there are none.
    """

    def __init__(self, clock: Clock, store: Store, name: str, config: ProviderConfig, place: str = "") -> None:
        self.clock, self.name = clock, name
        self.line = Line(store)
        self.hands = Hands()
        self.names = Names("salt", limit_of, place or name)
        self.hearsay = self.make_hearsay(clock, int(name, 36) << 12)
        self.notices = Notices(clock, cast(Any, self.line), name, self.hearsay, self.names)
        self.make_providers(config)
        self.hearsay.follow({config.name: config})
        self.names.use([cast(Provider, SimpleNamespace(config=config))])

    def make_hearsay(self, clock: Clock, origin: int) -> Hearsay:
        return OwnHearsay(clock, origin)

    def make_providers(self, config: ProviderConfig) -> None:
        def make(tell: Teller | None) -> Provider:
            guards = guards_of(self.clock, config, tell)
            return cast(Provider, SimpleNamespace(config=config, guards=guards))

        assert self.hearsay.provider is not None
        made = self.hearsay.provider(make)
        self.guards = [made.guards]
        self.hearsay.begin(lambda: {config.name: made})

    def begin(self) -> None:
        """It is there, and so is the store."""
        self.notices.begin(self.hands)
        self.line.connect()

    def close_breaker(self) -> None:
        """Somebody closes the breaker of all of the provider."""
        for each in self.guards:
            each.breaker.close()  # type: ignore[union-attr]
        self.notices.by_hand.breakers_closed("some", [None])

    def carry(self) -> bool:
        """Carry what is told between its processes; tells whether there was anything."""
        return False


class Way:
    """From a parent to a worker."""

    waiting = 0

    def __init__(self) -> None:
        self.queue: deque[Any] = deque()

    def tell(self, message: Any) -> None:
        self.queue.append(message)

    def done(self) -> Any:
        raise AssertionError


class Worker:
    """One of a machine's."""

    def __init__(self, number: int, telling: Telling, sent: deque[Found]) -> None:
        self.number = number
        self.channel = Way()
        self.telling = telling
        self.sent = sent


class Parent(Machine):
    """A parent with two workers, each of which has the provider."""

    def make_hearsay(self, clock: Clock, origin: int) -> Hearsay:
        self.workers: list[Worker] = []
        self.publisher = Publisher(Board(clock.seconds), self.workers)
        self.publisher.board.origin = origin
        return Hearsay(self.publisher)

    def make_providers(self, config: ProviderConfig) -> None:
        self.guards = []
        for number in range(2):
            sent: deque[Found] = deque()
            board = self.publisher.board
            telling = Telling(board.origin + number, board.known(), cast(Any, sent.append))

            def make(tell: Teller | None) -> Provider:
                return cast(Provider, SimpleNamespace(config=config, guards=guards_of(self.clock, config, tell)))

            made = telling.provider(make)
            telling.begin(lambda made=made: {config.name: made})  # type: ignore[misc]
            self.guards.append(made.guards)
            self.workers.append(Worker(number, telling, sent))

    def close_breaker(self) -> None:
        seen = self.publisher.board.close_breaker("some", None)
        for each in self.workers:
            each.channel.queue.append(seen)
        self.notices.by_hand.breakers_closed("some", [None])

    def carry(self) -> bool:
        carried = False
        for each in self.workers:
            if each.sent:
                self.publisher.found(each.number, each.sent.popleft())
                carried = True
            if each.channel.queue:
                message = each.channel.queue.popleft()
                if isinstance(message, Seen):
                    # What the parent has done is in front of it, without a gap.
                    self.guards[each.number].breaker.close()  # type: ignore[union-attr]
                each.telling.take(message)
                carried = True
        return carried


def told(*notices: Any, machine: str = "x", sent: int = 0) -> bytes:
    """What a machine has told, as it comes."""
    return b"%d " % sent + message_of(machine, notices)


def settle(clock: Clock, *machines: Machine) -> None:
    """Carry all."""
    busy = True
    while busy:
        # What waits to be told goes.
        clock.advance(0.3)
        busy = False
        while any([_carry(each) for each in machines]):
            busy = True


def _carry(machine: Machine) -> bool:
    carried = machine.carry() or bool(machine.line.queue)
    machine.line.carry()
    return carried
