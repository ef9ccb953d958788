"""What the peer of an HTTP/2 connection sends, as h2's events."""

from __future__ import annotations

from collections.abc import Sequence

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import Event

from skyproxy.http.h2.errors import PeerMisbehaved
from skyproxy.http.h2.frames import FrameScanner, GoAway


def scanned(h2: H2Connection, scanner: FrameScanner, data: bytes) -> list[bytes | GoAway]:
    """*data* in parts for :func:`events_of`, each of which has few frames.

    :raise PeerMisbehaved: the connection cannot go on. h2 has prepared the GOAWAY that tells the peer.
    """
    try:
        return scanner.receive(data)
    except PeerMisbehaved as error:
        h2.close_connection(error.code)
        raise


def events_of(h2: H2Connection, part: bytes | GoAway) -> Sequence[Event | GoAway]:
    """Have h2 take *part*, unless it is a GOAWAY frame.

    :raise PeerMisbehaved: as for :func:`scanned`.
    """
    if isinstance(part, GoAway):
        return [part]
    try:
        return h2.receive_data(part)
    except Exception as error:
        # ProtocolError is what h2 promises; whatever else hostile bytes make of it ends this connection as well.
        code = getattr(error, "error_code", ErrorCodes.PROTOCOL_ERROR)
        raise PeerMisbehaved(f"{type(error).__name__}: {error}", code) from error
