"""A client whose transport takes what it likes."""

from __future__ import annotations

from typing import Any

from skyproxy.http.common.headers import Fields

EVENTS = (b"Content-Type", b"text/event-stream; charset=utf-8")
JSON = (b"Content-Type", b"application/json")


class SlowClient:
    """Notes what it is sent. As a transport does, it asks for a pause when it holds more than *room* bytes.

    :ivar did: what was asked of it, in order: ``answer``, ``start``, ``finish`` and ``cut``.
    :ivar body: what was sent of the body, the last bytes of a cut excepted.
    :ivar last: those.
    :ivar fault: raised by whatever is called next, and from then on.
    """

    def __init__(self, room: float = float("inf")) -> None:
        self.room = room
        self.held = 0
        self.paused = False
        self.did: list[str] = []
        self.status: int | None = None
        self.headers: dict[bytes, bytes] = {}
        self.pieces: list[bytes] = []
        self.last = b""
        self.producer: Any = None
        self.fault: Exception | None = None

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def answer(self, status: int, headers: Fields, body: bytes) -> None:
        self._begin("answer", status, headers)
        self.pieces.append(body)

    def start(self, status: int, headers: Fields, producer: Any) -> None:
        self._begin("start", status, headers)
        self.producer = producer
        self._look()

    def write(self, data: bytes) -> None:
        assert self.did == ["start"]
        self._fail()
        self.pieces.append(data)
        self.held += len(data)
        self._look()

    def finish(self) -> None:
        self._end("finish")

    def cut(self, last: bytes) -> None:
        self._end("cut")
        self.last = last

    def read(self, room: float = float("inf")) -> None:
        """Have all that is held go to the system, and the transport ask for more."""
        self.room = room
        self.held = 0
        if self.paused and self.producer is not None:
            self.paused = False
            self.producer.resumeProducing()

    def _begin(self, what: str, status: int, headers: Fields) -> None:
        assert not self.did
        self.did.append(what)
        self.status = status
        self._fail()
        self.headers = {name.lower(): value for name, value in headers}
        assert len(self.headers) == len(headers)

    def _end(self, what: str) -> None:
        assert self.did == ["start"]
        self.did.append(what)
        self.producer = None
        self._fail()

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault

    def _look(self) -> None:
        if self.held >= self.room and not self.paused and self.producer is not None:
            self.paused = True
            self.producer.pauseProducing()


class Producer:
    """The provider's side.

    :ivar paused: whether it was asked for a pause.
    :ivar asked: how often it was asked for anything.
    """

    def __init__(self) -> None:
        self.paused = False
        self.asked = 0

    def pauseProducing(self) -> None:
        assert not self.paused
        self.paused = True
        self.asked += 1

    def resumeProducing(self) -> None:
        assert self.paused
        self.paused = False
        self.asked += 1

    def stopProducing(self) -> None:
        raise AssertionError("A client's end is not the provider's.")
