"""What is new with each tick, and snapshots of all, as server-sent events: made once for all who listen.

What comes faster than anybody reads comes once a second, the newest of it, with the number of what was left out.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from skyproxy.formats.json_body import encode
from skyproxy.log.live_lines import LiveLines
from skyproxy.web import shapes
from skyproxy.web.observations import Observations
from skyproxy.web.throttle import Cadence, Throttle

Topic = Literal["now", "requests", "log"]
TOPICS: tuple[Topic, ...] = get_args(Topic)

NOW_TICKS, BUSY_NOW_TICKS = 4, 12
BUSY_REQUESTS = 125
"""Requests a tick, beyond which the next ``now`` comes later: each of them is looked at."""

BEAT_TICKS = 20

FIRST_ROWS = 100
TICK_ROWS, TICK_LINES = 40, 50
"""Requests and lines of the log a tick, beyond which the newest of them come once a second: more than anybody reads.
`/api/requests` and the log have the others.
"""


class TickEvents:
    """Makes them.

    :param lines: the log as it comes.
    :param boot: sets apart the ids of this process from those of others.
    :ivar tick: the number of the last one.
    """

    def __init__(self, observations: Observations, lines: LiveLines, boot: str) -> None:
        self._observations = observations
        self._lines = lines
        self._boot = boot
        self.tick = 0
        self._number = 0
        """Of the newest request that the listeners know."""
        self._under_way: list[Any] = []
        """What they know of those under way."""
        self._now = Cadence(NOW_TICKS, BUSY_NOW_TICKS, BUSY_REQUESTS)
        self._rows, self._log_lines = Throttle(TICK_ROWS), Throttle(TICK_LINES)
        self._snapshots: dict[frozenset[str], bytes] = {}
        """Of this tick, by topics."""

    def begin(self) -> None:
        """Somebody listens."""
        self._observations.refresh()
        self._number, self._under_way = self._observations.newest, []
        self._now.begin(self.tick, self._number)
        self._lines.skip()
        self._lines.wanted(True)

    def end(self) -> None:
        """Nobody listens any more."""
        self._snapshots.clear()
        self._lines.wanted(False)

    def next(self, wanted: frozenset[str]) -> list[tuple[str, bytes]]:
        """Go on to the next tick.

        :param wanted: topics.
        :return: what is new, by topic; without one it is for all.
        """
        self.tick += 1
        self._snapshots.clear()
        events, under_way = [], None
        if "requests" in wanted and self._rows.is_due(self.tick):
            under_way = self._observations.under_way()
            told = self._new_requests(under_way)
            if told is not None:
                events.append(("requests", self._event("requests", told)))
        if "now" in wanted and self._now.is_due(self.tick):
            events.append(("now", self._event("now", self._observations.now(under_way))))
            self._now.came(self.tick, self._observations.newest)
        if "log" in wanted and self._log_lines.is_due(self.tick):
            most = self._log_lines.passing(self.tick, self._lines.newest - self._lines.taken)
            if most:
                missed, lines = self._lines.take(most)
                data = b'{"v":1,"missed":%d,"newest":%d,"lines":[%b]}' % (missed, self._lines.taken, b",".join(lines))
                events.append(("log", self._raw_event("log", data)))
        if self.tick % BEAT_TICKS == 0:
            events.append(("", self._event("beat", {"v": shapes.VERSION})))
        return events

    def snapshot(self, topics: frozenset[str]) -> bytes:
        """One that tells at least all that was told with the last tick."""
        if topics not in self._snapshots:
            self._snapshots[topics] = self._new_snapshot(topics)
        return self._snapshots[topics]

    def bye(self) -> bytes:
        """The last event."""
        return self._event("bye", {"v": shapes.VERSION})

    def _new_requests(self, under_way: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The requests that are over since the last look, and those under way; None: there is nothing new."""
        self._observations.refresh()
        before, self._number = self._number, self._observations.newest
        over = self._number - before
        rows = self._observations.rows_since(before, self._rows.passing(self.tick, over))
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

    def _new_snapshot(self, topics: frozenset[str]) -> bytes:
        told: dict[str, Any] = {"v": shapes.VERSION, "boot": self._boot, "topics": sorted(topics)}
        under_way = [] if topics == {"log"} else self._observations.under_way()
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
        return b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (self._boot.encode(), self.tick, name.encode(), data)
