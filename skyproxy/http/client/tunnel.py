"""Connections through a proxy, by CONNECT: RFC 9110, section 9.3.6."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectBindError, ConnectError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

_LARGEST_HEAD = 64 * 1024
"""Bytes of a proxy's answer."""

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: ([\x20-\x7e]{0,100}))?")
_END = b"\r\n\r\n"


class ProxyTrouble(Exception):
    """No connection, for which the proxy is to be asked why.

    :ivar proxy: where it is.
    :ivar reason: what it said, or what was wrong.
    :ivar status: of its answer, if there was one.
    """

    def __init__(self, proxy: str, reason: str, status: int | None = None) -> None:
        super().__init__(f"{proxy}: {reason}")
        self.proxy = proxy
        self.reason = reason
        self.status = status


@implementer(IStreamClientEndpoint)
class TunnelEndpoint:
    """Has a proxy connect to a host, which it looks up itself.

    :param endpoint: leads to the proxy.
    :param shown: where the proxy is, for people.
    :param authority: host and port to be connected to.
    :param authorization: the value of Proxy-Authorization.
    """

    def __init__(
        self, endpoint: IStreamClientEndpoint, shown: str, authority: str, authorization: str | None = None
    ) -> None:
        self._endpoint: Any = endpoint
        self._shown = shown
        own = "" if authorization is None else f"Proxy-Authorization: {authorization}\r\n"
        head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: skyproxy\r\n{own}\r\n"
        self._head = head.encode("ascii")

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect.

        :return: fires with the protocol, connected. Fails with :class:`ProxyTrouble`. Cancelling it drops the
            connection.
        """
        factory = _TunnelFactory(self._head, self._shown, protocolFactory)
        connected: Deferred[Any] = self._endpoint.connect(factory)
        return connected.addCallbacks(lambda tunnel: tunnel.done, self._unreached)

    def _unreached(self, failure: Failure) -> Failure:
        if failure.check(ConnectBindError):
            return failure
        if failure.check(ConnectTimeout):
            return Failure(ProxyTrouble(self._shown, "it did not take the connection in time"))
        if failure.check(DNSLookupError):
            return Failure(ProxyTrouble(self._shown, "its host name cannot be resolved"))
        if failure.check(ConnectError):
            return Failure(ProxyTrouble(self._shown, "it does not accept connections"))
        return failure


class _Tunnel(Protocol):
    """Asks the proxy, and then hands everything to the protocol that the connection is for.

    :ivar done: fires with that protocol.
    """

    transport: Any

    def __init__(self, head: bytes, shown: str, factory: Any, address: Any) -> None:
        self._head = head
        self._shown = shown
        self._factory = factory
        self._address = address
        self._received = b""
        self._inner: Any = None
        self.done: Deferred[Any] = Deferred(lambda _: self.transport.abortConnection())

    def connectionMade(self) -> None:
        self.transport.write(self._head)

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        if self.done.called:
            return
        self._received += data
        while not self.done.called and (end := self._received.find(_END)) >= 0:
            head, self._received = self._received[:end], self._received[end + len(_END) :]
            self._answered(head)
        if not self.done.called and len(self._received) > _LARGEST_HEAD:
            self._fail("its answer is none of HTTP")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif not self.done.called:
            self._fail("it closed the connection")

    def _answered(self, head: bytes) -> None:
        found = _STATUS.fullmatch(head.partition(b"\r\n")[0])
        if found is None:
            self._fail("its answer is none of HTTP")
            return
        status = int(found[1])
        if status < 200:
            return
        if status >= 300:
            words = (found[2] or b"").decode("ascii").strip()
            self._fail(f"it answered {status} {words}".rstrip(), status)
            return
        self._inner = inner = self._factory.buildProtocol(self._address)
        inner.makeConnection(self.transport)
        self.done.callback(inner)
        rest, self._received = self._received, b""
        if rest:
            inner.dataReceived(rest)

    def _fail(self, reason: str, status: int | None = None) -> None:
        self._received = b""
        self.done.errback(Failure(ProxyTrouble(self._shown, reason, status)))
        self.transport.abortConnection()


class _TunnelFactory(Factory):
    noisy = False

    def __init__(self, head: bytes, shown: str, factory: Any) -> None:
        self._head = head
        self._shown = shown
        self._factory = factory

    def buildProtocol(self, addr: Any) -> _Tunnel:
        return _Tunnel(self._head, self._shown, self._factory, addr)
