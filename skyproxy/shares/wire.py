"""What machines say to each other, as bytes: JSON. What cannot be understood is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from skyproxy.shares.messages import Grant

_VERSION = 2


class Wants(NamedTuple):
    """How a machine is with one limit: see :class:`~skyproxy.shares.messages.Report`.

    :ivar limit: all of it, as this machine's configuration says.
    :ivar sort: a :class:`~skyproxy.shares.use.Sort`.
    """

    limit: int
    grant: int
    held: int
    interactive: int
    background: int
    sort: int = 0


@dataclass(frozen=True, slots=True)
class MachineReport:
    """What a machine says of all its limits.

    :ivar leader: the machine whose grants it follows.
    :ivar sent: when, on its own clock.
    :ivar left: it has ended, and uses nothing any more.
    """

    machine: str
    leader: str
    sent: float
    limits: Mapping[str, Wants]
    left: bool = False

    def encoded(self) -> bytes:
        """It, as it is sent."""
        limits = {name: list(wants) for name, wants in self.limits.items()}
        return orjson.dumps([_VERSION, self.machine, self.leader, self.sent, limits, self.left])


class MachineGrants(NamedTuple):
    """What the machine that leads gives to another one, by the limit's name. That something is scarce is not told:
    machines give back what they do not need with their reports.

    :ivar machines: how many there are; 0: nobody knows yet.
    """

    leader: str
    machines: int
    grants: Mapping[str, Grant]

    def encoded(self) -> bytes:
        """It, as it is sent."""
        grants = {name: [*grant[:6], grant.limit] for name, grant in self.grants.items()}
        return orjson.dumps([_VERSION, self.leader, self.machines, grants])


def report_of(message: bytes) -> MachineReport | None:
    """The report in *message*; None if there is none."""
    try:
        version, machine, leader, sent, limits, left = orjson.loads(message)
        if version != _VERSION:
            return None
        wants = {str(name): Wants(*(int(each) for each in of)) for name, of in limits.items()}
        return MachineReport(str(machine), str(leader), float(sent), wants, bool(left))
    except (ValueError, TypeError, AttributeError):
        return None


def grants_of(message: bytes) -> MachineGrants | None:
    """The grants in *message*; None if there are none."""
    try:
        version, leader, machines, grants = orjson.loads(message)
        if version != _VERSION:
            return None
        return MachineGrants(str(leader), int(machines), {str(name): _grant(*of) for name, of in grants.items()})
    except (ValueError, TypeError, AttributeError):
        return None


def _grant(number: Any, share: Any, answers: Any, lease: Any, members: Any, due: Any, limit: Any) -> Grant:
    return Grant(int(number), int(share), float(answers), float(lease), int(members), int(due), limit=int(limit))
