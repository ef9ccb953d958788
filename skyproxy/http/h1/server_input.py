"""The half of a server's channel that reads: requests, one after the other, and what comes before its turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from twisted.internet.interfaces import ITCPTransport
from twisted.logger import Logger

from skyproxy.http.common.lazy_headers import ReceivedHeaders
from skyproxy.http.h1.answer_head import Stamp
from skyproxy.http.h1.read_ahead import ReadAhead
from skyproxy.http.h1.request_head import Head, Refused
from skyproxy.http.h1.request_head_reader import HeadReader
from skyproxy.http.h1.request_reader import RequestReader
from skyproxy.http.h1.server_output import Output
from skyproxy.http.loop.batches import REQUESTS
from skyproxy.http.server.body_memory import FREE_BYTES, BodyShare
from skyproxy.http.server.connections import EVERY_LOOK, Connections
from skyproxy.http.server.limits import ServerLimits
from skyproxy.http.server.refusals import is_unwanted

_log = Logger()


class Input(Output):
    """Makes request objects of twisted.web of what a client sends, and has them served one at a time.

    It is in one of the phases ``new`` (no byte has come yet), ``idle``, ``head``, ``body``, ``answer`` (until
    the client has taken the answer, or most of it) and ``closing``.
    """

    # Set by Site and HTTPFactory.
    factory: Any = None
    site: Any = None
    requestFactory: Any = None

    def __init__(self, limits: ServerLimits, connections: Connections, heads: HeadReader, stamp: Stamp) -> None:
        super().__init__(connections, stamp)
        self._limits = limits
        self._seconds: Callable[[], float] = connections.clock.seconds
        self._schedule = connections.schedule
        self._reader = RequestReader(limits, heads)
        self._request: Any = None
        self._share: BodyShare | None = None  # Of the memory for bodies; None: the request's is small.
        self._body_deadline = inf
        self._serving = self._parsing = False  # The request has been handed over; is being read.
        self._ahead = ReadAhead()
        self._phase = "new"
        self.deadline = inf

    def _refuse(self, refused: Refused) -> None:
        """Answer what is not served, and close."""
        raise NotImplementedError

    def dataReceived(self, data: bytes) -> None:
        if self._phase == "closing":
            return
        if self._serving or self._stalled:
            self._keep(data)
        else:
            self._parse(data)

    def _keep(self, data: bytes) -> None:
        if self._ahead.keep(data):
            self._ahead.pause(self.transport)
            self.deadline = EVERY_LOOK

    def _read_on(self) -> None:
        ahead = self._ahead
        ahead.resume(self.transport)
        if ahead.chunks:
            self._parse(ahead.take())

    def _parse(self, data: bytes) -> None:
        reader = self._reader
        self._parsing = True
        try:
            while True:
                parts, data = reader.receive(data)
                request = self._request
                if request is None:
                    head = reader.head
                    if head is None:
                        break
                    request = self._begin(head, more_is_there=bool(parts or data))
                if parts:
                    self._take_parts(request, parts)
                if reader.complete and self._phase != "closing":
                    self._serve(request)
                if not data or self._phase == "closing":
                    return
                if self._serving or self._stalled:
                    self._keep(data)
                    return
        except Refused as refused:
            self._refuse(refused)
            return
        finally:
            self._parsing = False
        if reader.partial and self._phase != "head":
            if self._phase == "idle":
                self.deadline = self._seconds() + self._limits.header_timeout
            self._phase = "head"

    def _take_parts(self, request: Any, parts: Sequence[bytes]) -> None:
        if self._serving or self._phase == "closing":
            return  # Its head was enough.
        for part in parts:
            request.handleContentChunk(part)
        share = self._share
        if share is not None and not share.grow(sum(map(len, parts))) and not self._reader.complete:
            # So many bodies are held that this one has to wait: nothing is read until then.
            if self._ahead.reading:
                self._ahead.pause(self.transport)
            self.deadline = EVERY_LOOK

    def _body_may_go_on(self, waited: float) -> None:
        self.deadline = self._body_deadline = self._body_deadline + waited
        if not self._stalled:
            self._ahead.resume(self.transport)

    def _let_body_go(self) -> None:
        share, self._share = self._share, None
        if share is not None:
            share.release()

    def _begin(self, head: Head, more_is_there: bool) -> Any:
        """Make the request whose *head* has come."""
        reader = self._reader
        self._head, self.persistent = head, head.persistent
        self._request = request = self.requestFactory(self)
        request.requestHeaders = ReceivedHeaders(reader.lines, head.last)
        if b"cookie" in head.last:
            request.parseCookies()
        request.gotLength(length := reader.length)
        large = length is None or length > FREE_BYTES or b"content-encoding" in head.last
        unwanted = (large or head.expects_continue) and is_unwanted(request, head.method, head.target)
        if large and not unwanted:
            missing = self._limits.body_bytes if length is None else length
            self._share = request.body_share = self._connections.bodies.share(missing, self._body_may_go_on)
        if not reader.complete and self._phase != "closing":
            self._phase = "body"
            self.deadline = self._body_deadline = self._seconds() + self._limits.body_timeout
            waits = head.expects_continue and not more_is_there
            if unwanted and (waits or self._can_drop):
                self._serve_unread(request)
            elif waits:
                self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return request

    @property
    def _can_drop(self) -> bool:
        """Whether the client sees all of an answer behind which the connection closes while it still sends: only so can
        what it sends be read and dropped until it closes, too.
        """
        return not self.isSecure() and bool(ITCPTransport.providedBy(self.transport))

    def _serve_unread(self, request: Any) -> None:
        """Have *request* answered, of which no more than the head is needed. Then the connection closes."""
        self.persistent = False
        self._serving = True
        self._phase = "answer"
        self.deadline = inf
        self._schedule(REQUESTS, self._hand_over, request)

    def _serve(self, request: Any) -> None:
        share = self._share
        if share is not None:
            if share.waits_since is not None:
                self._ahead.resume(self.transport)
            share.complete()
        self._reader.next()
        self._serving = True
        self._phase = "answer"
        self.deadline = inf
        self._schedule(REQUESTS, self._hand_over, request)

    def _hand_over(self, request: Any) -> None:
        head = self._head
        # Otherwise the client has left meanwhile.
        if request is self._request and head is not None:
            try:
                request.requestReceived(head.method, head.target, head.version)
            except Exception:
                _log.failure("Handling a request failed")
                self.abortConnection()
