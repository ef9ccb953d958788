"""A provider's answer whose headers are there."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import TracebackType

from skyproxy.errors import ErrorKind, SkyproxyError, UpstreamReported
from skyproxy.formats.error_body import ErrorBody
from skyproxy.formats.openai.bodies import BYTE_ORDER_MARK, read_leniently, text_length
from skyproxy.formats.openai.stream_inspector import StreamInspector
from skyproxy.formats.openai.stream_state import StreamState
from skyproxy.formats.reported import reported
from skyproxy.http.common.headers import Fields, by_name
from skyproxy.upstream.exchange.attempt import Attempt
from skyproxy.upstream.exchange.body import Body
from skyproxy.upstream.exchange.buffered_bytes import Share
from skyproxy.upstream.exchange.whole_body import Whole, is_encoded, plain
from skyproxy.upstream.guards.reservation import Reservation

_EVENT_STREAM = re.compile(rb"\s*text/event-stream\s*(?:;|$)", re.IGNORECASE)

_MOST_READ_AGAIN = 256 * 1024
"""Bytes of an answer that has failed which are read for what a model has said in them."""


class Answer:
    """It keeps its permit until it is closed, as it is at the end of a ``with`` block.

    :ivar status: HTTP status, as the provider sent it.
    :ivar headers: as the provider sent them.
    :ivar data: the whole body, if it came together with the headers; until it is closed.
    :ivar is_event_stream: whether the body comes as events.
    :ivar queued: seconds that the request waited for its permit.
    :ivar too_large: the body is one that is not held back, and goes down as it comes.
    :ivar share: of what is held back of all answers; None where nothing was.
    :ivar whole: what the body says, once it was read in one; likewise.
    :ivar kind: what an error answer means, once its beginning was read.
    :ivar error: what it says.

    :param body: not yet read; or makes one, for those who want to read *data* as any other body.
    :ivar dialect: of the provider.
    :ivar shown_model: the name that stands in it for the client; None: that which the provider wrote.
    """

    __slots__ = (
        "_body",
        "_inspector",
        "_reservation",
        "data",
        "dialect",
        "error",
        "headers",
        "is_event_stream",
        "kind",
        "queued",
        "share",
        "shown_model",
        "status",
        "too_large",
        "whole",
    )  # fmt: skip

    def __init__(
        self,
        status: int,
        headers: Fields,
        body: Body | Callable[[], Body],
        reservation: Reservation,
        queued: float,
        data: bytes | None = None,
        dialect: str = "openai",
        shown_model: str | None = None,
    ) -> None:
        self.status = status
        self.headers = headers = by_name(headers)
        self.data = data
        self.is_event_stream = self.called_a_stream
        self.queued = queued
        self.whole: Whole | None = None
        self.share: Share | None = None
        self.too_large = False
        self.kind: ErrorKind | None = None
        self.error: ErrorBody | None = None
        self._reservation = reservation
        self.dialect = dialect
        self.shown_model = shown_model
        self._inspector: StreamInspector | None = None
        self._body = body

    @property
    def called_a_stream(self) -> bool:
        """Whether the provider says that the body comes as events."""
        return _EVENT_STREAM.match(self.content_type) is not None

    @property
    def content_type(self) -> bytes:
        """What the provider says of the body; empty if nothing. Of several the last counts, as for browsers."""
        return self.headers.last.get(b"content-type", b"")

    @property
    def is_encoded(self) -> bool:
        """Whether it is compressed (nobody asked for it, but some do it all the same)."""
        return b"content-encoding" in self.headers.last and is_encoded(self.headers)

    @property
    def body(self) -> Body:
        """The body, to be read as it comes."""
        body = self._body
        if not isinstance(body, Body):
            self._body = body = body()
            if self._inspector is not None and self.data is not None:
                # The inspector has read it all.
                body.put_back([self.data] if self.data else [])
        return body

    @property
    def inspector(self) -> StreamInspector:
        """What reads the body, an event stream, as it comes. Once it has been asked for, :attr:`body` and :attr:`data`
        hold what it lets go on, in place of what came.
        """
        inspector = self._inspector
        if inspector is None:
            self._inspector = inspector = StreamInspector(self.dialect, self.shown_model)
            if self.data is None:
                self.body.inspect(inspector)
            else:
                self.data = inspector.feed(self.data) + inspector.end()
        return inspector

    @property
    def stream_state(self) -> StreamState | None:
        """What is known of a stream that has begun; None of anything else."""
        inspector = self._inspector
        return inspector.state() if inspector is not None and inspector.begun else None

    @property
    def stream_failure(self) -> UpstreamReported | None:
        """What the provider has reported in a stream."""
        inspector = self._inspector
        return None if inspector is None or inspector.error is None else reported(inspector.error, self.dialect)

    @property
    def key(self) -> str | None:
        """The variable of the key that was used."""
        return None if self._reservation.lease is None else self._reservation.lease.variable

    @property
    def attempt(self) -> Attempt | None:
        """That which it answers, where somebody keeps account."""
        return self._reservation.attempt

    async def beginning(self, size: int) -> bytes:
        """The body, or its first *size* bytes, plain. It can still be read from its beginning.

        :raise SkyproxyError: as for reading all of it.
        """
        data = self.data
        if data is None:
            body, come = self.body, 0

            def enough(read: bytes) -> bool:
                nonlocal come
                come += len(read)
                return come >= size

            await body.first(enough)
            data = body.kept()
        if not self.is_encoded:
            return data[:size]
        try:
            return plain(data, self.headers)[:size]
        except SkyproxyError:
            return b""

    def close(self, error: BaseException | None) -> None:
        """Give back what the request has. A body that was not read to its end is given up with its connection.

        :param error: what the answer failed with, if it did.
        """
        if error is not None and self.status < 300 and self._reservation.attempt is not None:
            self._reservation.attempt.generated = self._said()
        # What is kept of a request for its record shall not keep its answer in memory.
        self.data = self.whole = None
        if self.share is not None:
            self.share.end()
        if isinstance(self._body, Body):
            self._body.abort()
        self._reservation.release(self.status, error)

    def _said(self) -> int:
        """Bytes of text in what has come and is kept; of an answer in JSON that is not whole, all its bytes. Errors and
        web pages have none.
        """
        if self.whole is not None:
            return text_length(self.whole.value)
        if self._inspector is not None:
            return self._inspector.state().generated
        data = (self.data or (self._body.kept() if isinstance(self._body, Body) else b"")).strip()
        if not data.removeprefix(BYTE_ORDER_MARK).startswith(b"{"):
            return 0
        value = read_leniently(data) if len(data) <= _MOST_READ_AGAIN else None
        return text_length(value) if isinstance(value, dict) else len(data)

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)
