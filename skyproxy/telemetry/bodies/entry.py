"""One request with its bodies, as it is kept."""

from __future__ import annotations

from typing import NamedTuple

OVERHEAD_BYTES = 600
"""Bytes, about, that an entry takes in a file beside its bodies."""


class Text(NamedTuple):
    """A body, or its beginning.

    :ivar size: bytes that the whole one had.
    :ivar is_text: False: it is none, and *data* is empty.
    """

    data: bytes
    size: int
    is_text: bool = True


class Entry(NamedTuple):
    """A request that is over.

    :ivar run: the process that served it, and *number*: the request's there, as in the ring of the last requests.
    :ivar at: when it was over, seconds since the epoch.
    :ivar model: as the client asked for it.
    :ivar seconds: from its arrival to the end of its answer.
    :ivar answer: None: it ended before there was one.
    """

    run: str
    number: int
    request_id: str
    at: float
    slot: str
    model: str
    provider: str
    upstream_model: str
    endpoint: str
    outcome: str
    status: int
    seconds: float
    request: Text
    answer: Text | None

    @property
    def cost(self) -> int:
        """Bytes, about, that it takes."""
        return OVERHEAD_BYTES + len(self.request.data) + (len(self.answer.data) if self.answer is not None else 0)
