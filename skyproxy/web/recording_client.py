"""A client of which is recorded what it gets."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IPushProducer

from skyproxy.http.common.headers import Fields, media_type
from skyproxy.pipeline.client import RequestClient
from skyproxy.telemetry.bodies.recording import Recording


class RecordingClient:
    """Passes an answer on to *client*, and notes it in *recording*.

    The attributes of the client are the other one's: what goes out there is what counts.
    """

    def __init__(self, client: RequestClient, recording: Recording) -> None:
        self._client = client
        self.recording = recording

    @property
    def started(self) -> bool:
        return self._client.started

    @property
    def streamed(self) -> bool:
        return self._client.streamed

    @property
    def status(self) -> int | None:
        return self._client.status

    @property
    def first_byte_at(self) -> float | None:
        return self._client.first_byte_at

    @property
    def bytes_out(self) -> int:
        return self._client.bytes_out

    @property
    def who(self) -> tuple[Any, bytes]:
        return self._client.who

    def tell_limits(self, fields: Fields) -> None:
        self._client.tell_limits(fields)

    def answer(self, status: int, headers: Fields, body: bytes) -> None:
        self._begin(headers, body)
        self._client.answer(status, headers, body)

    def stream(self, status: int, headers: Fields, body: bytes) -> None:
        self._begin(headers, body)
        self._client.stream(status, headers, body)

    def start(self, status: int, headers: Fields, producer: IPushProducer, first: bytes = b"") -> None:
        self._begin(headers, first)
        self._client.start(status, headers, producer, first)

    def write(self, data: bytes) -> None:
        self.recording.add(data)
        self._client.write(data)

    def finish(self) -> None:
        self._client.finish()

    def cut(self, last: bytes) -> None:
        self.recording.add(last)
        self._client.cut(last)

    def _begin(self, headers: Fields, first: bytes) -> None:
        self.recording.begin(media_type(headers))
        self.recording.add(first)
