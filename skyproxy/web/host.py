"""Whether a request from this machine means this machine (DNS rebinding)."""

from __future__ import annotations

import re
from collections.abc import Container
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from twisted.internet.address import UNIXAddress

from skyproxy.errors import HostNotAllowed

_LONGEST = 300
"""Bytes of a name that is remembered: no name in DNS is longer (RFC 1035, section 2.3.4)."""

_PORT = re.compile(r":[0-9]*$")

# What a container calls the machine that it runs on, and what browsers look up nowhere (RFC 6761 section 6.3).
_OWN_NAMES = re.compile(r"(.*\.)?localhost\.?|host\.docker\.internal")


def check_host(host: bytes | None, local: Any, allowed: Container[str] = ()) -> None:
    """Refuse what a browser may have been tricked into asking.

    A page that has its own name resolve to 127.0.0.1 reads what is served there as if it came from the page's server;
    its requests carry that name. So on a connection over loopback, Host must be a name of this machine.
    Other connections are not looked at: by which names they may come, nobody here knows.

    :param host: the request's Host. Every browser sends one.
    :param local: this side's address of the connection.
    :param allowed: other names, in lower case, that Host may have; ``*`` is all.
    :raise HostNotAllowed: it is another machine's name.
    """
    if host is None or not is_loopback(getattr(local, "host", "")):
        return
    name, own = (_named if len(host) <= _LONGEST else _named.__wrapped__)(host)
    if own or name in allowed or "*" in allowed:
        return
    raise HostNotAllowed(
        "Ask for this path by the name localhost or 127.0.0.1, or list the name in the Host header under allowed_hosts."
    )


def check_near(peer: Any) -> None:
    """Refuse what comes from another machine.

    :param peer: the other side's address of the connection.
    :raise HostNotAllowed: it is not on this machine.
    """
    if not isinstance(peer, UNIXAddress) and not is_loopback(getattr(peer, "host", "")):
        raise HostNotAllowed("This path answers to this machine alone.")


def is_unmistakable(host: bytes | None, allowed: Container[str] = ()) -> bool:
    """Whether *host* is an address, or a name of this machine: no page can have such a one lead here.

    :param allowed: see :func:`check_host`.
    """
    if host is None or len(host) > _LONGEST:
        return False
    name, own = _named(host)
    return own or name in allowed or "*" in allowed or _is_address(name)


def own_origins(request: Any) -> tuple[bytes, ...]:
    """What a browser calls the origin of a page that it had where *request* asks: TLS may end at a proxy in front."""
    host = (request.header(b"host") or b"").lower()
    return (b"https://" + host, *(() if request.isSecure() else (b"http://" + host,)))


@lru_cache(1000)
def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@lru_cache(1000)
def _named(host: bytes) -> tuple[str, bool]:
    """The name in *host*, and whether it is this machine's."""
    name = _PORT.sub("", host.decode("latin-1")).lower()
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    return bare, _OWN_NAMES.fullmatch(name) is not None or is_loopback(bare)


@lru_cache(1000)
def is_loopback(address: str) -> bool:
    """Whether *address* is an IP address of this machine alone."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback
