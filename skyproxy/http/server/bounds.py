"""How many connections clients may have, in all and from one address."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import NamedTuple, TypeAlias

from twisted.logger import Logger

from skyproxy.util.throttle import Throttle

_log = Logger()

Network: TypeAlias = IPv4Network | IPv6Network

_TELL_AGAIN_SECONDS = 60.0


class Bounds(NamedTuple):
    """What holds now.

    :ivar most: connections in all; None: as many as there are descriptors.
    :ivar of_one: connections of one address; None: likewise.
    :ivar exempt: of these addresses there may be any number: they bring the clients of others.
    """

    most: int | None = None
    of_one: int | None = None
    exempt: Collection[Network] = ()

    def refuses(self, host: str, connections: int, of_host: int) -> str | None:
        """Why *host* may not connect; None: it may.

        :param host: its address; empty: it came by a UNIX socket, which is bounded by its rights.
        :param connections: that there are; *of_host*: of its own.
        """
        if not host:
            return None
        if self.most is not None and connections >= self.most:
            return "max_clients"
        if self.of_one is not None and of_host >= self.of_one and not is_in(host, self.exempt):
            return "max_clients_per_address"
        return None


def is_in(host: str, networks: Collection[Network]) -> bool:
    """Whether *host*, an address, is in one of *networks*. An IPv4 address may be written as one of IPv6."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any(each in network for each in (address, mapped) if each is not None for network in networks)


class Admission:
    """Lets clients connect, or not. Who is not let in is closed before a byte is read.

    :param seconds: the time, for how often that is told.
    :ivar refused: how many were not let in.

    :param open_of: gives how many connections there are, by address.
    """

    def __init__(self, seconds: Callable[[], float], open_of: Callable[[], Mapping[str, int]]) -> None:
        self._bounds = Bounds()
        self.refused = 0
        self._open_of = open_of
        self._warnings = Throttle(_TELL_AGAIN_SECONDS, seconds)

    def bound(self, bounds: Bounds) -> None:
        """Keep *bounds* from now on. Nobody who is there is closed."""
        self._bounds = bounds

    def admits(self, host: str) -> bool:
        """Whether another connection of *host* is taken."""
        bounds = self._bounds
        if bounds.most is None and bounds.of_one is None:
            return True
        hosts = self._open_of()
        why = bounds.refuses(host, sum(hosts.values()), hosts.get(host, 0))
        if why is None:
            return True
        self.refused += 1
        if self._warnings.allows():
            _log.warn("Clients are not let in: they have too many connections", limit=why, client=host)
        return False
