"""What the ledger counts, added up by minute and by who and what it was for, until it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

from skyproxy.telemetry.records import GivenUp, RequestRecord
from skyproxy.telemetry.requests.facts import Trace
from skyproxy.telemetry.usage import Tokens

ANSWER, GIVEN_UP, HEDGE = 0, 1, 2
"""What an entry is of: requests, or attempts that did not bring the answer, or such attempts of hedged requests."""

COUNTS = (
    "ok", "client_error", "upstream_error", "failed", "refused", "cancelled", "rescued", "hedged", "hedges_won",
    "saved", "counted", "prompt", "completion", "cached", "reasoning", "estimated", "cost", "cost_estimated",
)  # fmt: skip
"""What is counted of each key: outcomes of requests; those that were answered although something failed; hedged ones,
those of which the second one won, and the seconds that this saved; those with tokens; tokens; costs."""

_PLACES = {name: place for place, name in enumerate(COUNTS)}
_OUTCOMES = 6
"""Outcomes come first among them, and each request has one."""
(
    _RESCUED, _HEDGED, _WON, _SAVED, _COUNTED, _PROMPT, _COMPLETION, _CACHED, _REASONING, _ESTIMATED, _COST,
    _COST_ESTIMATED,
) = range(_OUTCOMES, len(COUNTS))  # fmt: skip

Key: TypeAlias = tuple[int, str, str, str, str, int, str, str]
"""Minute (since the epoch) in which the requests came, slot, provider, model, client, of what, source, currency."""

OTHER = "other"
"""In place of clients, and of models that only clients name, when there are very many."""

_MOST_NAMES = 500
_MOST_CLIENTS = 10_000
"""Clients with a key: who has none chooses among any number of addresses."""
_LONGEST_NAME = 200
"""Characters of a name that are kept."""

MOST_ENTRIES = 20_000
"""Entries that wait to be written, at most."""


class Ended(Protocol):
    """A request that is over.

    :ivar minute: that it came in, since the epoch.
    :ivar started: when it came, on the clock of its trace.
    """

    @property
    def minute(self) -> int: ...

    @property
    def started(self) -> float: ...

    @property
    def attempts(self) -> Trace: ...


class Book:
    """The requests of one minute.

    :ivar arrived: counted when they came.
    :ivar finished: counted when they were over.
    :ivar tokens: of these, from their records.
    """

    __slots__ = ("arrived", "finished", "tokens")

    def __init__(self, arrived: int = 0, finished: int = 0, tokens: int = 0) -> None:
        self.arrived, self.finished, self.tokens = arrived, finished, tokens


class Entries(NamedTuple):
    """What is to be written.

    :ivar counts: by key, in the order of :data:`COUNTS`.
    :ivar books: by minute.
    """

    counts: dict[Key, list[float]]
    books: dict[int, Book]

    def merge(self, later: Entries) -> int:
        """Add *later*.

        :return: the number of requests that were left out, because too much waits.
        """
        lost = 0
        for key, counts in later.counts.items():
            own = self.counts.get(key)
            if own is not None:
                self.counts[key] = [a + b for a, b in zip(own, counts, strict=True)]
            elif len(self.counts) < MOST_ENTRIES:
                self.counts[key] = counts
            else:
                lost += int(sum(counts[:_OUTCOMES]))
        for minute, book in later.books.items():
            kept = self.books.setdefault(minute, Book())
            kept.arrived += book.arrived
            kept.finished += book.finished
            kept.tokens += book.tokens
        return lost


class _Names:
    """A bounded set of names, each shortened once.

    :ivar known: what each is kept as.
    """

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def admit(self, name: str, most: int, shown: Callable[[str], str] = str) -> str:
        """What *name* is kept as, if there are not *most* of them already.

        :param shown: takes out of it what nobody may see.
        """
        if len(self.known) >= most:
            return OTHER
        kept = self.known[name] = shown(name)[:_LONGEST_NAME]
        return kept


class Collector:
    """Adds up entries. All of it is done for each request.

    :param began: called when there is something to be written.
    """

    def __init__(self, began: Callable[[], object] = bool) -> None:
        self._began = began
        self._clients, self._models = _Names(), _Names()
        self._entries = Entries({}, {})

    @property
    def is_empty(self) -> bool:
        """Whether nothing has happened since :meth:`take`."""
        return not self._entries.books

    def take(self) -> Entries:
        """What was added up; from now on it begins anew."""
        taken, self._entries = self._entries, Entries({}, {})
        return taken

    def put_back(self, entries: Entries) -> int:
        """Add *entries*, which could not be written; returns how many requests had to be left out."""
        later, self._entries = self._entries, entries
        return self._entries.merge(later)

    def book(self, minute: int) -> Book:
        """That of *minute*, until :meth:`take`."""
        book = self._entries.books.get(minute)
        if book is None:
            book = self._entries.books[minute] = Book()
        return book

    def add(self, record: RequestRecord, ended: Ended, address: Any) -> None:
        """A request is over.

        :param address: of its client, an IAddress.
        """
        minute, steps, tokens = ended.minute, ended.attempts.steps, record.tokens
        counts, books = self._entries
        book = books.get(minute) or self.book(minute)
        book.finished += 1
        host, most = record.client, _MOST_CLIENTS
        if host is None:
            host, most = getattr(address, "host", None) or "", _MOST_NAMES
        client = self._clients.known.get(host) or self._clients.admit(host, most)
        slot, model = record.slot, record.upstream_model or ""
        if slot is None:
            slot, model = "", self._model(model, ended.attempts)
        key = (minute, slot, record.provider or "", model, client, ANSWER, record.price_source or "", record.currency)
        entry = counts.get(key)
        if entry is None:
            if not counts:
                self._began()
            entry = counts[key] = [0] * len(COUNTS)
        entry[_PLACES[record.outcome]] += 1
        if tokens is not None:
            book.tokens += tokens[0] + tokens[1]
            _take(entry, tokens, record.cost)
        if steps:
            _take_steps(entry, record, ended)
        for attempt in record.given_up:
            if attempt.tokens is not None:
                book.tokens += attempt.tokens.prompt + attempt.tokens.completion
                self._add_given_up(attempt, minute, slot, client, ended.attempts)

    def _add_given_up(self, attempt: GivenUp, minute: int, slot: str, client: str, trace: Trace) -> None:
        role = HEDGE if attempt.hedged else GIVEN_UP
        model = attempt.upstream_model if slot else self._model(attempt.upstream_model, trace)
        key = (minute, slot, attempt.provider, model, client, role, attempt.price_source or "", attempt.currency)
        entry = self._entries.counts.get(key)
        if entry is None:
            entry = self._entries.counts[key] = [0] * len(COUNTS)
        assert attempt.tokens is not None
        _take(entry, attempt.tokens, attempt.cost)

    def _model(self, name: str, trace: Trace) -> str:
        """A model that a client names: it may have anything in its name, a key too."""
        kept = self._models.known.get(name)
        return self._models.admit(name, _MOST_NAMES, trace.masked) if kept is None else kept


def _take(entry: list[float], tokens: Tokens, cost: float | None) -> None:
    """Add *tokens*, and what they cost, at their places in :data:`COUNTS`: to look for names takes twice as long."""
    prompt, completion, cached, reasoning, estimated = tokens
    entry[_COUNTED] += 1
    entry[_PROMPT] += prompt
    entry[_COMPLETION] += completion
    if cached:
        entry[_CACHED] += cached
    if reasoning:
        entry[_REASONING] += reasoning
    if cost:
        entry[_COST] += cost
    if estimated:
        entry[_ESTIMATED] += prompt + completion
        entry[_COST_ESTIMATED] += cost or 0.0


def _take_steps(entry: list[float], record: RequestRecord, ended: Ended) -> None:
    """Add what happened to a request on its way."""
    trace = ended.attempts
    failed = any(step.kind in ("failed", "refused") for step in trace.steps)
    hedge = next((step for step in trace.steps if step.kind == "hedge"), None)
    won, ok = False, record.outcome == "ok"
    if hedge is not None:
        entry[_HEDGED] += 1
        answered = trace.answered
        won = answered is not None and answered.candidate != hedge.candidate
        # How long the first one would have gone on to say nothing, nobody knows: so much, at least.
        if won and ok and record.time_to_first_byte is not None:
            entry[_WON] += 1
            entry[_SAVED] += max(0.0, ended.started + record.time_to_first_byte - hedge.at)
    if ok and (failed or won):
        entry[_RESCUED] += 1
