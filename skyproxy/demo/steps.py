"""The steps of which an answer consists, as values; :mod:`skyproxy.demo.player` takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

RawHeaders = list[tuple[bytes, bytes]]


class Act(Enum):
    """What can be done to a request or its connection, beside writing."""

    FINISH = auto()
    """End the answer properly. The end of the steps does it too."""

    ABORT = auto()
    """Reset the connection."""

    CLOSE = auto()
    """Close the connection after what was written."""

    HANG = auto()
    """Do nothing more."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes for the connection, whatever HTTP says."""

    data: bytes


Step = bytes | float | Act | Raw
"""Bytes of the body (the first, even if empty, send the head), seconds to wait, or one of the above."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its head, and the steps that give it."""

    status: int
    headers: RawHeaders
    steps: Iterator[Step]
