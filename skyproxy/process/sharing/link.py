"""A connection to Redis that is made again whenever it breaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import random
from typing import Any

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, DNSLookupError, TimeoutError
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from txredisapi import RedisProtocol, ResponseError, SubscriberProtocol


class NoMaster(ConnectError):
    """No Sentinel that can be reached knows a Redis that may be written to."""


class NotThere(Exception):
    """Redis has not answered as it should. The text says why."""


_SLOWEST_SECONDS = 0.5
"""Seconds until the next try, at most, where no connection is to be had: others wait for a machine that comes back."""
_SLOWEST_USELESS_SECONDS = 2.0
"""Likewise, where those that were had were of no use."""
_READY_SECONDS = 2.0
"""From a connection to its first use, TLS and the password included."""
_OF_CLUSTERS = re.compile(r"^(?:MOVED|ASK|CLUSTERDOWN|CROSSSLOT) |not allowed in cluster mode")
"""Errors that a Redis Cluster alone answers with."""
_ADVICE = (
    (re.compile(r"\bNOPERM\b|can't run this command"), "give its user all that the operator's guide lists"),
    (re.compile(r"^READONLY\b"), "it is a replica: name the one that is written to, or the Sentinels"),
    (re.compile(r"^WRONGTYPE\b"), "another program uses skyproxy's keys: name another database"),
)
"""What to do about what Redis says of a thing that does not mend itself."""


class _Told(RedisProtocol):  # type: ignore[misc]
    """Tells its factory of its end."""

    def connectionLost(self, why: Any) -> None:
        # The reason is known before those that wait for answers are told.
        self.factory.lost(self, why)
        super().connectionLost(why)


class Commands(_Told):
    """Asks, and is answered."""


class _Nobody:
    """The factory of a connection that is of no use here any more."""

    def lost(self, protocol: Any, why: Failure) -> None:
        """It is gone."""

    def heard(self, channel: bytes, message: bytes) -> None:
        """Somebody has published something."""


class Subscriber(_Told, SubscriberProtocol):  # type: ignore[misc]
    """Hears what is published in its channels."""

    def messageReceived(self, pattern: Any, channel: Any, message: Any) -> None:
        self.factory.heard(channel, message)

    def turn_deaf(self) -> None:
        """Be of no use any more, but stay open."""
        self.factory = _Nobody()
        while self.replyQueue.waiting:
            self.replyReceived(ConnectionError("given up"))


class Link(Factory):
    """Makes the connection, and says when it is there.

    Twisted's ClientService would do the half of it, with a line of the log for each try.

    :param endpoint: leads to the store.
    :param made: makes a protocol: one of those above.
    :param usable: called with it when commands can be sent.
    :param failed: called with what is wrong when there is no connection, or no longer.
    :param heard: called with a channel, and a message in it.
    :param chance: gives a number from 0 to 1, by which tries of several machines are spread.
    :ivar protocol: None: there is no connection.
    """

    noisy = False
    # What the protocol looks for where a password is refused.
    isLazy = False

    def __init__(
        self,
        reactor: Any,
        endpoint: Any,
        made: Callable[[], Any],
        usable: Callable[[Any], None],
        failed: Callable[[str], None],
        heard: Callable[[bytes, bytes], None] = lambda channel, message: None,
        chance: Callable[[], float] = random,
    ) -> None:
        self._reactor = reactor
        self._made = made
        self._usable = usable
        self._failed = failed
        self.heard = heard
        self._chance = chance
        self.protocol: Any = None
        self._open: Any = None
        self._dropped: Any = None
        # The reason is known already, and is not that the connection was closed then.
        self._explained = False
        # Connections in a row that were of no use, and tries that made none.
        self._useless = self._failures = 0
        self._endpoint = endpoint
        self._trying: Any = None
        self._stopped = False

    def start(self) -> None:
        """Look for the store from now on."""
        trying: Deferred[Any] = self._endpoint.connect(self)
        self._trying = trying
        trying.addCallbacks(self._connected, self._not_connected)

    def stop(self) -> None:
        """Close the connection, and make no other."""
        self._stopped = True
        trying, self._trying = self._trying, None
        if trying is not None:
            # A try, or the time until the next.
            trying.cancel()
        if self._open is not None:
            self._open.transport.loseConnection()
        self._abort_dropped()

    def drop(self) -> None:
        """Give the connection up: it is of no use any more. Another one is made.

        It is closed at once; one that heard stays open until another one hears: the store, which may still have it,
        sees by it that this process lives.
        """
        if self._open is None:
            return
        self._explained = True
        if self._useless or not isinstance(self._open, Subscriber):
            self._open.transport.abortConnection()
            return
        self._dropped, self._open, self.protocol = self._open, None, None
        self._dropped.turn_deaf()
        self._try_later()

    def worked(self) -> None:
        """The connection is of use."""
        self._useless = 0
        self._abort_dropped()

    # As a factory.

    def buildProtocol(self, addr: Any) -> Any:
        protocol = self._made()
        protocol.factory = self
        self._open, self._explained = protocol, False
        self._useless += 1
        ready = protocol.whenConnected().addCallback(self._ready)
        timer = self._reactor.callLater(_READY_SECONDS, self._give_up, protocol)
        for each in (ready, protocol.whenDisconnected()):
            each.addCallback(_stop, timer)
        return protocol

    def stopTrying(self) -> None:
        """A password was refused. It may be right the next time."""

    def connectionError(self, why: str) -> None:
        """It was refused for this reason, or the connection was lost before that was known."""
        if self._open is not None:
            self._explained = True
            self._failed(_in_words(why.removeprefix("Redis error: ")))

    def lost(self, protocol: Any, why: Failure) -> None:
        """The connection is gone."""
        if protocol is self._open:
            self._open = self.protocol = None
        if not self._explained:
            self._failed(reason_of(why.value))
        self._try_later()

    def _abort_dropped(self) -> None:
        dropped, self._dropped = self._dropped, None
        if dropped is not None:
            dropped.transport.abortConnection()

    def _connected(self, _: Any) -> None:
        self._trying, self._failures = None, 0
        if self._open is None:
            # It was lost before this was told.
            self._try_later()

    def _not_connected(self, failure: Failure) -> None:
        self._trying = None
        if not self._stopped:
            self._failures += 1
            self._failed(reason_of(failure.value))
            self._try_later()

    def _try_later(self) -> None:
        if self._stopped or self._trying is not None:
            return
        slowest = _SLOWEST_USELESS_SECONDS if self._useless > self._failures else _SLOWEST_SECONDS
        seconds = min(slowest, 0.05 * 2.0 ** min(max(self._failures, self._useless), 8))
        self._trying = self._reactor.callLater(seconds * (0.75 + 0.25 * self._chance()), self.start)

    def _ready(self, protocol: Any) -> None:
        self.protocol = protocol
        self._usable(protocol)

    def _give_up(self, protocol: Any) -> None:
        if protocol is self._open:
            self._failed(f"it has not answered for {_READY_SECONDS:g} s")
            self.drop()


def was_refused(failure: Failure) -> bool:
    """Whether the store has answered that it does not do what it was asked for."""
    return failure.check(ResponseError) is not None


def reason_of(error: BaseException | None) -> str:
    """What is wrong, for people."""
    if isinstance(error, VerificationError):
        return "its TLS certificate is for another host"
    if isinstance(error, SSL.Error):
        queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
        told = ", ".join(entry[-1] for entry in queue if entry[-1])
        return f"the TLS handshake failed: {told or 'its certificate or protocol is not accepted'}"
    if isinstance(error, DNSLookupError):
        return "its host name cannot be resolved"
    if isinstance(error, TimeoutError):
        return "it does not take the connection in time"
    if isinstance(error, NoMaster):
        return "no Sentinel that can be reached knows it"
    if isinstance(error, ConnectError):
        return "it does not accept connections"
    if isinstance(error, ResponseError):
        return _in_words(str(error))
    return "it has closed the connection"


def _in_words(told: str) -> str:
    if _OF_CLUSTERS.search(told):
        return f"Redis Cluster is not spoken: {told}"
    advice = next((advice for pattern, advice in _ADVICE if pattern.search(told)), None)
    return told if advice is None else f"{told} ({advice})"


def _stop(result: Any, timer: Any) -> Any:
    if timer.active():
        timer.cancel()
    return result
