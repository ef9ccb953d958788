"""Messages between parent and worker: AMP over a UNIX socket.

A value of AMP holds at most 65,535 bytes. So a message goes in parts, the next of which is sent when the other side has
the one before: who reads slowly has little sent to it, and what is longer does not hold up the loop.
"""

from __future__ import annotations

import copyreg
import io
import pickle  # nosec B403
from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, NoReturn

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols import amp
from twisted.python.failure import Failure

_log = Logger()

PART_BYTES = 60_000
"""Of one part of a message."""

_BYTES, _NOW = b"b", b"n"
_END_OF_BOX = b"\x00\x00"


def _frozen(values: dict[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(values)


class _Pickler(pickle.Pickler):
    """Knows the mappings of a configuration, which cannot be changed."""

    dispatch_table = copyreg.dispatch_table.copy()
    dispatch_table[MappingProxyType] = lambda values: (_frozen, (dict(values),))


def encode(value: object) -> bytes:
    """*value* as bytes, for a process of the same program and user alone."""
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


decode = pickle.loads
"""Of what :func:`encode` made. It comes by a socket that this program's own processes were born with, and nobody else
has."""


class Question(NamedTuple):
    """A message that is to be answered."""

    number: int
    message: object


class Reply(NamedTuple):
    """The answer to one. *problem* tells why there is none."""

    number: int
    value: object = None
    problem: str | None = None


class NotDone(Exception):
    """The other side could not do what it was asked for. The text says why."""


class Unreadable(Exception):
    """The other side cannot read a message, for it is another skyproxy. The text says what it is, or what it met."""


def late(_: object, seconds: float) -> NoReturn:
    """For :meth:`Deferred.addTimeout`: say in words that nothing has come."""
    raise NotDone(f"it has not answered for {seconds:g} seconds")


class Part(amp.Command):
    """A part of a message."""

    arguments: ClassVar = [(b"data", amp.String()), (b"last", amp.Boolean())]
    response: ClassVar = []
    errors: ClassVar = {Unreadable: b"UNREADABLE"}


class Channel(amp.AMP):
    """One side.

    :param handle: called with each message; what it returns, or the Deferred that it returns fires with, is the reply
        where one is expected.
    :param lost: called when the other side is gone.
    :ivar other: what this side is, if it reads nothing because the other one is another skyproxy; empty: it is not.
    """

    noisy = False

    def __init__(self, handle: Callable[[Any], Any], lost: Callable[[], None] = lambda: None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.other = ""
        self._handle = handle
        self._lost = lost
        self._parts: list[bytes] = []
        self._outgoing: deque[bytes | Deferred[None]] = deque()
        self._sending = False
        self._numbers = count(1)
        self._questions: dict[int, Deferred[Any]] = {}
        self.gone = False

    def tell(self, message: object) -> None:
        """Send *message*, after those before it."""
        if not self.gone:
            self._outgoing.append(encode(message))
            self._send()

    def tell_now(self, message: object) -> None:
        """Send *message* before those that wait, if it is short. There must not be many of these: nothing keeps them
        back.
        """
        data = encode(message)
        if len(data) > PART_BYTES:
            self.tell(message)
        else:
            self._write(_NOW, data)

    def tell_bytes(self, data: bytes) -> None:
        """Send *data*, of up to 65,535 bytes, as :meth:`tell_now` does: in a box that is no command of AMP's, which
        costs half as much. It is handled as it is.
        """
        self._write(_BYTES, data)

    def _write(self, kind: bytes, data: bytes) -> None:
        if not self.gone and self.transport is not None:
            self.transport.write(b"".join((b"\x00\x01", kind, len(data).to_bytes(2, "big"), data, _END_OF_BOX)))

    def ampBoxReceived(self, box: Any) -> None:
        now = box.get(_NOW)
        data = box.get(_BYTES) if now is None else now
        if data is None:
            super().ampBoxReceived(box)  # type: ignore[no-untyped-call]
            return
        try:
            if now is None:
                self._handle(data)
            else:
                self._received(decode(now))
        except Exception:
            self._failed(Failure())

    def ask(self, message: object) -> Deferred[Any]:
        """Send *message*.

        :return: fires with the reply; fails with :class:`NotDone`, or with ``ConnectionDone``.
        """
        if self.gone:
            return fail(ConnectionDone())
        number = next(self._numbers)
        reply = self._questions[number] = Deferred(lambda _: self._forget(number))
        self.tell(Question(number, message))
        return reply

    def done(self) -> Deferred[None]:
        """Wait for what was told until now.

        :return: fires when the other side has handled it, or is gone.
        """
        done: Deferred[None] = Deferred()
        if self._sending or self._outgoing:
            self._outgoing.append(done)
        else:
            done.callback(None)
        return done

    def _forget(self, number: int) -> None:
        """Nobody waits for that reply any more."""
        self._questions.pop(number, None)

    @property
    def waiting(self) -> int:
        """Messages that are not sent yet."""
        return len(self._outgoing)

    def _send(self) -> None:
        while self._outgoing and not (self._sending or self.gone):
            first = self._outgoing.popleft()
            if isinstance(first, Deferred):
                first.callback(None)
            else:
                self._sending = True
                self._send_from(memoryview(first), 0)

    def _send_from(self, message: memoryview, start: int) -> None:
        end = start + PART_BYTES
        last = end >= len(message)
        sent: Deferred[Any] = self.callRemote(  # type: ignore[no-untyped-call]
            Part, data=bytes(message[start:end]), last=last
        )

        def taken(_: object) -> None:
            if last:
                self._sending = False
                self._send()
            else:
                self._send_from(message, end)

        sent.addCallbacks(taken, self._not_taken)

    def _not_taken(self, failure: Failure) -> None:
        """Where the connection was lost, all hear of that."""
        if failure.check(Unreadable) and self.transport is not None:
            problem = (
                f"another skyproxy is installed than the one that runs ({failure.getErrorMessage()}): "
                "`skyproxy upgrade` has it serve"
            )
            self._fail_all(NotDone(problem))
            self.transport.loseConnection()

    @Part.responder
    def part(self, data: bytes, last: bool) -> dict[str, Any]:
        self._parts.append(data)
        if last:
            whole = b"".join(self._parts)
            self._parts.clear()
            self._received(self._read(whole))
        return {}

    def _read(self, whole: bytes) -> object:
        if self.other:
            raise Unreadable(self.other)
        try:
            return decode(whole)
        except Exception as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from error

    def _received(self, message: object) -> None:
        if isinstance(message, Reply):
            waiting = self._questions.pop(message.number, None)
            if waiting is not None:
                if message.problem is None:
                    waiting.callback(message.value)
                else:
                    waiting.errback(NotDone(message.problem))
            return
        if not isinstance(message, Question):
            maybeDeferred(self._handle, message).addErrback(self._failed)
            return
        number = message.number
        done = maybeDeferred(self._handle, message.message)
        done.addCallbacks(lambda value: self.tell(Reply(number, value)), lambda why: self._refuse(number, why))

    def _refuse(self, number: int, why: Failure) -> None:
        self.tell(Reply(number, None, why.getErrorMessage()))

    def _failed(self, failure: Failure) -> None:
        _log.failure("A message of another process of skyproxy's could not be handled", failure=failure)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self.gone = True
        self._sending = False
        outgoing = list(self._outgoing)
        self._outgoing.clear()
        for each in outgoing:
            if isinstance(each, Deferred):
                each.callback(None)
        self._fail_all(ConnectionDone())
        self._lost()

    def _fail_all(self, error: Exception) -> None:
        questions, self._questions = self._questions, {}
        for question in questions.values():
            question.errback(error)
