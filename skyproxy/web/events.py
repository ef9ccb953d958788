"""``/api/events``: what changes, as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

A stream begins with a ``snapshot`` (``now``, the newest 100 ``requests``, the newest lines of the ``log``). Then come
``now`` once a second, ``requests`` (those that are over since, and those under way) and ``log`` up to four times a
second where something is new, and ``beat`` every five seconds. ``bye`` is the last one when the process stops.

Whoever looks must not cost those who ask: each event and each snapshot of a tick is made once for all who listen, and
goes to each with one write. What comes faster than anybody reads comes once a second, the newest of it, with the number
of what was left out. A client that does not read is sent nothing, and nothing is kept for it: when it reads again it
gets a new snapshot. Without a listener there is no timer, and no line of the log is made.
"""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from skyproxy.clock import Clock
from skyproxy.errors import Unavailable
from skyproxy.log.live_lines import LiveLines
from skyproxy.pipeline.client import Client
from skyproxy.web.observations import Observations
from skyproxy.web.tick_events import TOPICS, TickEvents

TICK_SECONDS = 0.25

SNAPSHOT_TICKS = 8
"""Ticks between two snapshots for one client that reads too slowly."""

MOST_STREAMS = 32

SEND_BUFFER_BYTES = 64 * 1024
"""That the system buffers for one client, so that one that does not read is noticed soon."""

_HEADERS = (
    (b"Content-Type", b"text/event-stream; charset=utf-8"),
    (b"Cache-Control", b"no-store"),
    (b"X-Accel-Buffering", b"no"),
)


@implementer(IPushProducer)
class _Listener:
    """One client.

    :ivar topics: that it wants.
    :ivar tab: which tab of a browser it is; empty: it does not say.
    :ivar missed: it has not got all, and needs a snapshot, at the earliest at the tick *next_snapshot*.
    :ivar done: fires when its stream is over.
    """

    def __init__(self, client: Client, topics: frozenset[str], tab: str) -> None:
        self.client = client
        self.topics = topics
        self.tab = tab
        self.paused = self.missed = False
        self.next_snapshot = 0
        self.done: Deferred[None] = Deferred()

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        # What it has missed comes with the next tick: sent from here, it would be paused again at once, and so on.
        self.paused = False

    def stopProducing(self) -> None:
        """The client's transport is gone. Its request hears of that next, and cancels."""


class EventStreams:
    """All streams of events.

    :param clock: for the ticks.
    :param lines: the log as it comes.
    :param boot: sets apart the ids of this process from those of others.
    """

    def __init__(self, clock: Clock, observations: Observations, lines: LiveLines, boot: str) -> None:
        self._clock = clock
        self._events = TickEvents(observations, lines, boot)
        self._listeners: list[_Listener] = []
        self._timer: Any = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._listeners)

    def open(self, client: Client, query: bytes, transport: Any = None) -> Deferred[None]:
        """Begin a stream to *client*.

        :param query: ``topics``, those that are wanted, with commas between them (all, if none is named); ``tab``, by
            which the stream of a tab before is known, which is ended.
        :param transport: the client's.
        :return: fires when the stream is over. Cancel it when the client has left.
        :raise Unavailable: there are too many, or the process stops.
        """
        if self._closed:
            raise Unavailable("skyproxy is shutting down.", retry_after=2.0)
        given = parse_qs(query.decode("latin-1"))
        tab = given.get("tab", [""])[-1][:64]
        for each in [each for each in self._listeners if tab and each.tab == tab]:
            self._end(each)
        if len(self._listeners) >= MOST_STREAMS:
            raise Unavailable(f"{MOST_STREAMS} pages listen already: close one.", retry_after=5.0)
        wanted = frozenset(given.get("topics", [""])[-1].split(",")) & frozenset(TOPICS)
        listener = _Listener(client, wanted or frozenset(TOPICS), tab)
        listener.done = Deferred(lambda _: self._leave(listener))
        _shrink(transport)
        if not self._listeners:
            self._begin()
        self._listeners.append(listener)
        client.start(200, _HEADERS, listener, b"retry: 2000\n\n" + self._events.snapshot(listener.topics))
        return listener.done

    def close(self) -> None:
        """End all streams; there will be no other."""
        self._closed = True
        for each in list(self._listeners):
            self._end(each, self._events.bye())

    def renew(self) -> None:
        """End all streams: who still may have one asks for it again."""
        for each in list(self._listeners):
            self._end(each)

    def _begin(self) -> None:
        """The first has come."""
        self._events.begin()
        self._timer = self._clock.callLater(TICK_SECONDS, self._tick)

    def _end(self, listener: _Listener, last: bytes = b"") -> None:
        self._leave(listener)
        if last and not listener.paused:
            listener.client.write(last)
        listener.client.finish()
        if not listener.done.called:
            listener.done.callback(None)

    def _leave(self, listener: _Listener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)
        if not self._listeners and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._events.end()

    def _tick(self) -> None:
        # The next one comes first: an error in this one must not end the stream.
        self._timer = self._clock.callLater(TICK_SECONDS, self._tick)
        events = self._events.next(frozenset().union(*(each.topics for each in self._listeners)))
        parts: dict[frozenset[str], bytes] = {}
        for each in list(self._listeners):
            if each.paused:
                each.missed = True
            elif each.missed:
                if self._events.tick >= each.next_snapshot:
                    each.missed = False
                    each.next_snapshot = self._events.tick + SNAPSHOT_TICKS
                    each.client.write(self._events.snapshot(each.topics))
            elif events:
                if each.topics not in parts:
                    parts[each.topics] = b"".join([data for topic, data in events if not topic or topic in each.topics])
                if parts[each.topics]:
                    each.client.write(parts[each.topics])


def _shrink(transport: Any) -> None:
    """Have the system buffer little for the client, where it lets itself be told."""
    handle = getattr(transport, "getHandle", lambda: None)()
    if isinstance(handle, socket.socket):
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
