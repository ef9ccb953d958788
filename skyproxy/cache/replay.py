"""Bytes that are there already, written to one client at its pace."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from skyproxy.cache.recipient import Recipient
from skyproxy.http.common.headers import Fields

CHUNK_BYTES = 64 * 1024
"""Bytes that are written at once, at most, from what is there."""


@implementer(IPushProducer)
class Replay:
    """Writes a streamed answer to *client*: all there is, until the client's transport asks for a pause.

    Subclasses say what there is, in :meth:`_take` and :meth:`_end`.

    :ivar client: None before there is one, and when the answer is over for it. (Its transport may keep this producer.)
    :ivar over: fires with None when the answer is over for this client. Fails with what the client's methods raised.
        Cancel it when the client has left: nothing is written from then on.
    :ivar paused: whether the client's transport wants nothing for now.
    """

    over: Deferred[None]

    def __init__(self) -> None:
        self.client: Recipient | None = None
        self.paused = False
        self._busy = False

    def attach(self, client: Recipient) -> None:
        """Write to *client* from now on."""
        self.client = client
        self.over = Deferred(lambda _: self.stop())

    def begin(self, status: int, headers: Fields) -> None:
        """Send the head."""
        if self.client is None:
            return
        # Whatever the transport asks for meanwhile, nothing may overtake the head.
        self._busy = True
        try:
            self.client.start(status, headers, self)
        except Exception:
            self.settle(Failure())
        finally:
            self._busy = False

    def pump(self) -> None:
        """Write what there is, and the end if that was all."""
        if self._busy:
            return
        self._busy = True
        try:
            while (client := self.client) is not None and not self.paused and (chunk := self._take()):
                client.write(chunk)
            if client is not None:
                self._end(client)
        except Exception:
            self.settle(Failure())
        finally:
            self._busy = False

    def stop(self) -> None:
        """Write nothing any more."""
        self.client = None

    def settle(self, failure: Failure | None = None) -> None:
        """The answer is over for this client, by *failure* if one is given. Does nothing if it was over before."""
        if self.client is None:
            return
        self.stop()
        if failure is None:
            self.over.callback(None)
        else:
            self.over.errback(failure)

    # IPushProducer, towards the client's transport.

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        self.pump()

    def stopProducing(self) -> None:
        """The client's transport is gone. Whoever waits for :attr:`over` hears of that, and cancels it."""

    # For subclasses.

    def _take(self) -> bytes:
        """The next bytes; empty if there are none now."""
        raise NotImplementedError

    def _end(self, client: Recipient) -> None:
        """End the answer of *client* and settle, if all of it was taken and no more is to come."""
        raise NotImplementedError
