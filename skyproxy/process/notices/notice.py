"""One thing that a machine tells all others, as a value and as bytes: JSON. What cannot be understood is left out."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any, NamedTuple, TypeAlias

import orjson

from skyproxy.process.workers.news import NEVER, Stamp

_VERSION = 1

MAX_MESSAGE_BYTES = 65_536
_LONGEST_TIME = 15
"""Digits of milliseconds."""
MAX_NOTICES = 512
"""That are read of one message."""
MAX_MODEL = 512
"""Characters of a model's name, which is a client's."""
MAX_TEXT = 300
_MAX_NAME = 64
_MAX_SECONDS = 366 * 86_400.0
MAX_COUNT = 2**60
"""Of a stamp."""
MAX_ORIGIN = 2**62

MODEL_RESTS, MODEL_TAKEN = "rate", "taken"
KEY_RESTS, KEY_REFUSED, KEY_BACK = "rests", "refused", "back"
OPENED, PROBES, IGNORED, CLOSED = "opened", "probes", "ignored", "closed"
PURGE, PROFILE, REVOKED = "purge", "profile", "revoked"

_OF_BREAKERS = frozenset({OPENED, PROBES, IGNORED, CLOSED})
_KINDS = _OF_BREAKERS | {MODEL_RESTS, MODEL_TAKEN, KEY_RESTS, KEY_REFUSED, KEY_BACK, PURGE, PROFILE, REVOKED}

Subject: TypeAlias = tuple[str, ...]
"""What a notice is about: a newer one about the same takes its place."""


class Notice(NamedTuple):
    """Something that holds on all machines whom it concerns.

    :ivar kind: what it is: one of the words above.
    :ivar provider: which one, and *key* which key of it, or of a client, as :class:`~skyproxy.process.notices.names`
        has them.
    :ivar model: None: all of the provider.
    :ivar seconds: for which it still holds.
    :ivar doubled: the time that is doubled the next time (seconds).
    :ivar stated: the provider has said how long.
    :ivar text: the cause, or the name of a profile.
    :ivar stamp: orders what is told of a breaker, the profiles, and the purges.
    """

    kind: str
    provider: str = ""
    key: str = ""
    model: str | None = None
    seconds: float = 0.0
    doubled: float = 0.0
    stated: bool = False
    text: str = ""
    stamp: Stamp = NEVER

    @property
    def subject(self) -> Subject:
        """What it is about."""
        if self.kind in _OF_BREAKERS:
            return ("probe" if self.kind in (PROBES, IGNORED) else "breaker", self.provider, self.model or "")
        if self.kind in (MODEL_RESTS, MODEL_TAKEN):
            return "model", self.provider, self.key, self.model or ""
        return self.kind, self.provider, self.key

    def encoded(self) -> bytes:
        """It alone, as it is kept."""
        return orjson.dumps(list(self))


class Message(NamedTuple):
    """What a machine has told.

    :ivar sent: when it was passed on, in milliseconds of the store's clock.
    :ivar broken: how many notices in it were none.
    """

    sent: int
    machine: str
    notices: tuple[Notice, ...]
    broken: int


def message_of(machine: str, notices: Iterable[Notice]) -> bytes:
    """What *machine* tells, as it is sent."""
    return orjson.dumps([_VERSION, machine, [list(each) for each in notices]])


def read_message(message: bytes) -> Message | None:
    """What a machine has told by *message*, as the store has passed it on; None: it is no such message."""
    sent, _, text = message[: MAX_MESSAGE_BYTES + _LONGEST_TIME + 2].partition(b" ")
    if len(text) > MAX_MESSAGE_BYTES or len(sent) > _LONGEST_TIME or not sent.isdigit():
        return None
    try:
        version, machine, told = orjson.loads(text)
    except (ValueError, TypeError):
        return None
    if version != _VERSION or not isinstance(machine, str) or not isinstance(told, list):
        return None
    read = [_notice(each) for each in told[:MAX_NOTICES]]
    notices = tuple(each for each in read if each is not None)
    return Message(int(sent), machine, notices, len(told) - len(notices))


def read_notice(kept: bytes) -> Notice | None:
    """The notice that was kept as *kept*; None: it is none."""
    try:
        return _notice(orjson.loads(kept))
    except ValueError:
        return None


def _notice(told: Any) -> Notice | None:
    if not isinstance(told, list) or len(told) != len(Notice._fields):
        return None
    kind, provider, key, model, seconds, doubled, stated, text, stamp = told
    good = (
        isinstance(kind, str)
        and kind in _KINDS
        and _is_text(provider, _MAX_NAME)
        and _is_text(key, _MAX_NAME)
        and (_is_text(model, MAX_MODEL) or (model is None and kind not in (MODEL_RESTS, MODEL_TAKEN)))
        and _is_time(seconds)
        and _is_time(doubled)
        and isinstance(stated, bool)
        and _is_text(text, MAX_TEXT)
        and isinstance(stamp, list)
        and len(stamp) == 2
        and _is_count(stamp[0], 0, MAX_COUNT)
        and _is_count(stamp[1], -1, MAX_ORIGIN)
    )
    if not good:
        return None
    return Notice(kind, provider, key, model, float(seconds), float(doubled), stated, text, (stamp[0], stamp[1]))


def _is_text(value: Any, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and isfinite(value) and 0 <= value <= _MAX_SECONDS


def _is_count(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most
