"""Does what people ask for: validates it, says what it comes to, applies it at once, and remembers it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any

from twisted.logger import Logger

from skyproxy.access.audit import NAMESPACE
from skyproxy.config import Config
from skyproxy.config.overlay import Setting, of_profile, same
from skyproxy.config.profiles import NO_PROFILE
from skyproxy.errors import InvalidRequest, NotFound
from skyproxy.pipeline.changes import (
    Change,
    ChangeKind,
    Conflict,
    EndedByHand,
    Target,
    changed,
    pauses_of,
    profile_of,
    renewed,
)
from skyproxy.pipeline.context import RequestContext
from skyproxy.process.actions import effects
from skyproxy.process.actions.action_log import Action, ActionLog
from skyproxy.process.actions.deeds import Deeds, NobodyElse
from skyproxy.process.actions.keeping import Keeping
from skyproxy.process.actions.shapes import action_shape, change_shape
from skyproxy.process.actions.targets import (
    check_settings,
    checked_profile,
    checked_target,
    close_breakers,
    key_of,
    refuse_last_key,
)
from skyproxy.process.providers import Providers

_log = Logger()
_audit = Logger(namespace=NAMESPACE)

VERSION = 1


class Operations:
    """Applies what people ask for.

    Each method takes *by*, who asks, and *dry_run*: then it only tells what it would do. Each returns an object of
    JSON, and raises a :class:`~skyproxy.errors.SkyproxyError` where it does nothing.

    :param adopt: takes a configuration that this process has written.
    :param wall: the time of day, in seconds since the epoch.
    :param under_way: gives the requests that are not over.
    :param purge: forgets the answers that are kept.
    :ivar told: takes what other machines are to do, too.
    """

    def __init__(
        self,
        providers: Providers,
        action_log: ActionLog,
        keeping: Keeping,
        adopt: Callable[[Config], None],
        wall: Callable[[], float],
        under_way: Callable[[], Collection[RequestContext]] = tuple,
        purge: Callable[[], object] = bool,
    ) -> None:
        self._providers = providers
        self._action_log = action_log
        self._keeping = keeping
        self._adopt = adopt
        self._wall = wall
        self._under_way = under_way
        self._purge = purge
        self.told: Deeds = NobodyElse()
        self._config: Config | None = None

    @property
    def config(self) -> Config:
        """The configuration as it was read."""
        assert self._config is not None
        return self._config

    def take(self, config: Config) -> None:
        """Serve as *config*, which was read, and the changes by hand say from now on.

        :raise Exception: it cannot be. Then all stays as it was.
        """
        kept: list[Change] = []
        for each in self._action_log.changes:
            change = renewed(config, each)
            if change is None:
                _log.warn(
                    "A change by hand ends, for what it is about is gone", action=each.action, about=str(each.target)
                )
            elif not change.settings or not same(changed(config, kept), changed(config, [*kept, change])):
                kept.append(change)
        self._providers.build(changed(config, kept), tuple(kept))
        self._config = config
        self._action_log.settle(kept)

    def inherit(self, changes: Iterable[Change]) -> None:
        """Take *changes*, which were made by hand in another process, as if they had been made in this one."""
        self._action_log.settle(changes)
        self.take(self.config)

    def changes(self) -> dict[str, Any]:
        """The changes that hold now, and the last actions."""
        return {
            "v": VERSION,
            "changes": self._shapes(self._action_log.changes),
            "actions": [action_shape(each, self._action_log.changes) for each in self._action_log.actions],
            "profile": profile_of(self._action_log.changes) or None,
            "profiles": list(self.config.profiles),
        }

    # The actions.

    def pause(self, asked: Target, by: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Have no new request go to a slot, a provider or a deployment."""
        target = checked_target(self.config, asked)
        if any(each.kind == "pause" and each.target == target for each in self._action_log.changes):
            return self._nothing(f"{target} is paused already.", by, dry_run)
        change = self._change("pause", target, by)
        pauses = pauses_of([*self._action_log.changes, change])
        text = effects.of_pause(target, self._providers.runtime().router, pauses)
        return self._do(text, by, dry_run, added=(change,))

    def resume(self, asked: Target, by: str, *, dry_run: bool = False) -> dict[str, Any]:
        """End a pause."""
        target = checked_target(self.config, asked)
        otherwise = f"{target} is not paused."
        if target.slot:
            served = self._providers.runtime().router.configured(target.slot)[0]
            why = pauses_of(self._action_log.changes).of(served.provider.name, served.model)
            otherwise = otherwise if why is None else f"{target} is not paused itself: {why.target} is."
        return self._end("pause", target, by, dry_run, f"{target} is resumed.", otherwise)

    def put_aside(self, asked: Target, by: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Have no new request use a key."""
        target = key_of(self.config, asked)
        changes = self._action_log.changes
        if any(each.kind == "aside" and each.target == target for each in changes):
            return self._nothing(f"{target} is put aside already.", by, dry_run)
        change = self._change("aside", target, by)
        refuse_last_key(self.config, [*changes, change], [change])
        return self._do(f"{target} is put aside: other keys carry its requests.", by, dry_run, added=(change,))

    def put_back(self, asked: Target, by: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Use a key again, whether somebody or the provider's answer had put it aside."""
        target = key_of(self.config, asked)
        if not dry_run:
            self._providers.runtime().providers[target.provider].guards.put_back(target.key)
            self.told.key_put_back(target.provider, target.key)
        text = f"{target} is used again."
        removed = tuple(each for each in self._action_log.changes if each.kind == "aside" and each.target == target)
        return self._do(text, by, dry_run, removed=removed)

    def close_breaker(self, asked: Target, by: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Ask a provider, or a model, again that was left alone."""
        target = checked_target(self.config, asked)
        if target.slot:
            raise InvalidRequest("A slot has no breaker: name a provider, or provider and model.", param="slot")
        if not dry_run:
            closed = close_breakers(self._providers.runtime().providers[target.provider], target.model)
            self.told.breakers_closed(target.provider, closed)
        return self._do(f"{target} is asked again: its breaker is closed.", by, dry_run)

    def set(self, asked: Target, values: dict[str, Any], by: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Change values of a provider or a slot."""
        target = checked_target(self.config, asked)
        if target.model:
            raise InvalidRequest("Values are set of a provider or of a slot, not of a model.", param="model")
        section, name = ("model_slots", target.slot) if target.slot else ("providers", target.provider)
        settings = tuple(Setting(section, name, key, value) for key, value in values.items())
        check_settings(self.config, settings)
        said = ", ".join(each.shown for each in settings)
        change = self._change("set", target, by, settings)
        return self._set(change, f"{target} has {said} now.", dry_run)

    def profile(self, name: str, by: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Have the slots be served as the profile *name* says; ``off``: as they are configured."""
        if name == NO_PROFILE:
            done = self._end("profile", Target(), by, dry_run, "No profile is in use now.", "No profile is in use.")
        else:
            settings = of_profile(self.config, checked_profile(self.config, name))
            change = self._change("profile", Target(), by, settings, name)
            done = self._set(change, f"Profile {name} is in use now.", dry_run)
        if not dry_run:
            self.told.profile_used(name)
        return done

    def cancel(self, request_id: str, by: str, *, dry_run: bool = False) -> dict[str, Any]:
        """End requests under way: those of this id, which a client may give twice."""
        found = [each for each in self._under_way() if each.request.request_id == request_id]
        if not found:
            raise NotFound(f"{request_id[:100]} is not under way.")
        if not dry_run:
            for each in found:
                each.end(EndedByHand(f"Somebody has ended the request by hand ({by})."))
        return self._do(f"Request {request_id[:100]} is ended: its client gets an error.", by, dry_run)

    def purge(self, by: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Forget all answers that are kept."""
        if not dry_run:
            self._purge()
            self.told.purged()
        return self._do("All answers that were kept are forgotten.", by, dry_run)

    def undo(self, action_id: str, by: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Undo an action; ``last``: the newest that is not undone."""
        log, renew = self._action_log, partial(renewed, self.config)
        if action_id == "last":
            undoing = log.undoing_last(log.next_id(), self._wall(), by, renew)
        else:
            undoing = log.undoing(log.find(action_id), log.next_id(), self._wall(), by, renew)
        refuse_last_key(self.config, log.with_action(undoing), undoing.added)
        shape = self._finish(undoing, dry_run)
        if not dry_run and any(each.kind == "profile" for each in (*undoing.added, *undoing.removed)):
            self.told.profile_used(profile_of(log.changes) or NO_PROFILE)
        return shape

    def keep(self, action_id: str, by: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Write what an action has changed into the file; ``last``: the newest that can be kept."""
        log = self._action_log
        if action_id == "last":
            kept = [each for each in log.changes if each.settings][-1:]
            if not kept:
                raise Conflict("There is nothing to keep.")
        else:
            kept = [each for each in log.find(action_id).added if each in log.changes]
        settings = [setting for each in kept for setting in each.settings]
        if not settings:
            raise Conflict("There is no line of the file for it: it lasts until it is undone, or until skyproxy ends.")
        plan = self._keeping.plan(self.config, settings)
        told = {"file": str(plan.file), "diff": plan.diff}
        text = f"{'To be kept' if dry_run else 'Kept'} in {plan.file}."
        if not dry_run:
            self._adopt(self._keeping.write(plan))
        return {**self._finish(Action(log.next_id(), self._wall(), by, text), dry_run), **told}

    # How.

    def _change(
        self, kind: ChangeKind, target: Target, by: str, settings: Sequence[Setting] = (), profile: str = ""
    ) -> Change:
        return Change(self._action_log.next_id(), kind, target, by, self._wall(), tuple(settings), profile)

    def _set(self, change: Change, text: str, dry_run: bool) -> dict[str, Any]:
        replaced = tuple(each for each in self._action_log.changes if change.replaces(each))
        left = [each for each in self._action_log.changes if each not in replaced]
        # What is configured, or set, already is no change.
        added = () if same(changed(self.config, left), changed(self.config, [*left, change])) else (change,)
        if [each.what for each in added] == [each.what for each in replaced]:
            return self._nothing(text, change.by, dry_run)
        return self._do(text, change.by, dry_run, added, replaced)

    def _end(
        self, kind: ChangeKind, target: Target, by: str, dry_run: bool, text: str, otherwise: str
    ) -> dict[str, Any]:
        removed = tuple(each for each in self._action_log.changes if each.kind == kind and each.target == target)
        return self._do(text, by, dry_run, removed=removed) if removed else self._nothing(otherwise, by, dry_run)

    def _do(
        self,
        text: str,
        by: str,
        dry_run: bool,
        added: tuple[Change, ...] = (),
        removed: tuple[Change, ...] = (),
    ) -> dict[str, Any]:
        action_id = added[0].action if added else self._action_log.next_id()
        return self._finish(Action(action_id, self._wall(), by, text, added, removed), dry_run)

    def _finish(self, action: Action, dry_run: bool) -> dict[str, Any]:
        changes = self._action_log.with_action(action)
        if not dry_run:
            if action.can_be_undone:
                self._providers.build(changed(self.config, changes), changes)
            self._action_log.note(action)
            _audit.info("Changed by hand", action=action.id, by=action.by, what=action.text)
        return {
            "v": VERSION,
            "dry_run": dry_run,
            **action_shape(action, changes),
            "changes": self._shapes(changes),
        }

    def _nothing(self, text: str, by: str, dry_run: bool) -> dict[str, Any]:
        return {
            "v": VERSION, "dry_run": dry_run, "id": None, "at": self._wall(), "by": by, "text": text,
            "can_be_undone": False, "can_be_kept": False, "changes": self._shapes(self._action_log.changes),
        }  # fmt: skip

    def _shapes(self, changes: Sequence[Change]) -> list[dict[str, Any]]:
        return [change_shape(each, self.config) for each in changes]
