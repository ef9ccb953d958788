"""Address and port in an endpoint of Twisted's, as far as it is one of TCP: twisted.internet.endpoints."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_UNESCAPED_COLON = re.compile(r"(?<!\\):")

# Which of an endpoint's parts, without a name of its own, is the interface.
_INTERFACE_AT = {"tcp": 1, "tcp6": 2, "ssl": 4}

# Which of its parts name files, without and with a name of their own.
_FILES_AT = {"ssl": (1, 2), "unix": (0,)}
_FILES = frozenset({"privateKey", "certKey", "extraCertChain", "dhParameters", "address"})


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


def files_in(endpoint: str) -> dict[int, str]:
    """The files that *endpoint* names, such as a key, by the number of its part."""
    parts = _UNESCAPED_COLON.split(endpoint)
    begin = int(parts[0] == "haproxy")
    places = _FILES_AT.get("".join(parts[begin : begin + 1]), ())
    found = {}
    unnamed = -1
    for number, part in enumerate(parts[begin + 1 :] if places else (), begin + 1):
        name, is_named, file = part.partition("=")
        if not is_named:
            unnamed, file = unnamed + 1, part
        if file and (name in _FILES if is_named else unnamed in places):
            found[number] = re.sub(r"\\(.)", r"\1", file)
    return found


def below(endpoint: str, folder: Path) -> str:
    """*endpoint*, with the files that it names by a relative path below *folder*."""
    return with_files(endpoint, lambda file: str(folder / file))


def with_files(endpoint: str, instead: Callable[[str], str]) -> str:
    """*endpoint*, with other files.

    :param instead: gives the one in place of each that it names.
    """
    parts = _UNESCAPED_COLON.split(endpoint)
    for number, file in files_in(endpoint).items():
        name, is_named, _ = parts[number].partition("=")
        path = re.sub(r"([\\:])", r"\\\1", instead(file))
        parts[number] = f"{name}={path}" if is_named else path
    return ":".join(parts)
