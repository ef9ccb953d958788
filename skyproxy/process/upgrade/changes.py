"""Changes by hand, as the new process is told of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from skyproxy.config.overlay import Setting
from skyproxy.pipeline.changes import Change, Target


def as_plain(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """*changes* as objects of JSON."""
    return [
        {
            **each._asdict(),
            "target": each.target._asdict(),
            "settings": [setting._asdict() for setting in each.settings],
        }
        for each in changes
    ]


def from_plain(told: Any) -> list[Change]:
    """The changes that another version, perhaps, has told. What this one does not know is left out."""
    found = []
    for each in told if isinstance(told, list) else ():
        try:
            target, settings = Target(**each["target"]), tuple(Setting(**setting) for setting in each["settings"])
            found.append(Change(**{**each, "target": target, "settings": settings}))
        except (TypeError, KeyError):
            continue
    return found
