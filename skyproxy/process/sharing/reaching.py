"""How a Redis is reached that the configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.endpoints import wrapClientTLS

from skyproxy.config.shared import StoreAddress, authority
from skyproxy.http.client.agent import Origin, endpoint_of
from skyproxy.http.client.tls import verified
from skyproxy.http.client.trust import Roots
from skyproxy.process.sharing.sentinel import SentinelEndpoint

_CONNECT_SECONDS = 3.0


def endpoint_to(reactor: Any, address: StoreAddress, roots: Roots) -> Any:
    """What connects to the store at *address*.

    :param roots: vouch for one that is reached over TLS.
    """

    def way(host: str, port: int) -> Any:
        return endpoint_of(Origin(f"http://{authority(host, port)}"), reactor, _CONNECT_SECONDS, None)

    if address.service is not None:
        return SentinelEndpoint(reactor, address.service, [way(*place) for place in address.places], way)
    (place,) = address.places
    if not address.secure:
        return way(*place)
    return wrapClientTLS(verified(place[0], roots.trust(), [], tickets=False), way(*place))


def login_of(address: StoreAddress) -> Mapping[str, Any]:
    """Who asks there, and in which database: what :class:`txredisapi.RedisProtocol` takes."""
    password = None if address.password is None else address.password.get_secret_value()
    return {"password": password, "username": address.user, "dbid": address.database or None}
