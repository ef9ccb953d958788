"""Address and port in an endpoint of Twisted's, as far as it is one of TCP: twisted.internet.endpoints."""

from __future__ import annotations

import re
from typing import NamedTuple

_UNESCAPED_COLON = re.compile(r"(?<!\\):")

# Which of an endpoint's parts, without a name of its own, is the interface.
_INTERFACE_AT = {"tcp": 1, "tcp6": 2, "ssl": 4}


class ListenAddress(NamedTuple):
    """Where an endpoint listens.

    :ivar kind: ``tcp``, ``tcp6`` or ``ssl``.
    :ivar port: 0: one that the system chooses.
    :ivar interface: an address or a name; empty: all addresses.
    """

    kind: str
    port: int
    interface: str

    @property
    def url(self) -> str:
        """Of the API there, for this machine."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.interface, self.interface)
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self.kind == 'ssl' else 'http'}://{host}:{self.port}/v1"


def address_in(endpoint: str) -> ListenAddress | None:
    """The address in *endpoint*; None: it is of another kind, or has no port."""
    kind, *parts = _UNESCAPED_COLON.split(endpoint.removeprefix("haproxy:"))
    if kind not in _INTERFACE_AT:
        return None
    unnamed = [part for part in parts if "=" not in part]
    named = dict(part.split("=", 1) for part in parts if "=" in part)
    port = named.get("port", unnamed[0] if unnamed else "")
    interface = named.get("interface", "".join(unnamed[_INTERFACE_AT[kind] :][:1])).replace("\\", "")
    return ListenAddress(kind, int(port), interface) if port.isascii() and port.isdigit() else None
