"""What providers and keys are called between machines: by digests, from which nobody learns a key.

A machine finds what is meant among its own. What another machine does not have, or has with another key, is not meant.
"""

from __future__ import annotations

import hmac
import platform
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from skyproxy.config import ProviderConfig
from skyproxy.config.hosts import is_loopback
from skyproxy.config.masking import Masker, masker
from skyproxy.upstream.exchange.provider import Provider

_BYTES = 16


class _Known(NamedTuple):
    """A provider of this machine.

    :ivar keys: names, by the variables that hold them; empty: it has none.
    :ivar mask: takes its secrets out of texts.
    """

    name: str
    config: ProviderConfig
    keys: dict[str, str]
    mask: Masker


class Names:
    """Finds out what is meant.

    :param salt: known to all who share a store.
    :param limit_of: the name that the limit of a provider has for all machines.
    :param place: distinguishes this machine from all others: a server at its own loopback is nobody else's.
    """

    def __init__(self, salt: str, limit_of: Callable[[Provider], str], place: str) -> None:
        self._salt = salt.encode()
        self._limit_of = limit_of
        self._place = place
        self._by_name: dict[str, str] = {}
        self._known: dict[str, _Known] = {}

    def use(self, providers: Iterable[Provider]) -> None:
        """These serve from now on."""
        self._by_name.clear()
        self._known.clear()
        for each in providers:
            config, identity = each.config, self._identity(each)
            self._by_name[config.name] = identity
            self._known[identity] = _Known(config.name, config, self._keys_of(config), masker(config.secrets))

    def provider(self, name: str) -> str | None:
        """What the provider called *name* here is called by all; None: there is none."""
        return self._by_name.get(name)

    def key(self, name: str, variable: str) -> str | None:
        """What the key of a provider is called by all."""
        identity = self._by_name.get(name)
        return None if identity is None else self._known[identity].keys.get(variable)

    def here(self, provider: str) -> ProviderConfig | None:
        """The provider that is meant; None: this machine does not have it."""
        known = self._known.get(provider)
        return None if known is None else known.config

    def masked(self, provider: str, text: str) -> str:
        """*text* without the secrets of the provider that is called so by all."""
        known = self._known.get(provider)
        return text if known is None else known.mask(text)

    def variables(self, provider: str, key: str) -> list[str]:
        """The variables that hold the key that is meant."""
        known = self._known.get(provider)
        return [] if known is None else [variable for variable, each in known.keys.items() if each == key]

    def client(self, digest: bytes) -> str:
        """What the key of a client is called, whose *digest* is kept."""
        return self._digest("client", digest)

    def _identity(self, provider: Provider) -> str:
        own = self._place if is_loopback(urlsplit(provider.config.base_url).hostname or "") else ""
        return self._digest("provider", self._limit_of(provider).encode(), own.encode())

    def _keys_of(self, config: ProviderConfig) -> dict[str, str]:
        if config.api_keys:
            return {
                each.variable: self._digest("key", each.secret.get_secret_value().encode()) for each in config.api_keys
            }
        # One who asks without a key is known by what else is secret, if by anything.
        return {"": self._digest("headers", *(each.get_secret_value().encode() for each in config.header_secrets))}

    def _digest(self, kind: str, *values: bytes) -> str:
        digest = hmac.new(self._salt, kind.encode(), "sha256")
        for each in values:
            digest.update(len(each).to_bytes(8, "big") + each)
        return digest.digest()[:_BYTES].hex()


def own_place() -> str:
    """What distinguishes this machine, and the network that its loopback is of, from all others, as far as is known."""
    found = [platform.node(), host_place()]
    with suppress(OSError):
        found.append(str(Path("/proc/self/ns/net").readlink()))
    return " ".join(found)


def host_place() -> str:
    """What all containers on this machine have, and those on no other."""
    # Elsewhere than on Linux the name must do.
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return platform.node()
