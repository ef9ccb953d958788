"""The client that a key belongs to, as a request carries it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from skyproxy.config.access import ClientSettings
from skyproxy.config.budgets import BudgetSettings, StepDown
from skyproxy.config.resilience import Priority

ALL = ("*",)
"""The patterns of a client that may ask for every slot."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a client may ask for; None: as much as it likes.

    :ivar requests_per_minute: requests in any 60 seconds.
    :ivar tokens_per_minute: tokens, read and generated, in any 60 seconds.
    :ivar concurrent: requests at once.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None


UNLIMITED = Limits()


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """A client, and what it may. It is made once for each state of the configuration and of the store, and shared by
    the requests of the client.

    :ivar name: of the client; safe to show, to log and as a label.
    :ivar slots: patterns of what it may ask for; :data:`ALL` if that is everything.
    :ivar priority: ``background``: its requests wait behind others, whatever the slot says; None: the slot says.
    :ivar limits: of its requests.
    :ivar budget: how much it may spend; None: as much as it likes.
    :ivar expires: when its keys end to be taken; None: they do not.
    :ivar on_budget: what serves it when its budget is spent; None: nothing does.
    :ivar key_id: the beginning of the digest of the key that the request came with: tells a client's keys apart.
    """

    name: str
    slots: tuple[str, ...] = ALL
    priority: Priority | None = None
    limits: Limits = UNLIMITED
    budget: BudgetSettings | None = None
    expires: datetime | None = None
    on_budget: StepDown | None = None
    key_id: str = ""

    def may_ask_for(self, slot: str) -> bool:
        """Whether it may ask for *slot*: a slot's name, or ``provider:model``."""
        return any(slot == pattern or fnmatchcase(slot, pattern) for pattern in self.slots)

    def priority_of(self, slot: Priority) -> Priority:
        """That of its requests for a slot which has the priority *slot*."""
        return "background" if self.priority == "background" else slot


def identity_of(name: str, settings: ClientSettings) -> ClientIdentity:
    """The identity of the client *name*, from the configuration or the store, which may what *settings* say."""
    limits = Limits(settings.requests_per_minute, settings.tokens_per_minute, settings.concurrent)
    # What restricts nothing is always the same object: to see that takes no time.
    return ClientIdentity(
        name=name,
        slots=ALL if "*" in settings.slots else settings.slots,
        priority=settings.priority,
        limits=UNLIMITED if limits == UNLIMITED else limits,
        budget=settings.budget,
        expires=settings.expires,
        on_budget=settings.on_budget,
    )
