"""A worker's side of marks: its guards have shares of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from skyproxy.process.workers import messages
from skyproxy.process.workers.held import Want
from skyproxy.process.workers.holding import Channel, Holding
from skyproxy.process.workers.marks import mark_key, parts_of
from skyproxy.process.workers.messages import Key
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.findings import Teller
from skyproxy.upstream.guards.lent_guard import LentGuard


class _Link:
    """Of one guard. It lends to it, too.

    :param serves: whether the guard is one of the provider of its name that serves.
    """

    asks = False

    def __init__(self, marks: LentMarks, key: Key, serves: Callable[[], bool]) -> None:
        self._marks = marks
        self.key = key
        self._serves = serves
        self._guard: LentGuard | None = None
        self._held = False

    # To the guard.

    def lends_to(self, guard: LentGuard) -> None:
        self._guard = guard

    @property
    def guard(self) -> LentGuard:
        assert self._guard is not None
        return self._guard

    @property
    def leased(self) -> bool:
        return self._held and self._marks.holding.is_leased(self.key)

    def begin(self, share: int) -> None:
        if self._serves():
            self._held = True
            self._marks.begin(self.key, self, share)

    def limited(self) -> None:
        if self._held:
            self._marks.limited(self.key)

    def lowered(self, share: int) -> None:
        if self._held:
            self._marks.holding.lower(self.key, share)

    def false(self) -> None:
        if self._held:
            self._marks.false(self.key)

    def end(self) -> None:
        if self._held:
            self._held = False
            self._marks.end(self.key)

    def changed(self) -> None:
        if self._held:
            self._marks.holding.changed([self.key])

    def leave(self) -> None:
        """Another provider of this name serves: the guard is alone with what it has."""
        self._held = False

    # What is lent.

    @property
    def limit(self) -> int:
        return self.guard.learned

    def want(self) -> Want:
        in_flight, interactive, background = self.guard.demand()
        return Want(in_flight, in_flight + interactive, background)

    def lend(self, share: int) -> None:
        self.guard.lend(share)

    def answered(self, asked: Want, due: int) -> None:
        """Who waits may go on waiting."""

    def serves(self) -> bool:
        """Whether it is one of the provider that serves."""
        return self._serves()


class LentMarks:
    """The marks of which this worker has shares.

    :param channel: to the parent.
    :param providers: gives those that serve.
    """

    def __init__(self, holding: Holding, channel: Channel, providers: Callable[[], Mapping[str, Provider]]) -> None:
        self.holding = holding
        self._channel = channel
        self._providers = providers
        self._links: dict[Key, _Link] = {}
        self._seen = 0

    def provider(self, make: Callable[[Teller | None], Provider], teller: Teller | None) -> Provider:
        """One whose marks are shared."""
        made: list[Provider] = []

        def link(model: str, key: str) -> _Link:
            name = made[0].config.name
            known = _Link(self, mark_key(name, key, model), lambda: self._serves(known))
            return known

        made.append(make(None if teller is None else teller.sharing_marks(link)))
        return made[0]

    def heard(self, message: messages.MarkMet | messages.MarkFalse) -> None:
        """The parent has told something."""
        self._seen = message.number
        if isinstance(message, messages.MarkMet):
            if not message.own:
                guard = self._guard(message.key)
                if guard is not None:
                    guard.hear_met()
        else:
            link = self._links.get(message.key)
            if link is not None:
                link.guard.hear_false(rest=message.own)
            # It is confirmed with the next claims.
            self.holding.leave(message.key)

    def _serves(self, link: _Link) -> bool:
        """Whether the provider that serves has the guard of *link*, be it from one of an earlier configuration."""
        name, variable, model = parts_of(link.key)
        provider = self._providers().get(name)
        deployment = None if provider is None else provider.guards.deployments.known(model)
        return deployment is not None and deployment.guards.get(variable) is link.guard

    def _guard(self, key: Key) -> LentGuard | None:
        name, variable, model = parts_of(key)
        provider = self._providers().get(name)
        if provider is None or not provider.guards.rate:
            return None
        guard = provider.guards.deployments.of(model).guard(variable)
        return guard if isinstance(guard, LentGuard) else None

    def follow(self) -> None:
        """Other providers may serve now."""
        for key, link in list(self._links.items()):
            if not link.serves():
                link.leave()
                self.end(key)

    # Of links.

    def begin(self, key: Key, link: _Link, share: int) -> None:
        """A guard has a mark, and this share of it."""
        self._links[key] = link
        self.holding.hold(key, link, share)

    def limited(self, key: Key) -> None:
        """It has met a limit."""
        self._channel.tell_now(messages.MarkLimited(key, self._seen))

    def false(self, key: Key) -> None:
        """Its mark was false."""
        self._channel.tell_now(messages.MarkDropped(key))

    def end(self, key: Key) -> None:
        """It has none any more."""
        self._links.pop(key, None)
        self.holding.drop(key)
