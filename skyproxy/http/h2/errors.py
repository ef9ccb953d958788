"""What can go wrong on an HTTP/2 connection, beyond the failures that twisted.web has names for."""

from __future__ import annotations

from h2.errors import ErrorCodes
from twisted.internet.error import ConnectionLost
from twisted.web.client import ResponseNeverReceived


class StreamRefused(ResponseNeverReceived):
    """The peer says that it did nothing for this request, so it may be sent again, whatever its method.

    RFC 9113, 8.7: the stream was reset with REFUSED_STREAM, or its number is above the last one that GOAWAY names.
    """


class StreamTooLate(StreamRefused):
    """The peer took others on this connection, and takes no more (GOAWAY): on another one it may well take this."""


class StreamReset(Exception):
    """The peer gave one stream up with RST_STREAM.

    :ivar code: an error code of RFC 9113, 7.
    """

    def __init__(self, code: ErrorCodes | int) -> None:
        super().__init__(f"The peer reset the stream: {_name(code)}.")
        self.code = code

    @property
    def wants_http11(self) -> bool:
        """Whether the peer serves such a request over HTTP/1.1 alone."""
        return self.code == ErrorCodes.HTTP_1_1_REQUIRED


class GoneAway(Exception):
    """The peer takes no more streams on this connection (GOAWAY).

    :ivar code: an error code of RFC 9113, 7.
    """

    def __init__(self, code: ErrorCodes | int) -> None:
        super().__init__(f"The peer ended the connection: {_name(code)}.")
        self.code = code


class MalformedMessage(Exception):
    """The peer's message breaks a rule of RFC 9113, 8, or is larger than what is taken."""


class PeerMisbehaved(Exception):
    """The peer breaks the framing rules, or floods; the connection cannot go on.

    :ivar code: the error code that is sent to the peer.
    """

    def __init__(self, message: str, code: ErrorCodes) -> None:
        super().__init__(message)
        self.code = code


class PeerSilent(ConnectionLost):
    """The peer answered neither our SETTINGS nor a PING in time: it is gone, whatever TCP says."""


def _name(code: ErrorCodes | int) -> str:
    return code.name if isinstance(code, ErrorCodes) else str(code)
