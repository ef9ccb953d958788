"""Where an answer goes."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IPushProducer

from skyproxy.http.common.headers import Fields


class Recipient(Protocol):
    """Takes an answer: a client, or what passes it on to one.

    What is written after the client has left goes nowhere. Nothing here knows when that is: whoever waits for the end
    of the answer cancels it then.
    """

    def answer(self, status: int, headers: Fields, body: bytes) -> None:
        """Send a whole answer, and finish."""

    def start(self, status: int, headers: Fields, producer: IPushProducer) -> None:
        """Send the head of a streamed answer; *producer* is paused while the client does not read."""

    def write(self, data: bytes) -> None:
        """Send the next bytes of a streamed answer."""

    def finish(self) -> None:
        """End a streamed answer as complete."""

    def cut(self, last: bytes) -> None:
        """Send *last*, then close the connection in a way that cannot be taken for a complete answer."""
