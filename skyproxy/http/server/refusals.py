"""The form of answers to requests that are refused before anybody has read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

RenderRefusal = Callable[[int, str], tuple[bytes, bytes]]
"""From status and reason to the content type and the body of a refused request's answer."""


def plain_refusal(status: int, reason: str) -> tuple[bytes, bytes]:
    """A line of text."""
    return b"text/plain; charset=utf-8", reason.encode() + b"\n"


TOO_MANY_BODIES = "Too many large requests are under way, and all the memory for them is in use: ask again later."
"""Why a request is refused with 503."""

RETRY_AFTER: tuple[tuple[bytes, bytes], ...] = ((b"Retry-After", b"5"),)
"""What goes with 503."""


def is_unwanted(request: Any, method: bytes, target: bytes) -> bool:
    """Whether *request*, whose head has come, needs nothing of its body, for it is refused; those of twisted.web's own
    do not say.
    """
    ask: Callable[[bytes, bytes], bool] | None = getattr(request, "is_unwanted", None)
    return ask is not None and ask(method, target)
