"""How much of a client's time and bytes the server takes before it hangs up."""

from __future__ import annotations

from dataclasses import dataclass

CLOSE_TIMEOUT = 15.0
"""Seconds in which a client must take something of the last bytes, or close. As HTTPChannel.abortTimeout."""

FIRST_REQUEST_SECONDS = 0.5
"""Seconds that a client which has just connected has for its request when no more are wanted."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Bounds of every connection. The times are absolute: bytes that trickle in do not extend them.

    :ivar header_bytes: of a request line with its header fields; more is refused with 431.
    :ivar header_count: header fields of a request; more is refused with 431.
    :ivar body_bytes: of a request's body, without its chunked framing; more is refused with 413.
    :ivar header_timeout: seconds for the head, from the connection's start or the request's first byte.
    :ivar body_timeout: seconds for the body, from the end of the header fields.
    :ivar keep_alive: seconds that a connection may rest between two requests.
    :ivar stall_timeout: seconds in which a client must have read something of its answer.
    """

    header_bytes: int = 64 * 1024
    header_count: int = 100
    body_bytes: int = 10 * 1024 * 1024
    header_timeout: float = 10.0
    body_timeout: float = 60.0
    keep_alive: float = 75.0
    stall_timeout: float = 60.0
