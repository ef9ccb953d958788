"""What people have changed by hand since the start: plain values, and what they make of a configuration.

A change lies over the configuration that was read, survives that it is read again, and goes with the process.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from skyproxy.config import Config
from skyproxy.config.overlay import Setting, of_profile, overlaid
from skyproxy.errors import SkyproxyError, Unavailable

ChangeKind = Literal["pause", "aside", "set", "profile"]


class Paused(Unavailable):
    """Somebody has paused what was asked for."""

    code = "paused"
    retryable = False


class EndedByHand(Unavailable):
    """Somebody has ended the request."""

    code = "ended_by_hand"
    retryable = False


class Conflict(SkyproxyError):
    """What is asked for does not fit what there is now."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class Target(NamedTuple):
    """What a change is about: a slot, or a provider and perhaps its model or key.

    :ivar key: the variable that holds it.
    """

    provider: str = ""
    model: str = ""
    key: str = ""
    slot: str = ""

    def __str__(self) -> str:
        if self.slot:
            return f"slot {self.slot}"
        if self.key:
            return f"{self.key} of {self.provider}"
        return f"{self.provider}:{self.model}" if self.model else self.provider or "all slots"


class Change(NamedTuple):
    """One change.

    :ivar action: the id of the action that made it.
    :ivar settings: of a ``set`` or a ``profile``.
    :ivar profile: its name.
    :ivar by: who made it.
    :ivar at: when, in seconds since the epoch.
    """

    action: str
    kind: ChangeKind
    target: Target
    by: str
    at: float
    settings: tuple[Setting, ...] = ()
    profile: str = ""

    @property
    def identity(self) -> tuple[str, ChangeKind, Target]:
        """What stays the same when it is renewed."""
        return self.action, self.kind, self.target

    @property
    def what(self) -> tuple[ChangeKind, Target, tuple[Setting, ...], str]:
        """What it does, whoever made it."""
        return self.kind, self.target, self.settings, self.profile

    def replaces(self, other: Change) -> bool:
        """Whether nothing is left of *other*, which is older."""
        if self.kind != other.kind:
            # Whoever chooses a profile wants its slots, whatever was set before.
            return self.kind == "profile" and other.kind == "set" and bool(other.target.slot)
        if self.kind == "profile":
            return True
        paths = {each.path for each in self.settings}
        return self.target == other.target and all(each.path in paths for each in other.settings)


class Pauses(NamedTuple):
    """What gets no new requests, each with the change that says so."""

    providers: dict[str, Change]
    deployments: dict[tuple[str, str], Change]
    slots: dict[str, Change]

    def of(self, provider: str, model: str) -> Change | None:
        """What keeps *model* of *provider* from being asked; None: nothing."""
        return self.providers.get(provider) or self.deployments.get((provider, model))

    def __bool__(self) -> bool:
        return bool(self.providers or self.deployments or self.slots)


NO_PAUSES = Pauses({}, {}, {})


def pauses_of(changes: Iterable[Change]) -> Pauses:
    """Those among *changes*."""
    found = Pauses({}, {}, {})
    for each in changes:
        if each.kind != "pause":
            continue
        target = each.target
        if target.slot:
            found.slots[target.slot] = each
        elif target.model:
            found.deployments[target.provider, target.model] = each
        else:
            found.providers[target.provider] = each
    return found


def changed(config: Config, changes: Iterable[Change]) -> Config:
    """*config* with the settings of *changes*; itself where there are none."""
    settings = [setting for each in changes for setting in each.settings]
    return overlaid(config, settings) if settings else config


def profile_of(changes: Iterable[Change]) -> str:
    """The profile in use; empty: none is."""
    return next((each.profile for each in changes if each.kind == "profile"), "")


def renewed(config: Config, change: Change) -> Change | None:
    """*change* as it is over *config*, which was read again; None if what it is about is gone."""
    target = change.target
    if change.kind == "profile":
        if change.profile not in config.profiles:
            return None
        return change._replace(settings=of_profile(config, change.profile))
    if target.slot:
        known = target.slot in config.model_slots
    else:
        provider = config.providers.get(target.provider)
        known = provider is not None and (not target.key or target.key in {each.variable for each in provider.api_keys})
    providers = {each.value for each in change.settings if each.key == "provider"}
    return change if known and providers <= set(config.providers) else None
