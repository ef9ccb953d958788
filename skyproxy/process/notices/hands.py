"""Does here what people have done at another machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from skyproxy.errors import NotFound
from skyproxy.process.access_control import AccessControl
from skyproxy.process.actions.operations import Operations
from skyproxy.upstream.exchange.provider import Provider

_log = Logger()

BY = "another machine"
"""Who has done it, for people."""


class OwnHands:
    """That by which people do the same at this machine.

    :param providers: gives those that serve.
    """

    def __init__(
        self, operations: Operations, access: AccessControl, providers: Callable[[], Mapping[str, Provider]]
    ) -> None:
        self._operations = operations
        self._access = access
        self._providers = providers

    def purge(self) -> None:
        """Forget the answers that are kept."""
        self._operations.purge(BY)

    def profile(self, name: str) -> bool:
        """Use a profile, or none: ``off``. Where the configuration has none of that name all stays as it is.

        :return: whether it has.
        """
        try:
            self._operations.profile(name, BY)
            return True
        except NotFound:
            _log.warn(
                "Another machine uses a profile that the configuration here does not have: nothing is changed here",
                profile=name,
            )
            return False

    def put_back(self, provider: str, variable: str) -> None:
        """Use a key again that a provider had refused; one that people here have put aside stays so."""
        guards = self._providers()[provider].guards
        keys = () if guards.keys is None else guards.keys.statistics()
        if not any(each.variable == variable and each.by_hand for each in keys):
            guards.put_back(variable)

    def revoke(self, is_revoked: Callable[[bytes], bool]) -> Deferred[Any]:
        """Take the keys of clients of whose digests *is_revoked* says so."""
        return self._access.revoke_keys(is_revoked, BY).addErrback(_not_revoked)

    def recall(self, done: Callable[[Collection[bytes]], object]) -> Deferred[Any]:
        """Have *done* know the digests of clients' keys that people have revoked here lately."""
        return self._access.revoked_before().addCallback(done).addErrback(_not_recalled)


def _not_recalled(failure: Failure) -> None:
    _log.warn(
        "Keys that were revoked here while other machines could not be told are not told to them now",
        reason=failure.getErrorMessage(),
    )


def _not_revoked(failure: Failure) -> None:
    _log.error(
        "A client's key that another machine has revoked could not be revoked here: `skyproxy keys revoke` does",
        reason=failure.getErrorMessage(),
    )
