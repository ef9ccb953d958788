"""Actions and changes as objects of JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skyproxy.config import Config
from skyproxy.pipeline.changes import Change
from skyproxy.process.actions.action_log import Action


def change_shape(change: Change, config: Config) -> dict[str, Any]:
    """One change that holds.

    :param config: as it was read: each setting tells what stands there.
    """
    return {
        "action": change.action,
        "kind": change.kind,
        "target": {name: value for name, value in change.target._asdict().items() if value},
        "profile": change.profile or None,
        "settings": [
            {"path": ".".join(each.path), "value": each.value, "configured": _configured(config, each.path)}
            for each in change.settings
        ],
        "by": change.by,
        "since": round(change.at, 3),
    }


def action_shape(action: Action, changes: Sequence[Change]) -> dict[str, Any]:
    """One action.

    :param changes: those that hold.
    """
    holds = [each for each in action.added if each in changes]
    return {
        "id": action.id,
        "at": round(action.at, 3),
        "by": action.by,
        "text": action.text,
        "can_be_undone": action.can_be_undone and len(holds) == len(action.added),
        "can_be_kept": any(each.settings for each in holds),
    }


def _configured(config: Config, path: tuple[str, ...]) -> Any:
    section, name, key = path
    owner = getattr(config, section).get(name)
    return None if owner is None else getattr(owner, key)
