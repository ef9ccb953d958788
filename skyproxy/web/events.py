"""``/api/events``: what changes, as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

A stream begins with a ``snapshot`` (``now``, the newest 100 ``requests``, the newest lines of the ``log``). Then come
``now`` once a second, ``requests`` (those that are over since, and those under way) and ``log`` up to four times a
second where something is new, and ``beat`` every five seconds. ``bye`` is the last one when the process stops.

Each event is made once for all who listen. A client that does not read is sent nothing, and nothing is kept for it:
when it reads again it gets a new snapshot. Without a listener there is no timer, and no line of the log is made.
"""

from __future__ import annotations

import socket
from typing import Any, Literal, get_args
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from skyproxy.clock import Clock
from skyproxy.errors import Unavailable
from skyproxy.formats.json_body import encode
from skyproxy.log.live_lines import LiveLines
from skyproxy.pipeline.client import Client
from skyproxy.web import shapes
from skyproxy.web.observations import Observations

Topic = Literal["now", "requests", "log"]
TOPICS: tuple[Topic, ...] = get_args(Topic)

TICK_SECONDS = 0.25
NOW_TICKS = 4
BEAT_TICKS = 20
SNAPSHOT_TICKS = 8
"""Ticks between two snapshots for one client that reads too slowly."""

MOST_STREAMS = 32
FIRST_ROWS = 100
TICK_ROWS = 40
"""That come with one tick, the newest: more than anybody reads. `/api/requests` has the others."""

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
        self._observations = observations
        self._lines = lines
        self._boot = boot
        self._listeners: list[_Listener] = []
        self._timer: Any = None
        self._ticks = 0
        self._number = 0
        """Of the newest request that the listeners know."""
        self._under_way = b""
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
        client.start(200, _HEADERS, listener, b"retry: 2000\n\n" + self._snapshot(listener.topics))
        return listener.done

    def close(self) -> None:
        """End all streams; there will be no other."""
        self._closed = True
        for each in list(self._listeners):
            self._end(each, self._event("bye", {"v": shapes.VERSION}))

    def renew(self) -> None:
        """End all streams: who still may have one asks for it again."""
        for each in list(self._listeners):
            self._end(each)

    def _begin(self) -> None:
        """The first has come."""
        self._observations.refresh()
        self._number, self._under_way = self._observations.newest, b""
        self._lines.skip()
        self._lines.wanted(True)
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
            self._lines.wanted(False)

    def _tick(self) -> None:
        # The next one comes first: an error in this one must not end the stream.
        self._timer = self._clock.callLater(TICK_SECONDS, self._tick)
        self._ticks += 1
        events = self._events()
        snapshots: dict[frozenset[str], bytes] = {}
        for each in list(self._listeners):
            if each.paused:
                each.missed = True
            elif each.missed:
                if self._ticks >= each.next_snapshot:
                    each.missed = False
                    each.next_snapshot = self._ticks + SNAPSHOT_TICKS
                    if each.topics not in snapshots:
                        snapshots[each.topics] = self._snapshot(each.topics)
                    each.client.write(snapshots[each.topics])
            else:
                data = b"".join([event for topic, event in events if topic in each.topics or not topic])
                if data:
                    each.client.write(data)

    def _events(self) -> list[tuple[str, bytes]]:
        """What is new since the last tick, by topic; without one it is for all."""
        wanted = frozenset().union(*(each.topics for each in self._listeners))
        observations, events = self._observations, []
        if "requests" in wanted:
            observations.refresh()
            rows = observations.rows_since(self._number, TICK_ROWS)
            under_way = observations.under_way()
            self._number = observations.newest
            ids = encode({"ids": [each["id"] for each in under_way]})
            if rows or under_way or ids != self._under_way:
                self._under_way = ids
                told = {"v": shapes.VERSION, "requests": rows, "under_way": under_way, "newest": self._number}
                events.append(("requests", self._event("requests", told)))
        if "now" in wanted and self._ticks % NOW_TICKS == 0:
            events.append(("now", self._event("now", observations.now())))
        if "log" in wanted and self._lines.newest > self._lines.taken:
            missed, lines = self._lines.take()
            data = b'{"v":1,"missed":%d,"newest":%d,"lines":[%b]}' % (missed, self._lines.taken, b",".join(lines))
            events.append(("log", self._raw_event("log", data)))
        if self._ticks % BEAT_TICKS == 0:
            events.append(("", self._event("beat", {"v": shapes.VERSION})))
        return events

    def _snapshot(self, topics: frozenset[str]) -> bytes:
        told: dict[str, Any] = {"v": shapes.VERSION, "boot": self._boot, "topics": sorted(topics)}
        if "now" in topics:
            told["now"] = self._observations.now()
        if "requests" in topics:
            told["requests"] = self._observations.rows(FIRST_ROWS)
            told["under_way"] = self._observations.under_way()
            told["newest"] = self._observations.newest
        if "log" not in topics:
            return self._event("snapshot", told)
        # What the other listeners get with the next tick, this one gets with it, too.
        told["newest_line"] = self._lines.taken
        lines = b",".join(self._lines.before())
        return self._raw_event("snapshot", b'%b,"log":[%b]}' % (encode(told)[:-1], lines))

    def _event(self, name: str, value: dict[str, Any]) -> bytes:
        return self._raw_event(name, encode(value))

    def _raw_event(self, name: str, data: bytes) -> bytes:
        return b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (self._boot.encode(), self._ticks, name.encode(), data)


def _shrink(transport: Any) -> None:
    """Have the system buffer little for the client, where it lets itself be told."""
    handle = getattr(transport, "getHandle", lambda: None)()
    if isinstance(handle, socket.socket):
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
