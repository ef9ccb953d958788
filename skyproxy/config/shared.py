"""The store by which machines share limits: where it is."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from skyproxy.config.rules import listen_host

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_FORM = "must be a URL such as redis://127.0.0.1:6379 or rediss://user:password@redis.example:6379/0"
_EXTRA = "needs what is not installed: pip install 'skyproxy[redis]'"


class StoreAddress(NamedTuple):
    """A Redis.

    :ivar host: without the brackets of IPv6.
    :ivar secure: over TLS.
    """

    host: str
    port: int
    database: int
    user: str | None
    password: SecretStr | None
    secure: bool

    @property
    def origin(self) -> str:
        """``host:port``, with the brackets of IPv6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def shown(self) -> str:
        """The URL, for people: without who asks."""
        return f"{'rediss' if self.secure else 'redis'}://{self.origin}/{self.database}"


def store_address(url: str) -> StoreAddress:
    """The store at *url*.

    :raise ValueError: it is no such URL. The message has nothing of it.
    """
    if not _VISIBLE_ASCII.fullmatch(url) or "?" in url or "#" in url:
        raise ValueError(f"{_FORM}; in a user or a password what is no letter or digit is written as %40 for @")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = listen_host(parts.hostname or "")
    except ValueError:
        raise ValueError(_FORM) from None
    database = parts.path.strip("/")
    if parts.scheme not in ("redis", "rediss") or port == 0 or not re.fullmatch(r"[0-9]{0,4}", database):
        raise ValueError(_FORM)
    password = unquote(parts.password) if parts.password else None
    return StoreAddress(
        host,
        port or 6379,
        int(database or 0),
        unquote(parts.username) if parts.username else None,
        None if password is None else SecretStr(password),
        parts.scheme == "rediss",
    )


def checked_store(value: Any) -> Any:
    """*value*, if a store can be reached by it.

    :raise ValueError: it is no URL of one, or what speaks with one is not installed.
    """
    if isinstance(value, SecretStr):
        store_address(value.get_secret_value())
        if not has_extra():
            raise ValueError(_EXTRA)
    return value


def has_extra() -> bool:
    """Whether what speaks with Redis is installed."""
    return find_spec("txredisapi") is not None
