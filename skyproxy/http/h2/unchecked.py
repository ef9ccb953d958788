"""h2's connection without its checks of messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from h2.connection import H2Connection
from h2.stream import H2Stream


class UncheckedConnection(H2Connection):
    """Leaves the checks of requests and responses to this package, beside ``validate_inbound_headers=False``.

    There, a malformed one costs its own stream (RFC 9113, 8.1.1). With h2 it costs all of them.
    """

    def _begin_new_stream(self, *arguments: Any) -> H2Stream:
        stream = super()._begin_new_stream(*arguments)
        stream._initialize_content_length = _ignore_content_length  # type: ignore[method-assign]
        return stream


def _ignore_content_length(headers: Iterable[Any]) -> None:
    """In place of h2's own."""
