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
from skyproxy.web.throttle import Throttle

Topic = Literal["now", "requests", "log"]
TOPICS: tuple[Topic, ...] = get_args(Topic)

TICK_SECONDS = 0.25
NOW_TICKS, BUSY_NOW_TICKS = 4, 12
BUSY_REQUESTS = 125
"""Requests a tick, beyond which the next ``now`` comes later: each of them is looked at."""

BEAT_TICKS = 20
SNAPSHOT_TICKS = 8
"""Ticks between two snapshots for one client that reads too slowly."""

MOST_STREAMS = 32
FIRST_ROWS = 100
TICK_ROWS, TICK_LINES = 40, 50
"""Requests and lines of the log a tick, beyond which the newest of them come once a second: more than anybody reads.
`/api/requests` and the log have the others.
"""

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
        self._under_way: list[Any] = []
        """What they know of those under way."""
        self._next_now = self._last_now = self._number_of_now = 0
        """The ticks at which ``now`` is told next and was told last, and the number of the newest request then."""
        self._rows, self._log_lines = Throttle(TICK_ROWS), Throttle(TICK_LINES)
        self._snapshots: dict[frozenset[str], bytes] = {}
        """Of this tick, by topics."""
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
        self._number, self._under_way = self._observations.newest, []
        self._number_of_now, self._last_now = self._number, self._ticks
        self._next_now = (self._ticks // NOW_TICKS + 1) * NOW_TICKS
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
            self._snapshots.clear()
            self._lines.wanted(False)

    def _tick(self) -> None:
        # The next one comes first: an error in this one must not end the stream.
        self._timer = self._clock.callLater(TICK_SECONDS, self._tick)
        self._ticks += 1
        self._snapshots.clear()
        events = self._events()
        parts: dict[frozenset[str], bytes] = {}
        for each in list(self._listeners):
            if each.paused:
                each.missed = True
            elif each.missed:
                if self._ticks >= each.next_snapshot:
                    each.missed = False
                    each.next_snapshot = self._ticks + SNAPSHOT_TICKS
                    each.client.write(self._snapshot(each.topics))
            elif events:
                if each.topics not in parts:
                    parts[each.topics] = b"".join([data for topic, data in events if not topic or topic in each.topics])
                if parts[each.topics]:
                    each.client.write(parts[each.topics])

    def _events(self) -> list[tuple[str, bytes]]:
        """What is new since the last tick, by topic; without one it is for all."""
        wanted = frozenset().union(*(each.topics for each in self._listeners))
        events, under_way = [], None
        if "requests" in wanted and self._rows.is_due(self._ticks):
            under_way = self._observations.under_way()
            told = self._new_requests(under_way)
            if told is not None:
                events.append(("requests", self._event("requests", told)))
        if "now" in wanted and self._ticks >= self._next_now:
            events.append(("now", self._event("now", self._observations.now(under_way))))
            self._plan_now()
        if "log" in wanted and self._log_lines.is_due(self._ticks):
            most = self._log_lines.passing(self._ticks, self._lines.newest - self._lines.taken)
            if most:
                missed, lines = self._lines.take(most)
                data = b'{"v":1,"missed":%d,"newest":%d,"lines":[%b]}' % (missed, self._lines.taken, b",".join(lines))
                events.append(("log", self._raw_event("log", data)))
        if self._ticks % BEAT_TICKS == 0:
            events.append(("", self._event("beat", {"v": shapes.VERSION})))
        return events

    def _plan_now(self) -> None:
        came, ticks = self._observations.newest - self._number_of_now, self._ticks - self._last_now
        self._number_of_now, self._last_now = self._observations.newest, self._ticks
        every = BUSY_NOW_TICKS if came > BUSY_REQUESTS * ticks else NOW_TICKS
        self._next_now = (self._ticks // every + 1) * every

    def _new_requests(self, under_way: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The requests that are over since the last look, and those under way; None: there is nothing new."""
        self._observations.refresh()
        before, self._number = self._number, self._observations.newest
        over = self._number - before
        rows = self._observations.rows_since(before, self._rows.passing(self._ticks, over))
        # That time goes on everybody knows.
        known, self._under_way = self._under_way, [{**row, "at": None, "seconds": None} for row in under_way]
        if not over and self._under_way == known:
            return None
        return {
            "v": shapes.VERSION,
            "requests": rows,
            "left_out": over - len(rows),
            "under_way": under_way,
            "newest": self._number,
        }

    def _snapshot(self, topics: frozenset[str]) -> bytes:
        """One that tells at least all that was told with the last tick."""
        if topics not in self._snapshots:
            self._snapshots[topics] = self._new_snapshot(topics)
        return self._snapshots[topics]

    def _new_snapshot(self, topics: frozenset[str]) -> bytes:
        told: dict[str, Any] = {"v": shapes.VERSION, "boot": self._boot, "topics": sorted(topics)}
        under_way = self._observations.under_way()
        if "now" in topics:
            told["now"] = self._observations.now(under_way)
        if "requests" in topics:
            told["requests"] = self._observations.rows(FIRST_ROWS)
            told["under_way"] = under_way
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
