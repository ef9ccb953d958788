"""Whether skyproxy could listen where its configuration says, and who serves there if it could not."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from errno import ENOENT
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.endpoints import serverFromString

from skyproxy.config.listen_address import ListenAddress, address_in, files_in
from skyproxy.process.certificates import context_of
from skyproxy.process.listening import IN_USE, NO_SUCH_ADDRESS, number_of, why_not

_SECONDS = 2.0
_MAX_BYTES = 16 * 1024 * 1024


class Ports:
    """What was found about the ports of a configuration.

    :param source: of the configuration.
    :param running: the status of each skyproxy of this user that runs.
    :ivar errors: what keeps skyproxy from listening.
    :ivar warnings: what may do so.
    :ivar notes: who serves already.
    """

    def __init__(self, source: str, running: Sequence[dict[str, Any]]) -> None:
        self._source = source
        self._running = running
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def look(self, endpoints: Sequence[str]) -> None:
        """Bind each of *endpoints* that is one of TCP, and close it again. Nobody is listened to, so that whoever
        serves there goes on. Of others only the words are looked at: opening a socket of systemd's, say, would take it
        away.
        """
        addresses = {endpoint: address_in(endpoint) for endpoint in endpoints}
        for endpoint, address in addresses.items():
            wrong = words_error(endpoint)
            if wrong is not None:
                # Another user may read a file that this one may not, and systemd make the folder.
                may_do = isinstance(wrong, PermissionError) or endpoint.startswith("unix:")
                (self.warnings if may_do else self.errors).append(f"{endpoint}: {why_not(endpoint, wrong)}")
                continue
            if address is None or not address.port:
                continue
            error = bind_error(address)
            if error is None:
                continue
            number = number_of(error)
            if number in IN_USE:
                self._taken(endpoint, address, error)
            elif number in NO_SUCH_ADDRESS and _has_twin(address, list(addresses.values())):
                continue
            elif isinstance(error, PermissionError) and os.name != "nt":
                self.warnings.append(f"{endpoint}: {why_not(endpoint, error)}")
            else:
                self.errors.append(f"{endpoint}: {why_not(endpoint, error)}")

    def _taken(self, endpoint: str, address: ListenAddress, error: OSError) -> None:
        for status in self._running:
            base_url = status.get("base_url")
            if base_url and urlsplit(base_url).port == address.port:
                self._by_skyproxy(endpoint, status)
                return
        if is_skyproxy(address):
            self.warnings.append(
                f"{endpoint}: a skyproxy of another user serves there; nobody can tell by which configuration."
            )
            return
        self.errors.append(f"{endpoint}: {why_not(endpoint, error)}")

    def _by_skyproxy(self, endpoint: str, status: dict[str, Any]) -> None:
        if _is_same(status["configuration"], self._source):
            self.notes.append(
                f"skyproxy serves by this configuration already, at {status['base_url']} as process {status['pid']}."
            )
            return
        self.errors.append(
            f"{endpoint}: the port is in use by the skyproxy of process {status['pid']}, whose configuration is "
            f"{status['configuration']}: stop it with `skyproxy stop --pid {status['pid']}`, or choose another port"
        )


def words_error(endpoint: str) -> Exception | None:
    """What Twisted cannot understand of *endpoint*, or what is wrong with a file that it names; None: nothing is."""
    if endpoint.startswith("systemd:"):
        return None
    nowhere: Any = object()
    try:
        if endpoint.startswith("ssl:"):
            context_of(nowhere, endpoint)
        else:
            serverFromString(nowhere, endpoint)
    except Exception as error:  # whatever the endpoint's own parser says
        return error
    if endpoint.startswith("unix:"):
        for file in files_in(endpoint).values():
            folder = Path(file).parent
            if not folder.is_dir():
                return FileNotFoundError(ENOENT, "No such folder", str(folder))
    return None


def bind_error(address: ListenAddress) -> OSError | None:
    """What keeps *address* from being bound as skyproxy binds it; None: nothing does."""
    family = socket.AF_INET6 if address.kind == "tcp6" or ":" in address.interface else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trying:
            exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
            option = socket.SO_REUSEADDR if exclusive is None else exclusive
            trying.setsockopt(socket.SOL_SOCKET, option, 1)
            trying.bind((address.interface, address.port))
    except OSError as error:
        return error
    return None


def is_skyproxy(address: ListenAddress) -> bool:
    """Whether it is a skyproxy that answers at *address*, by its metrics. Over TLS nobody is asked."""
    if address.kind == "ssl":
        return False
    parts = urlsplit(address.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=_SECONDS)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        # Where it asks for a key, its refusal says who it is.
        refused = answer.status == 401 and answer.getheader("Server") == "skyproxy"
        return refused or b"skyproxy_build_info" in answer.read(_MAX_BYTES)
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _has_twin(address: ListenAddress, others: Sequence[ListenAddress | None]) -> bool:
    """Whether *address* is done without, since it is ::1 and 127.0.0.1 is listened at, too."""
    return address.interface == "::1" and address._replace(interface="127.0.0.1") in others


def _is_same(one: str, other: str) -> bool:
    """Whether both name the same configuration."""
    try:
        return one == other or os.path.samefile(one, other)
    except OSError:
        return False
