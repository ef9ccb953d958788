"""The actions since the start, and the changes that hold now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from typing import NamedTuple, TypeAlias

from skyproxy.errors import NotFound
from skyproxy.pipeline.changes import Change, Conflict

Renew: TypeAlias = Callable[[Change], Change | None]

MOST_ACTIONS = 200
"""That are remembered; the oldest goes first."""


class Action(NamedTuple):
    """One action.

    :ivar text: what was done, in a sentence.
    :ivar added: the changes that hold since.
    :ivar removed: those that no longer do.
    :ivar undoes: the id of the action that it undoes, if it does.
    """

    id: str
    at: float
    by: str
    text: str
    added: tuple[Change, ...] = ()
    removed: tuple[Change, ...] = ()
    undoes: str = ""

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
            raise NotFound(f"There is no action {action_id[:40]!r} since the start: see `skyproxy changes`.")
        return found

    def with_action(self, action: Action) -> tuple[Change, ...]:
        """The changes as they are after *action*."""
        kept = [each for each in self.changes if each not in action.removed]
        return tuple(sorted([*kept, *action.added], key=lambda each: each.at))

    def note(self, action: Action) -> None:
        """*action* was done."""
        self._actions[action.id] = action
        self.settle(self.with_action(action))
        while len(self._actions) > MOST_ACTIONS:
            del self._actions[next(iter(self._actions))]

    def settle(self, changes: Iterable[Change]) -> None:
        """*changes* hold now, in place of the others: something was done, or the configuration was read again, which
        makes others of some, or has them itself.
        """
        self.changes = tuple(changes)
        now = {each.identity: each for each in self.changes}

        def renewed(known: tuple[Change, ...]) -> tuple[Change, ...]:
            return tuple([now.get(each.identity, each) for each in known])

        for name, action in self._actions.items():
            self._actions[name] = action._replace(added=renewed(action.added), removed=renewed(action.removed))

    def undoing_last(self, action_id: str, at: float, by: str, renew: Renew) -> Action:
        """The action that undoes the newest one that neither undoes another nor has been undone. The rest is as for
        :meth:`undoing`.
        """
        undone: set[str] = set()
        for each in self.actions:
            if each.undoes and each.id not in undone:
                undone.add(each.undoes)
            elif each.id not in undone and not each.undoes:
                with suppress(Conflict):
                    return self.undoing(each, action_id, at, by, renew)
        raise Conflict("There is nothing to undo.")

    def undoing(self, action: Action, action_id: str, at: float, by: str, renew: Renew) -> Action:
        """The action that undoes *action*.

        :param renew: gives a change that ended as it is over what is configured now; None: what it is about is gone.
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
        ended = [
            each for each in action.removed if not any(other.at >= each.at and other.replaces(each) for other in held)
        ]
        back = tuple(each for each in map(renew, ended) if each is not None)
        if not back and not action.added:
            why = "what it ended holds again, something newer has taken its place, or what it was about is gone"
            raise Conflict(f"Action {action.id} cannot be undone: {why}.")
        return Action(action_id, at, by, f"Undone: {action.text}", back, action.added, action.id)
