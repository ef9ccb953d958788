"""An answer that was kept, and how it is given again."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.defer import Deferred, succeed

from skyproxy.cache.recipient import Recipient
from skyproxy.cache.replay import CHUNK_BYTES, Replay
from skyproxy.http.common.headers import Field, Fields


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A complete, successful answer.

    :ivar headers: those that are true of it whenever it is given again.
    :ivar stream: whether it came as a stream, and so is given again as one.
    :ivar stored_at: seconds, on the clock of the store that gave it; 0 before it was stored.
    """

    status: int
    headers: tuple[Field, ...]
    body: bytes
    stream: bool
    stored_at: float = 0.0

    @property
    def size(self) -> int:
        """Bytes of its body and its headers."""
        return len(self.body) + sum(len(name) + len(value) for name, value in self.headers)

    def replay(self, client: Recipient, extra_headers: Fields = ()) -> Deferred[None]:
        """Answer *client* with it, adding *extra_headers*.

        :return: fires with None when all of it was written. Cancel it when the client has left.
        """
        headers = [*self.headers, *extra_headers]
        if not self.stream:
            client.answer(self.status, headers, self.body)
            return succeed(None)
        replay = _StoredReplay(client, self.body)
        replay.begin(self.status, headers)
        replay.pump()
        return replay.over


class _StoredReplay(Replay):
    """Writes *body*, which is complete."""

    def __init__(self, client: Recipient, body: bytes) -> None:
        super().__init__()
        self.attach(client)
        self._body = body
        self._taken = 0

    def _take(self) -> bytes:
        chunk = self._body[self._taken : self._taken + CHUNK_BYTES]
        self._taken += len(chunk)
        return chunk

    def _end(self, client: Recipient) -> None:
        if self._taken == len(self._body):
            client.finish()
            self.settle()
