"""Where an answer goes, and how errors go there."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Any, Protocol

from twisted.internet.interfaces import IPushProducer

from skyproxy.cache.recipient import Recipient
from skyproxy.errors import SkyproxyError
from skyproxy.formats.error_body import masked, masker
from skyproxy.formats.sse import error_event
from skyproxy.http.common.headers import Fields
from skyproxy.telemetry.bodies.recording import Recording


class Client(Recipient, Protocol):
    """A recipient of which is known what it has got. ``web`` implements it on a request of twisted.web.

    :ivar started: whether a status line has gone out, so that no other can.
    :ivar streamed: whether the answer goes out as it comes.
    :ivar status: that of the answer; None before.
    :ivar first_byte_at: when its first byte was sent, on the reactor's clock (seconds).
    :ivar bytes_out: sent of its body.
    """

    @property
    def started(self) -> bool: ...

    @property
    def streamed(self) -> bool: ...

    @property
    def status(self) -> int | None: ...

    @property
    def first_byte_at(self) -> float | None: ...

    @property
    def bytes_out(self) -> int: ...

    def stream(self, status: int, headers: Fields, body: bytes) -> None:
        """Send an answer that is a stream, all of whose *body* has come, and finish."""

    def start(self, status: int, headers: Fields, producer: IPushProducer, first: bytes = b"") -> None:
        """Send the head of a streamed answer, and the *first* of its bytes that are there.

        :param producer: paused while the client does not read.
        """


class RequestClient(Client, Protocol):
    """The client of one request, of which is known who it is.

    :ivar recording: what it got; None: that is not recorded.
    """

    @property
    def recording(self) -> Recording | None: ...

    def tell_limits(self, fields: Fields) -> None:
        """Send *fields* with whatever answer comes, and none of a provider's of their kind."""

    @property
    def who(self) -> tuple[Any, bytes]:
        """The address (an IAddress) that the request came from, and what the client calls itself."""


def refuse(client: Client, error: SkyproxyError, headers: Fields = (), secrets: Iterable[str] = ()) -> None:
    """Answer with *error*, unless an answer has begun: then it was cut.

    :param secrets: what it shall not show, though a provider may have said it.
    """
    if client.started:
        return
    sent = [(b"Content-Type", b"application/json"), *error.fields, *headers]
    if error.retry_after is not None:
        sent.append((b"Retry-After", b"%d" % ceil(error.retry_after)))
    mask = masker(secrets)
    # What a provider reported may have more levels than can be written.
    body = masked(error.as_object(), mask) or masked(SkyproxyError.as_object(error), mask) or b"{}"
    client.answer(error.status, sent, body)


def cut(client: Client, error: SkyproxyError) -> None:
    """Cut the answer that has begun, with *error* as the last event of a stream."""
    client.cut(error_event(error, on_boundary=False) if client.streamed else b"")
