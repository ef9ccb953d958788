"""What the parent lends its workers of the limits of all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from skyproxy.access.limits.lent_limits import KINDS
from skyproxy.process.workers import messages
from skyproxy.process.workers.allotting import Allotting
from skyproxy.process.workers.lent_share import AskingShare, LentShare
from skyproxy.process.workers.marks import MARK, Marks
from skyproxy.process.workers.messages import Key
from skyproxy.process.workers.permits import BACKGROUND, PERMITS, PLACES, limit_of
from skyproxy.shares.parts import PREFIX, Parts
from skyproxy.shares.use import Use
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.deployments import Deployments


class Lending:
    """Hears what workers want of the limits, and tells them what they may use.

    :param tell: tells the worker of this number something.
    :param shows: has a provider's limiter keep to what this machine has of the permits.
    :ivar providers: gives those of the configuration that serves.
    """

    def __init__(
        self,
        reactor: Any,
        tell: Callable[[int, Any], None],
        shows: Callable[[Provider, int | None], object] = lambda provider, share: None,
    ) -> None:
        self._reactor = reactor
        self._shows = shows
        self._allotting = Allotting(reactor, self._limit, tell, self._hope)
        self.providers: Callable[[], Mapping[str, Provider]] = dict
        self._shares: dict[Key, LentShare] = {}
        self._parts: Parts | None = None
        self._marks = Marks(reactor.seconds, tell)
        self._marked: Mapping[str, Provider] = {}

    def heard(self, number: int, message: messages.Claims | messages.Learned | messages.OfMarks) -> None:
        """Worker *number* wants something, or has learned how many requests a provider takes."""
        if isinstance(message, messages.OF_MARKS):
            self._marked = self.providers()
            self._marks.heard(number, message)
            return
        if isinstance(message, messages.Claims):
            message = self._marks.claimed(number, message)
            self._allotting.heard(number, message)
            self._tell([*message.left, *(key for key, _, _ in message.reports)])
            return
        provider = self.providers().get(message.provider)
        if provider is not None:
            provider.guards.limiter.resize(message.max_concurrent)
            self._allotting.renew()

    def left(self, number: int) -> None:
        """Worker *number* has ended."""
        self._marks.left(number)
        self._allotting.left(number)
        self._tell(list(self._shares))

    def uses(self, provider: Provider) -> Mapping[str, Use]:
        """What uses the limits of *provider*, where other machines have their share of them; by the limit's name."""
        name, limiter, config = provider.config.name, provider.guards.limiter, provider.config
        permits = LentShare(
            self._allotting, ((PERMITS, name), (BACKGROUND, name)), lambda: limiter.whole,
            lambda share: self._shows(provider, share),
        )  # fmt: skip
        places = AskingShare(
            self._reactor, self._allotting, (PLACES, name), lambda: limiter.whole + config.max_pending, lambda: True
        )
        self._shares[PERMITS, name] = permits
        self._replace((PLACES, name), places)
        return {"max_concurrent": permits, "max_pending": places}

    def share_clients(self, parts: Parts) -> None:
        """Lend no more of the limits of clients than *parts* says."""
        self._parts = parts

    def renew(self) -> None:
        """Another configuration serves."""
        before, self._marked = self._marked, self.providers() if self._marks else {}
        self._marks.keep(lambda name: _deployments(self._marked.get(name)) is _deployments(before.get(name)))
        providers = self.providers()
        for key in [key for key in self._shares if key[0] not in KINDS and key[1] not in providers]:
            self._replace(key, None)
        self._allotting.renew()

    def _tell(self, keys: Iterable[Key]) -> None:
        for key in dict.fromkeys(keys):
            if key[0] in KINDS and self._parts is not None:
                self._follow(key, self._parts)
            share = self._shares.get(key)
            if share is not None and share.changed is not None:
                share.changed()

    def _follow(self, key: Key, parts: Parts) -> None:
        """See whether a limit of a client is used at all."""
        kind, client = key
        name, is_used = f"{PREFIX}{client}: {kind}", self._allotting.whole(key) > 0
        if is_used and key not in self._shares:
            share = AskingShare(
                self._reactor, self._allotting, key, lambda: self._allotting.whole(key), lambda: parts.may_ask(name),
                parts=True, ends=kind == "concurrent",
            )  # fmt: skip
            self._shares[key] = share
            parts.hold(name, share)
        elif not is_used and key in self._shares:
            self._replace(key, None)
            parts.drop(name)

    def _replace(self, key: Key, share: LentShare | None) -> None:
        before = self._shares.pop(key, None)
        if isinstance(before, AskingShare):
            before.stop()
        if share is not None:
            self._shares[key] = share

    def _hope(self, key: Key) -> int:
        share = self._shares.get(key)
        return share.hope() if isinstance(share, AskingShare) else 0

    def _limit(self, key: Key, told: int) -> int | None:
        kind, name = key
        if kind == MARK:
            return self._marks.limit(key)
        own = self._shares.get((PERMITS, name) if kind == BACKGROUND else key)
        share = None if own is None else own.share
        if kind in KINDS:
            return told if share is None else min(told, share)
        provider = self.providers().get(name)
        if provider is None:
            return None
        limiter = provider.guards.limiter
        permits = limiter.whole if share is None else min(limiter.whole, share)
        limit = limit_of(kind, permits, limiter.whole, provider.config)
        return limit if kind != PLACES or share is None else min(limit, share)


def _deployments(provider: Provider | None) -> Deployments | None:
    """Those that a later configuration's provider has from it."""
    return None if provider is None else provider.guards.own.deployments
