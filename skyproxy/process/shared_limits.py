"""The part of a process that shares limits with other machines, and tells them what it finds out, if the configuration
says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from skyproxy.access.gate import Gate
from skyproxy.config import Config, ProxySettings
from skyproxy.http.client.trust import Roots
from skyproxy.pipeline.changes import Change
from skyproxy.process.role import Role
from skyproxy.upstream.exchange.provider import Provider

if TYPE_CHECKING:
    from skyproxy.process.access_control import AccessControl
    from skyproxy.process.actions.operations import Operations
    from skyproxy.process.notices.telling import TellingMachines
    from skyproxy.process.sharing.shared_budgets import SharedBudgets
    from skyproxy.process.sharing.sharing import Sharing
    from skyproxy.upstream.guards.findings import Teller


class SharedLimits:
    """Has other machines keep to the limits together with this one. It does nothing where *settings* name no store.

    :param roots: vouch for a store that is reached over TLS.
    :param role: of this process: it is told when other providers serve, and knows what uses their permits.
    :param providers: gives those that serve.
    """

    def __init__(
        self,
        reactor: Any,
        settings: ProxySettings,
        roots: Roots,
        role: Role,
        providers: Callable[[], Mapping[str, Provider]],
    ) -> None:
        self._providers = providers
        self._reactor, self._role = reactor, role
        self._awaits_others = settings.shared is not None and not role.has_heard
        self._budgets: SharedBudgets | None = None
        self._sharing: Sharing | None = None
        self._telling: TellingMachines | None = None
        if settings.shared is not None and role.is_machine:
            # What speaks with Redis is not imported where there is none.
            from skyproxy.process.notices.telling import TellingMachines
            from skyproxy.process.sharing.sharing import name_of, sharing_of

            sharing = self._sharing = sharing_of(reactor, settings, roots, role.lends_for)
            role.share_clients(sharing.parts)
            self._telling = TellingMachines(
                reactor, sharing.store, sharing.name, role, partial(name_of, "max_concurrent")
            )

    def provider(self, make: Callable[[Teller | None], Provider]) -> Provider:
        """One provider, as :meth:`Role.provider <skyproxy.process.role.Role.provider>` makes it. Other machines hear
        what its guards find out.
        """
        return self._role.provider(make) if self._telling is None else self._telling.provider(make)

    def built(self, config: Config, changes: tuple[Change, ...]) -> None:
        """*config*, with *changes* by hand, serves from now on: have the role know, and share its limits."""
        self._role.built(config, changes)
        if self._sharing is not None and self._telling is not None:
            from skyproxy.process.sharing.sharing import limits_of

            self._sharing.use(limits_of(self._providers().values(), self._role.uses))
            self._telling.follow(self._providers())

    def start(self) -> None:
        """Meet the other machines."""
        if self._sharing is not None:
            self._sharing.start()
        if self._budgets is not None:
            self._budgets.start()

    def stop(self) -> Deferred[None] | None:
        """Leave the others what this one had, when nothing is in use any more."""
        sharing, budgets = self._sharing, self._budgets
        if sharing is None:
            return None
        return sharing.stop() if budgets is None else budgets.stop().addCallback(lambda _: sharing.stop())

    def share_budgets(self, gate: Gate) -> None:
        """Have other machines count what is spent here, and count what they spend."""
        sharing, role, budgets = self._sharing, self._role, gate.budgets
        if self._awaits_others:
            budgets.store.turns.await_others()
        if sharing is not None:
            from skyproxy.process.sharing.shared_budgets import SharedBudgets

            self._budgets = SharedBudgets(
                self._reactor,
                sharing.store,
                budgets.store,
                # Those of clients, too, that ask workers alone.
                lambda: any(True for _ in gate.accounts()),
                lambda: max(1, sharing.machines) * role.spenders,
                role.spent_elsewhere,
                budgets.catch_up,
            )

    def tell(self, operations: Operations, access: AccessControl) -> None:
        """Have other machines know from now on what is found out here and what people do by these, and follow them."""
        if self._telling is not None:
            self._telling.begin(operations, access, self._providers)

    def tell_no_more(self) -> None:
        """The process is about to end."""
        if self._telling is not None:
            self._telling.stop()

    def notices(self) -> Mapping[str, int]:
        """What was told and heard; empty: nothing is shared."""
        return {} if self._telling is None else self._telling.counts

    def leased(self) -> bool | None:
        """Whether all shares are granted; None: nothing is shared."""
        return None if self._sharing is None else self._sharing.is_leased
