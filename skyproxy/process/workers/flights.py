"""One flight for all workers: who asks for the same as another worker follows its answer, by way of the parent.

::

    the worker that leads ──Head, Chunk, End──▶ the parent ──▶ a worker that follows
                          ◀──────Taken, Left────           ◀──

A worker whose requests may share an answer, and which has none to share, asks the parent (:class:`Seek`). The first one
leads: it asks a provider. The others get what it gets, as it comes.
"""

from __future__ import annotations

import marshal
from typing import Any, NamedTuple, TypeAlias

from skyproxy.http.common.headers import Field


class Seek(NamedTuple):
    """A worker wants an answer under *key*; *number* is its own, and *begun_by* the id of a request; *closed*: see
    :class:`Closed`.
    """

    number: int
    key: bytes
    begun_by: str
    closed: tuple[int, ...]


class Closed(NamedTuple):
    """What a worker has sought under these *numbers*, and leads, can be joined no more."""

    numbers: tuple[int, ...]


class Leads(NamedTuple):
    """The worker is the first to want what it has sought."""

    number: int


class Follows(NamedTuple):
    """What the worker has sought comes in *stream*."""

    number: int
    stream: int
    begun_by: str


class Join(NamedTuple):
    """The worker leads under *number*: its answer is to go into *stream*, too."""

    number: int
    stream: int


class Head(NamedTuple):
    """The answer in *stream* begins."""

    stream: int
    status: int
    headers: tuple[Field, ...]
    whole: bool


class Chunk(NamedTuple):
    """The next bytes in *stream*."""

    stream: int
    data: bytes


class End(NamedTuple):
    """No more is to come in *stream*. *ending* is an :class:`~skyproxy.cache.transit.Ending`."""

    stream: int
    ending: int
    last: bytes = b""


class Taken(NamedTuple):
    """So many bytes in *stream* were taken."""

    stream: int
    size: int


class Left(NamedTuple):
    """Nobody wants what comes in *stream* any more."""

    stream: int


FromWorker: TypeAlias = Seek | Closed | Head | Chunk | End | Taken | Left
FromParent: TypeAlias = Leads | Follows | Join | Head | Chunk | End | Taken | Left

_KINDS: tuple[type[Any], ...] = (Seek, Closed, Leads, Follows, Join, Head, Chunk, End, Taken, Left)
_NUMBER_OF = {kind: number for number, kind in enumerate(_KINDS)}


def encode(message: FromWorker | FromParent) -> bytes:
    """*message* as bytes, for a process of the same program and user alone."""
    # Nearly every request that may share its answer has three of these: to pickle them takes several times as long.
    return marshal.dumps((_NUMBER_OF[type(message)], *message))


def decode(data: bytes) -> Any:
    """Of what :func:`encode` made. It comes by a socket that this program's own processes were born with."""
    number, *fields = marshal.loads(data)  # nosec B302
    return _KINDS[number](*fields)
