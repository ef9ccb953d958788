"""Requests that are over, on their way from the worker that served them to the parent that keeps and counts them."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from skyproxy.telemetry.records import GivenUp, RequestRecord
from skyproxy.telemetry.requests.facts import Step, Trace
from skyproxy.telemetry.requests.ring import Ended, Kept, RequestRing, host_of
from skyproxy.telemetry.statistics import Statistics
from skyproxy.telemetry.usage import Tokens

BATCH = 200
"""Requests after which a batch is sent: most fit into one part of a message."""

WAIT_SECONDS = 0.05
"""Seconds that a request waits for others of its batch."""


_TOKENS, _GIVEN_UP = RequestRecord._fields.index("tokens"), RequestRecord._fields.index("given_up")


class SentSending(NamedTuple):
    """As :class:`~skyproxy.telemetry.requests.facts.Sending`."""

    candidate: int
    key: str | None
    sent_at: float | None
    waited: float
    headers_at: float | None
    status: int | None
    sentence_at: float | None
    ended_at: float | None
    generated: int


class Peer(NamedTuple):
    """The address of a client, as far as it is looked at."""

    host: str


class SentTrace:
    """As :class:`~skyproxy.telemetry.requests.facts.Trace`, made when somebody reads it.

    :param packed: what :func:`_packed_trace` made of one.
    """

    __slots__ = ("_made", "_packed")

    def __init__(self, packed: tuple[Any, ...]) -> None:
        self._packed = packed
        self._made: list[SentSending] | None = None

    @property
    def sendings(self) -> Sequence[SentSending]:
        """Those that went out."""
        if self._made is None:
            self._made = [SentSending(*each) for each in self._packed[0]]
        return self._made

    @property
    def answered(self) -> SentSending | None:
        """The one whose answer the client got."""
        index = self._packed[1]
        return None if index is None else self.sendings[index]

    @property
    def steps(self) -> Sequence[Step]:
        """What happened besides."""
        return [Step(*each) for each in self._packed[2]]

    @property
    def follows(self) -> str | None:
        """The id of the request whose answer was shared."""
        follows: str | None = self._packed[3]
        return follows

    @property
    def age(self) -> float | None:
        """Seconds that a kept answer was old."""
        age: float | None = self._packed[4]
        return age

    def deployments(self) -> list[tuple[str, str]]:
        """The provider and the model of each candidate."""
        return list(self._packed[5])

    def masked(self, text: str) -> str:
        """Texts were masked before they were sent."""
        return text

    def shorten(self, most: int) -> None:
        """What was sent is short."""


def packed(kept: Kept) -> tuple[Any, ...]:
    """*kept* as plain tuples, which can be written in a tenth of the time of what they stand for."""
    record, at, started, trace, (address, agent), text = kept
    fields: list[Any] = list(record)
    if record.tokens is not None:
        fields[_TOKENS] = tuple(record.tokens)
    if record.given_up:
        fields[_GIVEN_UP] = [
            (*each[:4], None if each.tokens is None else tuple(each.tokens), *each[5:]) for each in record.given_up
        ]
    return fields, at, started, _packed_trace(trace), host_of(address), agent, text


def unpacked(plain: tuple[Any, ...]) -> Kept:
    """What :func:`packed` has made plain, but for the record, which is one again."""
    record, at, started, trace, host, agent, text = plain
    made: Any = SentTrace(trace)
    return record, at, started, made, (Peer(host), agent), text


def _record(fields: list[Any]) -> RequestRecord:
    """The record that :func:`packed` has made plain."""
    if fields[_TOKENS] is not None:
        fields[_TOKENS] = Tokens(*fields[_TOKENS])
    if fields[_GIVEN_UP]:
        fields[_GIVEN_UP] = tuple(
            GivenUp._make((*each[:4], None if each[4] is None else Tokens(*each[4]), *each[5:]))
            for each in fields[_GIVEN_UP]
        )
    return RequestRecord(*fields)


def _packed_trace(trace: Trace) -> tuple[Any, ...]:
    answered, index = trace.answered, None
    sendings: list[tuple[Any, ...]] = []
    for each in trace.sendings:
        if each is answered:
            index = len(sendings)
        sendings.append((
            each.candidate, each.key, each.sent_at, each.waited, each.headers_at, each.status, each.sentence_at,
            each.ended_at, each.generated,
        ))  # fmt: skip
    steps = [tuple(each) for each in trace.steps]
    return sendings, index, steps, trace.follows, trace.age, trace.deployments()


class SentRing(RequestRing):
    """A worker's ring, which keeps nothing itself.

    :param clock: ``callLater`` is used.
    :param send: sends a batch.
    """

    def __init__(self, clock: Any, send: Callable[[bytes], None]) -> None:
        super().__init__()
        self._clock = clock
        self._send = send
        self._batch: list[tuple[Any, ...]] = []
        self._timed = False

    def add(self, record: RequestRecord, at: float, ended: Ended) -> Any:
        address = super().add(record, at, ended)
        self._batch.append(packed(self._entries.pop()))
        if len(self._batch) >= BATCH:
            self.flush()
        elif not self._timed:
            self._timed = True
            self._clock.callLater(WAIT_SECONDS, self._time_is_over)
        return address

    def flush(self) -> None:
        """Send what waits."""
        if self._batch:
            batch, self._batch = self._batch, []
            self._send(marshal.dumps(batch))

    def _time_is_over(self) -> None:
        self._timed = False
        self.flush()


class Uncounted(Statistics):
    """A worker's statistics: requests are counted by the parent."""

    def completed(self, record: RequestRecord) -> None:
        """Nothing."""


class SharedRing(RequestRing):
    """The parent's ring. Only records, which are counted, are made of what comes; all else is, when somebody reads."""

    def take(self, batch: bytes) -> list[RequestRecord]:
        """Keep the requests of a worker; returns their records."""
        # From a process of this program, by a socket that nobody else has.
        records: list[RequestRecord] = []
        for fields, *rest in marshal.loads(batch):  # nosec B302
            record = _record(fields)
            records.append(record)
            self._entries.append((record, *rest))
        self.total += len(records)
        return records

    def _read(self, entry: Any) -> Kept:
        return unpacked(entry)
