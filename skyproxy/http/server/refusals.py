"""The form of answers to requests that are refused before anybody has read them."""

from __future__ import annotations

from collections.abc import Callable

RenderRefusal = Callable[[int, str], tuple[bytes, bytes]]
"""From status and reason to the content type and the body of a refused request's answer."""


def plain_refusal(status: int, reason: str) -> tuple[bytes, bytes]:
    """A line of text."""
    return b"text/plain; charset=utf-8", reason.encode() + b"\n"
