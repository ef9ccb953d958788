"""What a configuration says about bad answers, and about asking twice for the same one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, SecretStr

from skyproxy.config.fields import Bytes, Checked, Count, OptionalPath, Seconds, Share, on_or_off
from skyproxy.config.shared import checked_store

Priority = Literal["interactive", "background"]
"""What goes first where requests wait: what the player waits for, or what nobody does."""


class ApiKeyConfig(Checked):
    """One of a provider's keys.

    :ivar variable: where it stands; what messages call it.
    :ivar place: the file that has the variable, or ``environment``.
    """

    variable: str
    secret: SecretStr
    place: str = "environment"


class BreakerSettings(Checked):
    """When a provider, or one of its models, is left alone, and for how long.

    :ivar consecutive: the failures, with no success between them, that open the breaker.
    :ivar open_for: how long it is left alone before it is tried again; doubled up to ten seconds while that fails.
    :ivar failure_rate: still read, without effect.
    :ivar min_requests: still read, without effect.
    :ivar window: still read, without effect.
    :ivar probes: still read, without effect.
    """

    failure_rate: Share = 0.5
    min_requests: Count = 10
    window: Seconds = 30.0
    consecutive: Count = 5
    open_for: Seconds = 1.0
    probes: Count = 1


class CacheRule(Checked):
    """Whether, and how long, answers are kept to be given again.

    :ivar store: where they are kept; ``off`` keeps none. ``sqlite`` outlives a restart, and wants ``proxy.cache.path``.
        ``redis`` is one for several machines, and wants ``proxy.cache.address`` or ``proxy.shared``.
    :ivar ttl: how long an answer may be given again.
    :ivar max_bytes: the most bytes of one answer; a longer one is not kept.
    """

    store: Annotated[Literal["off", "memory", "sqlite", "redis"], BeforeValidator(on_or_off)] = "memory"
    ttl: Seconds = 300.0
    max_bytes: Bytes = 1000 * 1000


class CacheSettings(Checked):
    """The stores of the answers that are kept.

    :ivar max_bytes: the most bytes of all answers in one store; the least recently used go first.
    :ivar path: the SQLite file of the store ``sqlite``, relative to the file that names it.
    :ivar address: the Redis of the store ``redis``, as ``shared`` of ``proxy:`` has it. Without it, it is that one.
    """

    max_bytes: Bytes = 64 * 1000 * 1000
    path: OptionalPath = None
    address: Annotated[SecretStr, AfterValidator(checked_store)] | None = None


def _breaker(value: Any) -> Any:
    if value is True or value == "on":
        return BreakerSettings()
    if value is False or value == "off":
        return None
    if value is None or isinstance(value, (dict, BreakerSettings)):
        return value
    raise ValueError("must be off, or a mapping of keys to values, such as {consecutive: 5}")


def _cache(value: Any) -> Any:
    if isinstance(value, bool) or value in ("on", "off"):
        return CacheRule(store="memory" if value in (True, "on") else "off")
    if value is None or isinstance(value, (dict, CacheRule)):
        return value
    raise ValueError("must be off, or a mapping of keys to values, such as {store: memory, ttl: 5m}")


Breaker = Annotated[BreakerSettings | None, BeforeValidator(_breaker)]
Cache = Annotated[CacheRule, BeforeValidator(_cache)]
OptionalCache = Annotated[CacheRule | None, BeforeValidator(_cache)]
