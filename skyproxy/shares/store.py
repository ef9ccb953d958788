"""The place where machines meet, as they see it: it passes on what they say, and knows which one leads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol


class Tick(NamedTuple):
    """What the store answers when a machine has said how it is.

    :ivar leader: the machine that leads; empty: none does.
    :ivar took: whether this machine has begun to lead just now. Then it is to know:
    :ivar others: machines that may have a share, for all that the store knows.
    :ivar fresh: there may be more of them: the store was started, or emptied, not long ago, or has heard nobody for the
        time of a lease, as if it had stood still.
    """

    leader: str
    took: bool = False
    others: tuple[str, ...] = ()
    fresh: bool = False


class Listener(Protocol):
    """Who hears from the store."""

    def ready(self) -> None:
        """The store can be spoken to, again; or reports of others are heard from now on."""

    def told(self, message: bytes) -> None:
        """A grant has come."""

    def heard(self, message: bytes) -> None:
        """The report of a machine has come, to this one that leads."""


class Store(Protocol):
    """Nothing here waits: what is asked is answered by a call, once, whatever happens."""

    def begin(self, listener: Listener) -> None:
        """Look for the store from now on."""

    def tick(self, report: bytes, done: Callable[[Tick | str], object]) -> None:
        """Pass *report* on to the machine that leads, and keep leading, or begin to where none does.

        :param done: called with what is so now, or with what is wrong.
        """

    def lead(self, *, leads: bool) -> None:
        """Hear reports from now on, which :meth:`Listener.ready` tells; or no longer."""

    def send(self, messages: Mapping[str, bytes], done: Callable[[bool], object]) -> None:
        """Pass grants on, each to its machine, if this one leads.

        :param done: called with whether it did; not at all if nobody knows.
        """

    def absent(self, machines: Iterable[str], done: Callable[[list[str]], object]) -> None:
        """Which of *machines* have no connection to the store; *done* is not called if nobody knows."""

    def leave(self, message: bytes, done: Callable[[], object]) -> None:
        """Say goodbye with *message*, lead no longer, and have nothing to do with the store any more."""
