"""What the name or the address of a host tells of where it is."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

_PRIVATE_DOMAINS = (".localhost", ".local", ".home.arpa", ".internal")
"""RFC 6761, 6762 and 8375; ICANN reserves .internal."""

_CONTAINER_HOSTS = frozenset({"host.docker.internal", "gateway.docker.internal", "host.containers.internal"})


def is_localhost(host: str) -> bool:
    """Whether *host* is a name of this machine, whatever a resolver would say (RFC 6761, section 6.3)."""
    name = host.lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost")


def is_loopback(host: str) -> bool:
    """Whether *host*, a name or an address, is this machine."""
    address = _address(host)
    return is_localhost(host) if address is None else address.is_loopback


def is_container_host(host: str) -> bool:
    """Whether *host* is a name by which a container, of Docker or Podman, calls the machine that it is on."""
    return host.lower().removesuffix(".") in _CONTAINER_HOSTS


def is_private(host: str) -> bool:
    """Whether *host* is an address of a network that the internet does not know, loopback and link-local among them, or
    a name that its DNS never has.
    """
    address = _address(host)
    if address is not None:
        return address.is_private
    name = host.lower().removesuffix(".")
    return "." not in name or name.endswith(_PRIVATE_DOMAINS)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
