"""Whether requests need a key, and whom each key is of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol

from skyproxy.access.directory import NO_HOLDER, NOBODY, Directory, Holder, NameInBoth, directory_of
from skyproxy.access.identity import ClientIdentity
from skyproxy.access.keys import trouble_with
from skyproxy.access.refusals import InvalidApiKey
from skyproxy.access.store import ClientStore, StoreNotUsable
from skyproxy.config import Config, ConfigError, Problem
from skyproxy.config.access import TOKEN_PREFIX, AccessSettings
from skyproxy.errors import SkyproxyError

_BEARER = b"bearer "
_LONGEST_KEY = 512
"""Bytes of a key that is looked up: none that is longer opens anything."""


class Tokens(Protocol):
    """Checks tokens; see :class:`~skyproxy.access.tokens.token_keys.TokenKeys`."""

    def holder(self, token: str) -> Holder | None: ...

    def refusal(self, token: str) -> SkyproxyError: ...


class Prepared(NamedTuple):
    """What a configuration, and the store that it names, come to.

    :ivar found_store: whether there is a file of clients.
    """

    settings: AccessSettings
    directory: Directory
    found_store: bool


class Access:
    """Knows who may ask.

    :param store: gives the file of a configuration's clients; None: there can be none.
    :param wall: the time of day, seconds since the epoch.
    :ivar tokens: checks those of an identity provider; None: none are taken.
    :ivar on: whether keys are looked at. Where they are not, nothing of this is in a request's way.
    :ivar required: whether requests need one.
    :ivar public: whether other machines can reach skyproxy.
    :ivar settings: of the configuration.
    :ivar directory: the keys that open something.
    """

    def __init__(self, store: Callable[[Config], Path | None], wall: Callable[[], float] = time.time) -> None:
        self._store = store
        self._wall = wall
        self.on = self.required = self.public = False
        self.settings = AccessSettings()
        self.directory = NOBODY
        self.tokens: Tokens | None = None
        self._found_store: Path | None = None

    def prepare(self, config: Config) -> Prepared:
        """Read what *config* names.

        :raise ConfigError: the store cannot be used, or a client stands in both. Then nobody is let in by it.
        """
        path = self._store(config)
        try:
            stored = () if path is None else ClientStore(path).read()
            found = path is not None and path.exists()
            if path is not None and path == self._found_store and not found:
                raise StoreNotUsable(f"{path}, the file of clients, is gone: put it back, or start skyproxy anew")
            directory = directory_of(config.access, config.clients, stored)
        except StoreNotUsable as error:
            raise ConfigError([Problem(config.source, None, "access.store", str(error))]) from None
        except NameInBoth as error:
            raise ConfigError([Problem(config.source, None, f"clients.{error.name}", str(error))]) from None
        return Prepared(config.access, directory, found)

    def use(self, config: Config, prepared: Prepared) -> None:
        """Let in who *prepared* says from now on."""
        self.settings, self.directory = prepared.settings, prepared.directory
        self._found_store = self._store(config) if prepared.found_store else None
        self._decide()

    def listens(self, public: bool) -> None:
        """Take note of where skyproxy listens.

        :param public: whether other machines reach it there.
        """
        self.public = public
        self._decide()

    def _decide(self) -> None:
        said = self.settings.required
        self.required = said == "true" or (said == "auto" and (self.is_reachable or self._has_clients))
        self.on = self.required or bool(self.directory.clients) or self.settings.jwt is not None

    @property
    def _has_clients(self) -> bool:
        return self.directory.has_clients or self.settings.jwt is not None

    @property
    def is_reachable(self) -> bool:
        """Whether others than this machine's users reach skyproxy: at its ports, or by a proxy in front of it."""
        return self.public or bool(self.settings.trust_forwarded_from)

    @property
    def lets_nobody_in(self) -> bool:
        """Whether others reach skyproxy, a key is needed, and nobody has one."""
        return self.is_reachable and self.required and not self._has_clients

    def holder(self, key: bytes) -> Holder | None:
        """Whom *key* is of; None: it opens nothing."""
        # The same steps for each key: how long they take tells nothing.
        holder = self.directory.holders.get(sha256(key).digest(), NO_HOLDER)
        if holder is NO_HOLDER and self.tokens is not None and is_token(key):
            return self.tokens.holder(key.decode("latin-1"))
        return holder if holder.ends > self._wall() else None

    def still_opens(self, identity: ClientIdentity) -> bool:
        """Whether what *identity* came by opens something."""
        if identity.name.startswith(TOKEN_PREFIX):
            return self.tokens is not None
        return self.directory.still_opens(identity)

    def refusal(self, key: bytes | None) -> SkyproxyError:
        """Why *key*, which opens nothing, is refused; None: none came. The key is not repeated."""
        if not key:
            return InvalidApiKey(
                "You did not bring a key: send the one that you were given as `Authorization: Bearer KEY`, or as "
                "`x-api-key`. Who looks after skyproxy makes one with `skyproxy keys create NAME`.",
                "no key",
            )
        if self.tokens is not None and is_token(key):
            return self.tokens.refusal(key.decode("latin-1"))
        trouble = "it is longer than any key" if len(key) > _LONGEST_KEY else trouble_with(key.decode("latin-1"))
        if trouble is not None:
            return InvalidApiKey(f"Incorrect API key provided: {trouble}.", "mistyped key")
        holder = self.directory.holders.get(sha256(key).digest())
        if holder is not None:
            return InvalidApiKey("Incorrect API key provided: it has expired.", "expired key")
        return InvalidApiKey("Incorrect API key provided: nobody here knows it, or it was revoked.", "unknown key")


def is_token(key: bytes) -> bool:
    """Whether *key* looks like a token: three parts, of which the first is an object of JSON (RFC 7519)."""
    return key.startswith(b"eyJ") and key.count(b".") == 2


def presented(fields: Mapping[bytes, bytes]) -> bytes | None:
    """The key that a request's *fields* bring; None: none."""
    given = fields.get(b"authorization")
    if given is not None and (given[:7] == b"Bearer " or given[:7].lower() == _BEARER) and (key := given[7:].strip()):
        return key
    # Some clients send an empty one where they have no place for a key but another field.
    return fields.get(b"x-api-key") or fields.get(b"api-key")


def revoked(access: Access, identities: Iterable[ClientIdentity]) -> set[tuple[str, str]]:
    """Names and keys of those of *identities* whose keys open nothing any more."""
    seen = {(each.name, each.key_id): each for each in identities}
    return {names for names, each in seen.items() if not access.still_opens(each)}
