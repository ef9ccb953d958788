"""h2's state of a server, and what is refused of a client's requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from skyproxy.http.common.headers import Field
from skyproxy.http.h2.tables import BoundedEncoder
from skyproxy.http.h2.unchecked import UncheckedConnection
from skyproxy.http.server.limits import ServerLimits

MAX_STREAMS = 100
"""Streams that a client may have open at once."""

_FIELD_OVERHEAD_BYTES = 32  # RFC 9113 section 6.5.2.


class Refusal(NamedTuple):
    """Why a request is not served.

    :ivar status: of its answer.
    :ivar reason: for the person who reads the answer.
    """

    status: int
    reason: str


def server_state(limits: ServerLimits) -> H2Connection:
    """h2's state of a server that keeps *limits*."""
    h2 = UncheckedConnection(
        H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
    )
    h2.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_bytes,
        },
    )
    h2.encoder = BoundedEncoder()
    # What is somewhat over a limit can still be answered. Beyond, h2 ends the connection.
    h2.decoder.max_header_list_size = 2 * limits.header_bytes
    return h2


def begin(h2: H2Connection) -> None:
    """Say how this server speaks, and go on beyond: h2 would end the connection, and all its streams, at the first one
    over :data:`MAX_STREAMS`, of which a client that has just connected has not heard.
    """
    h2.initiate_connection()
    h2.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 2 * MAX_STREAMS
    h2.local_settings.acknowledge()


def refusal_of(fields: Sequence[Field], limits: ServerLimits) -> Refusal | None:
    """Why a request of these *fields* is not served; None if it is. RFC 9113 allows a proxy more."""
    if sum(not name.startswith(b":") for name, _ in fields) > limits.header_count:
        return Refusal(431, f"There are more than {limits.header_count} header fields.")
    if sum(len(name) + len(value) + _FIELD_OVERHEAD_BYTES for name, value in fields) > limits.header_bytes:
        return Refusal(431, f"The header fields are over {limits.header_bytes} bytes.")
    known = dict(fields)
    method, path = known.get(b":method"), known.get(b":path", b"")
    if method == b"CONNECT":
        return Refusal(400, "CONNECT is not served: this is no forward proxy.")
    if not path.startswith(b"/") and (method, path) != (b"OPTIONS", b"*"):
        return Refusal(400, "The request target is not a path.")
    if int(known.get(b"content-length", b"0")) > limits.body_bytes:
        return too_large(limits)
    return None


def too_large(limits: ServerLimits) -> Refusal:
    """Why a request is refused whose body has more bytes than it may have."""
    return Refusal(413, f"The body is over {limits.body_bytes} bytes.")
