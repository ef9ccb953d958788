"""What parent and workers tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from skyproxy.config import Config
from skyproxy.pipeline.changes import Change
from skyproxy.process.places import Places
from skyproxy.process.workers.news import Known
from skyproxy.shares.messages import Grant, Report

Key: TypeAlias = tuple[str, str]
"""What is limited: a kind of units, and the name of whom they belong to."""

# From the parent.


class Start(NamedTuple):
    """All that a worker needs in order to serve.

    :ivar config: with the *changes* by hand.
    :ivar number: of the worker, from 0; *workers*: how many there are; *origin*: distinguishes it from those of other
        machines, too.
    :ivar endpoints: at which the parent listens, in Twisted's words; connections come with the number of theirs.
    :ivar kept: what their files of TLS hold, where the worker may not be able to read these.
    :ivar address: of the API: for people, and for curl.
    :ivar addresses: that were bound.
    :ivar session_key: by which pages prove that they are skyproxy's; *logins*: who has typed the admin key on one.
    :ivar twistd: its options, of which the log depends.
    :ivar known: what other workers have found out about providers.
    :ivar has_heard: whether the file of budgets has what other machines have spent.
    """

    config: Config
    changes: tuple[Change, ...]
    number: int
    workers: int
    origin: int
    endpoints: tuple[str, ...]
    kept: Mapping[str, bytes]
    address: tuple[str, str]
    addresses: tuple[Any, ...]
    session_key: bytes
    logins: Mapping[bytes, tuple[bytes, float]]
    twistd: Mapping[str, Any]
    cwd: Path
    text: Path | None
    places: Places
    known: Known
    has_heard: bool


class Adopt(NamedTuple):
    """Serve as *config* and *changes* say from now on. It is answered when that is so."""

    config: Config
    changes: tuple[Change, ...]


class PutBack(NamedTuple):
    """Use a key again."""

    provider: str
    key: str


class CloseBreaker(NamedTuple):
    """Ask a provider again, or a model of it."""

    provider: str
    model: str | None


class SpentElsewhere(NamedTuple):
    """Other machines have spent something of budgets: the file has it."""


class Purge(NamedTuple):
    """Forget the answers that are kept."""


class Logins(NamedTuple):
    """Who has typed the admin key on the page, and has not left since."""

    kept: Mapping[bytes, tuple[bytes, float]]


class Clients(NamedTuple):
    """The file of clients has changed. It is answered with the number of requests that were ended by that."""


class End(NamedTuple):
    """End the requests under way of this id."""

    request_id: str
    text: str


class Reopen(NamedTuple):
    """The log files were rotated."""


class Lines(NamedTuple):
    """Tell the lines of the log as they come, or no more."""

    wanted: bool


class Leave(NamedTuple):
    """The process is about to stop."""


class Stop(NamedTuple):
    """Finish what is under way, and end.

    :ivar idle_seconds: which idle connections get for another request.
    """

    idle_seconds: float = 0.0


class Hurry(NamedTuple):
    """End what is under way in so many seconds."""

    seconds: float


class Refresh(NamedTuple):
    """Tell all that has happened. The answer is a :class:`~skyproxy.process.workers.state.WorkerState`.

    :ivar files: what is kept in files is to be there, too.
    :ivar every: so is each request under way, of which otherwise the oldest are told.
    """

    files: bool = False
    every: bool = False


FIGURES = Refresh()
"""Those of the moment."""


class Granted(NamedTuple):
    """Shares of limits.

    :ivar answers: :attr:`Claims.sent` of the newest that this answers; None: it answers none.
    :ivar lease: seconds for which all shares of the worker hold from then on, also those that do not stand here; 0.0:
        it renews none of those.
    :ivar again: the worker was not heard for so long that it is to tell all.
    :ivar grants: by what is limited, with the limit.
    """

    answers: float | None
    lease: float
    again: bool
    grants: tuple[tuple[Key, int, Grant], ...]


class MarkMet(NamedTuple):
    """A provider has refused one more request at once of a key and model than it takes.

    :ivar number: of this news.
    :ivar own: it was met by the worker that hears this.
    """

    key: Key
    number: int
    own: bool


class MarkFalse(NamedTuple):
    """A mark was no limit of requests at once: there is none any more.

    :ivar number: as of :class:`MarkMet`; *own* likewise.
    """

    key: Key
    number: int
    own: bool


# From a worker.


class Ready(NamedTuple):
    """The worker serves."""


class Load(NamedTuple):
    """The connections that are open, and how many have ever come."""

    open: int
    received: int


class Claims(NamedTuple):
    """The worker is here, and wants these shares of limits; of all others as much as it has told before.

    :ivar sent: when, on its clock (seconds).
    :ivar left: what it wants nothing of any more.
    :ivar reports: by what is limited, with the limit as the worker knows it.
    """

    sent: float
    left: tuple[Key, ...]
    reports: tuple[tuple[Key, int, Report], ...]


class Learned(NamedTuple):
    """A provider has told how many requests it takes at once."""

    provider: str
    max_concurrent: int


class MarkLimited(NamedTuple):
    """A 429 has come while all that the worker may have under way of a key and model was, or that has made a mark.

    :ivar seen: the number of the last news of marks that it knew.
    """

    key: Key
    seen: int


class MarkDropped(NamedTuple):
    """A mark is false: a 429 has come below it."""

    key: Key


OfMarks: TypeAlias = MarkLimited | MarkDropped

OF_MARKS = MarkLimited, MarkDropped


class Over(NamedTuple):
    """Requests that are over: a batch of :class:`~skyproxy.process.workers.records.SentRing`."""

    batch: bytes


class Logged(NamedTuple):
    """Lines of the log; *missed*: how many more there were before them."""

    lines: list[bytes]
    missed: int


class Bye(NamedTuple):
    """The last message. It is answered.

    :ivar state: a :class:`~skyproxy.process.workers.state.WorkerState`.
    """

    state: Any
