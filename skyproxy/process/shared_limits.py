"""The part of a process that shares limits with other machines, if the configuration says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from skyproxy.config import Config, ProxySettings
from skyproxy.http.client.trust import Roots
from skyproxy.pipeline.changes import Change
from skyproxy.process.role import Role
from skyproxy.upstream.exchange.provider import Provider

if TYPE_CHECKING:
    from skyproxy.process.sharing.sharing import Sharing

Built = Callable[[Config, tuple[Change, ...]], object]


class SharedLimits:
    """Does nothing where *settings* name no store.

    :param roots: vouch for a store that is reached over TLS.
    :param role: of this process: it is told when others serve, and knows what uses their permits.
    :param providers: those that serve.
    :ivar built: to be called in its place: it shares their limits, too.
    """

    def __init__(
        self,
        reactor: Any,
        settings: ProxySettings,
        roots: Roots,
        role: Role,
        providers: Callable[[], Mapping[str, Provider]],
    ) -> None:
        built: Built = role.built
        self.built = built
        self._sharing: Sharing | None = None
        if settings.shared is not None and role.is_machine:
            # What speaks with Redis is not imported where there is none.
            from skyproxy.process.sharing.sharing import limit_of, sharing_of

            sharing = self._sharing = sharing_of(reactor, settings, roots, role.lends_for)

            def share(config: Config, changes: tuple[Change, ...]) -> None:
                built(config, changes)
                sharing.use({limit_of(provider): role.use(provider) for provider in providers().values()})

            self.built = share

    def start(self) -> None:
        """Meet the other machines."""
        if self._sharing is not None:
            self._sharing.start()

    def stop(self) -> Deferred[None] | None:
        """Leave the others what this one had, when nothing is in use any more."""
        return None if self._sharing is None else self._sharing.stop()

    def leased(self) -> bool | None:
        """Whether all shares are granted; None: nothing is shared."""
        return None if self._sharing is None else self._sharing.is_leased
