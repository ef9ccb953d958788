"""All keys that open something, by their digests: those of the configuration and those of the store together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf

from skyproxy.access.identity import ClientIdentity, identity_of
from skyproxy.access.keys import digest_of
from skyproxy.access.store import Role, StoredClient
from skyproxy.config.access import AccessSettings, ClientConfig, HeldKey

ADMIN = "admin"
"""The name of who asks with an admin key. No client has it."""


@dataclass(frozen=True, slots=True)
class Holder:
    """What a key is for.

    :ivar identity: whom it is counted for.
    :ivar ends: when it ends to be taken, seconds since the epoch; infinite: it does not.
    """

    role: Role
    identity: ClientIdentity
    ends: float = inf


NO_HOLDER = Holder("client", ClientIdentity(""), -inf)
"""Stands for whose key nobody knows, so that one takes as long to look up as another."""


class NameInBoth(Exception):
    """A client stands in the configuration and in the store, which may say different things of it.

    :ivar name: of the client.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"client {name} is in the store, too: revoke it there (skyproxy keys revoke --forget {name})")
        self.name = name


@dataclass(frozen=True, slots=True)
class Directory:
    """Those keys. It does not change; another takes its place.

    :ivar holders: by digest.
    :ivar clients: by name, those who may ask; those whose keys were revoked are not among them.
    :ivar has_clients: whether there is any client, or has been one that nobody has forgotten.
    :ivar opening: names and the beginnings of the keys that open something.
    """

    holders: Mapping[bytes, Holder]
    clients: Mapping[str, ClientIdentity]
    has_clients: bool = False
    opening: frozenset[tuple[str, str]] = frozenset()

    def has_role(self, role: Role) -> bool:
        """Whether any key is for *role*."""
        return any(holder.role == role for holder in self.holders.values())

    def keys_of(self, role: Role) -> frozenset[bytes]:
        """The digests of the keys that are for *role*."""
        return frozenset(digest for digest, holder in self.holders.items() if holder.role == role)

    def still_opens(self, identity: ClientIdentity) -> bool:
        """Whether the key that *identity* came by opens something."""
        return (identity.name, identity.key_id) in self.opening


NOBODY = Directory({}, {})


def directory_of(
    settings: AccessSettings, configured: Mapping[str, ClientConfig], stored: Iterable[StoredClient]
) -> Directory:
    """The keys of the configuration, *settings* and *configured*, and those of the store.

    :raise NameInBoth: a client stands in both.
    """
    stored = tuple(stored)
    both = next((each.name for each in stored if each.name in configured and each.revoked is None), None)
    if both is not None:
        raise NameInBoth(both)
    holders: dict[bytes, Holder] = {}
    clients: dict[str, ClientIdentity] = {}
    for each in stored:
        if each.role == "client" and each.keys:
            clients[each.name] = identity_of(each.name, each.settings)
        for key in each.keys:
            identity = identity_of(ADMIN if each.role == "admin" else each.name, each.settings)
            holders[key.digest] = _holder(each.role, identity, key.digest, key.ends)
    # What the file says counts where a digest stands in both.
    for client in configured.values():
        identity = clients[client.name] = identity_of(client.name, client)
        holders |= {digest: _holder("client", identity, digest, None) for digest in map(digest_of, client.key_hash)}
    holders |= _held("metrics", settings.metrics)
    # Where one key is both, it opens what either does.
    holders |= _held("admin", settings.admin)
    has_clients = bool(configured) or any(each.role == "client" for each in stored)
    opening = frozenset((each.identity.name, each.identity.key_id) for each in holders.values())
    return Directory(holders, clients, has_clients, opening)


def _holder(role: Role, identity: ClientIdentity, digest: bytes, ends: float | None) -> Holder:
    expires = None if identity.expires is None else identity.expires.timestamp()
    earliest = min((each for each in (ends, expires) if each is not None), default=inf)
    return Holder(role, replace(identity, key_id=digest.hex()[:8]), earliest)


def _held(role: Role, held: HeldKey | None) -> dict[bytes, Holder]:
    hashes = () if held is None else held.key_hash
    return {digest: _holder(role, ClientIdentity(role), digest, None) for digest in map(digest_of, hashes)}
