"""The times that one candidate allows a request."""

from __future__ import annotations

from typing import NamedTuple


class Timeouts(NamedTuple):
    """Seconds, as the configuration has them for one candidate: made once, and handed through unchanged.

    :ivar connect: to a connection.
    :ivar queue: that a request may wait for a permit.
    :ivar stream: to the first content of a stream.
    :ivar whole: to the end of an answer that is no stream.
    :ivar idle: between two reads of a stream.
    :ivar first_token: to the first content of a stream, after which the next candidate is asked; None: no such limit.
    """

    connect: float
    queue: float
    stream: float
    whole: float
    idle: float
    first_token: float | None = None
