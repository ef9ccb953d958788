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
_SENTINEL = "redis+sentinel"
_FORM_OF_SENTINEL = "must be a URL such as redis+sentinel://one.example:26379,two.example:26379/service"
_PORTS = {"redis": 6379, "rediss": 6379, _SENTINEL: 26379}
_SERVICE = re.compile(r"[\w.-]{1,100}", re.ASCII)
_EXTRA = 'needs what is not installed: pip install "skyproxy[redis]"'


class StoreAddress(NamedTuple):
    """A Redis.

    :ivar places: host, without the brackets of IPv6, and port: of the Redis, or of each Sentinel that knows it.
    :ivar service: what Sentinels call it; None: it is asked directly.
    :ivar secure: over TLS.
    """

    places: tuple[tuple[str, int], ...]
    service: str | None
    database: int
    user: str | None
    password: SecretStr | None
    secure: bool

    @property
    def shown(self) -> str:
        """The URL, for people: without who asks."""
        scheme = "redis+sentinel" if self.service else "rediss" if self.secure else "redis"
        service = f"/{self.service}" if self.service else ""
        return f"{scheme}://{','.join(authority(*place) for place in self.places)}{service}/{self.database}"


def authority(host: str, port: int) -> str:
    """``host:port``, with the brackets of IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def store_address(url: str) -> StoreAddress:
    """The store at *url*.

    :raise ValueError: it is no such URL. The message has nothing of it.
    """
    if not _VISIBLE_ASCII.fullmatch(url) or "?" in url or "#" in url:
        raise ValueError(f"{_FORM}; in a user or a password write %40 for @, and other signs likewise")
    scheme, _, rest = url.partition("://")
    if scheme not in _PORTS:
        raise ValueError(_FORM)
    netloc, _, path = rest.partition("/")
    who, _, where = netloc.rpartition("@")
    user, _, password = who.partition(":")
    service = None
    if scheme == _SENTINEL:
        service, _, path = path.partition("/")
        if not _SERVICE.fullmatch(service):
            raise ValueError(_FORM_OF_SENTINEL)
    elif "," in where:
        raise ValueError(_FORM)
    if not re.fullmatch(r"[0-9]{0,4}", path.removesuffix("/")):
        raise ValueError(_FORM if service is None else _FORM_OF_SENTINEL)
    return StoreAddress(
        tuple(_place(each, _PORTS[scheme]) for each in where.split(",")),
        service,
        int(path.removesuffix("/") or 0),
        unquote(user) or None,
        SecretStr(unquote(password)) if password else None,
        scheme == "rediss",
    )


def _place(text: str, usual_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = listen_host(parts.hostname or ""), parts.port
    except ValueError:
        raise ValueError(_FORM) from None
    if port == 0:
        raise ValueError(_FORM)
    return host, port or usual_port


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
