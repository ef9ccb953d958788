"""The actions since the start, and the changes that hold now."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import NamedTuple

from skyproxy.errors import NotFound
from skyproxy.pipeline.changes import Change, Conflict

MOST_ACTIONS = 200
"""That are remembered; the oldest goes first."""


class Action(NamedTuple):
    """One action.

    :ivar text: what was done, in a sentence.
    :ivar added: the changes that hold since.
    :ivar removed: those that no longer do.
    """

    id: str
    at: float
    by: str
    text: str
    added: tuple[Change, ...] = ()
    removed: tuple[Change, ...] = ()

    @property
    def can_be_undone(self) -> bool:
        """Whether it has changed anything that can be changed back."""
        return bool(self.added or self.removed)


class ActionLog:
    """Knows what was done.

    :param prefix: of the ids, which are no other process's.
    :ivar changes: those that hold, the oldest first.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers = count(1)
        self._actions: dict[str, Action] = {}
        self.changes: tuple[Change, ...] = ()

    @property
    def actions(self) -> list[Action]:
        """The newest first."""
        return list(reversed(self._actions.values()))

    def next_id(self) -> str:
        """The id of the next action."""
        return f"{self._prefix}-{next(self._numbers)}"

    def find(self, action_id: str) -> Action:
        """The action with this id.

        :raise NotFound: there is none.
        """
        found = self._actions.get(action_id)
        if found is None:
            raise NotFound(f"There is no action {action_id[:40]!r} since the start; GET /api/changes lists them.")
        return found

    def with_action(self, action: Action) -> tuple[Change, ...]:
        """The changes as they are after *action*."""
        kept = [each for each in self.changes if each not in action.removed]
        return tuple(sorted([*kept, *action.added], key=lambda each: each.at))

    def note(self, action: Action) -> None:
        """*action* was done."""
        self.changes = self.with_action(action)
        self._actions[action.id] = action
        while len(self._actions) > MOST_ACTIONS:
            del self._actions[next(iter(self._actions))]

    def settle(self, changes: Iterable[Change]) -> None:
        """*changes* hold now, in place of the others: the configuration was read again, or has some of them itself."""
        self.changes = tuple(changes)

    def undoing(self, action: Action, action_id: str, at: float, by: str) -> Action:
        """The action that undoes *action*.

        :raise Conflict: it cannot be undone, or no more.
        """
        if not action.can_be_undone:
            raise Conflict("There is nothing to undo: this action has changed nothing that lasts.")
        gone = [each for each in action.added if each not in self.changes]
        if gone:
            later = [other for other in self._actions.values() if gone[0] in other.removed]
            why = (
                f"{later[-1].id} came after it: undo that first" if later else "it is undone, kept in the file, or gone"
            )
            raise Conflict(f"Action {action.id} cannot be undone: {why}.")
        held = [each for each in self.changes if each not in action.added]
        back = tuple(each for each in action.removed if not any(other.replaces(each) for other in held))
        if not back and not action.added:
            raise Conflict(f"Action {action.id} cannot be undone: what it ended holds again.")
        return Action(action_id, at, by, f"Undone: {action.text}", back, action.added)
