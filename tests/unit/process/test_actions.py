"""skyproxy.process.actions"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import fail
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import Config, ConfigError, load
from skyproxy.config.overlay import Setting
from skyproxy.errors import InvalidRequest, NotFound, SkyproxyError
from skyproxy.pipeline.changes import Conflict, Paused, Target
from skyproxy.process.actions.action_log import MOST_ACTIONS, Action, ActionLog
from skyproxy.process.actions.keeping import Keeping, NotKept, replace
from skyproxy.process.actions.operations import Operations
from skyproxy.process.embedded_demo import EmbeddedDemo
from skyproxy.process.notices.hands import OwnHands
from skyproxy.process.providers import Providers
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.admission_control import Guards
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.upstream.guards.deployments import Deployments
from skyproxy.upstream.guards.keys import KeyRing
from skyproxy.util.timers import Timers
from tests.unit.fakes import Upstream

TEXT = """\
# mine
providers:
  a: {base_url: "http://127.0.0.1:9/v1", api_key_env: [K1, K2], max_concurrent: 5}
  b:
    base_url: http://127.0.0.1:8/v1   # b
model_slots:
  default: {provider: a, model: m, fallbacks: ["b:n"]}
  alone: {provider: a, model: m}
profiles:
  p: {default: "b:n", alone: "b:n"}
  q: {default: "b:o"}
"""


class Case(SynchronousTestCase):
    """Operations on a file of their own."""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.path = self.folder / "skyproxy.yaml"
        self.path.write_text(TEXT)
        self.clock = Clock()
        self.action_log = ActionLog("t")
        made: Any = self.make
        sockets: Any = type("Sockets", (), {"check": staticmethod(lambda wanted: None)})
        self.providers = Providers(made, EmbeddedDemo(self.clock), sockets)
        self.made: list[str] = []
        self.adopted: list[Config] = []
        self.now = 100.0
        self.purges = 0
        self.operations = Operations(
            self.providers, self.action_log, Keeping(self.load), self.adopt, self.tick, purge=self.purge
        )
        self.operations.take(self.load())

    def make(self, config: Any, counts: Any, earlier: Provider | None) -> Provider:
        self.made.append(config.name)
        limiter = Limiter(self.clock, max_concurrent=config.max_concurrent, max_pending=9)
        if earlier is not None:
            limiter = earlier.guards.limiter
        keys = KeyRing(self.clock, config.api_keys, config.name) if config.api_keys else None
        client: Any = Upstream()
        guards = Guards(limiter, Deployments(self.clock, None, config.name), keys=keys)
        return Provider(config, Timers(self.clock), guards, client, self.clock.seconds)

    def load(self, instead: Mapping[Path, str] | None = None) -> Config:
        environ = {"K1": "key-0001", "K2": "key-0002"}
        return load(self.path, environ=environ, cwd=self.folder, home=None, instead=instead or {})

    def adopt(self, config: Config) -> None:
        self.adopted.append(config)
        self.operations.take(config)

    def purge(self) -> None:
        self.purges += 1

    def tick(self) -> float:
        self.now += 1
        return self.now

    def served(self, slot: str) -> list[str]:
        candidates = self.providers.runtime().router.candidates(slot)
        return [f"{each.provider.name}:{each.model}" for each in candidates]

    def fails(self, kind: type[SkyproxyError], words: str, call: Any, *arguments: Any) -> SkyproxyError:
        changes = self.action_log.changes
        with self.assertRaises(kind) as caught:
            call(*arguments)
        self.assertIn(words, caught.exception.message)
        self.assertEqual(self.action_log.changes, changes)
        return caught.exception


class Told:
    """Takes what other machines are to do, too."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def purged(self) -> None:
        self.all.append("purged")

    def profile_used(self, name: str) -> None:
        self.all.append(("profile", name))

    def key_put_back(self, provider: str, variable: str) -> None:
        self.all.append(("back", provider, variable))

    def breakers_closed(self, provider: str, models: Iterable[str | None]) -> None:
        self.all.append(("closed", provider, list(models)))


class ToldTests(Case):
    """What other machines hear of."""

    def setUp(self) -> None:
        super().setUp()
        self.operations.told = self.told = Told()

    def test_what_holds_for_all(self) -> None:
        self.operations.purge("me")
        self.operations.profile("p", "me")
        self.operations.profile("q", "me")
        self.operations.undo("last", "me")
        self.operations.undo("last", "me")
        self.operations.profile("p", "me")
        self.operations.profile("off", "me")
        self.operations.put_back(Target(provider="a", key="K1"), "me")
        self.operations.close_breaker(Target(provider="a"), "me")
        chosen = ["p", "q", "p", "off", "p", "off"]
        self.assertEqual(
            self.told.all,
            ["purged", *(("profile", name) for name in chosen), ("back", "a", "K1"), ("closed", "a", [])],
        )

    def test_what_does_not(self) -> None:
        for call in (self.operations.purge, lambda by, dry_run: self.operations.profile("p", by, dry_run=dry_run)):
            call("me", dry_run=True)
        self.operations.put_back(Target(provider="a", key="K1"), "me", dry_run=True)
        self.operations.close_breaker(Target(provider="a"), "me", dry_run=True)
        self.operations.pause(Target(provider="a"), "me")
        self.operations.undo("last", "me")
        self.operations.put_aside(Target(provider="a", key="K1"), "me")
        self.operations.set(Target(provider="a"), {"max_concurrent": 3}, "me")
        self.fails(NotFound, "There is no profile", self.operations.profile, "r", "me")
        self.operations.take(self.load())
        self.assertEqual(self.told.all, [])


class OwnHandsTests(Case):
    """What was done at another machine, done here."""

    def setUp(self) -> None:
        super().setUp()
        self.access: Any = SimpleNamespace(revoke_keys=lambda is_revoked, by: fail(RuntimeError("the disk is full")))
        self.hands = OwnHands(self.operations, self.access, lambda: self.providers.runtime().providers)

    def test_a_purge_and_profiles(self) -> None:
        self.hands.purge()
        self.assertEqual(self.purges, 1)
        self.assertTrue(self.hands.profile("p"))
        self.assertEqual(self.served("alone"), ["b:n"])
        self.assertEqual(self.action_log.changes[0].by, "another machine")
        with capturedLogs() as logs:
            self.assertFalse(self.hands.profile("there alone"))
        self.assertEqual([each["profile"] for each in logs if each["log_level"].name == "warn"], ["there alone"])
        self.assertEqual(self.served("alone"), ["b:n"])
        self.hands.profile("off")
        self.assertEqual(self.served("alone"), ["a:m"])

    def test_a_key_that_people_have_put_aside_here_stays_so(self) -> None:
        keys = self.providers.runtime().providers["a"].guards.keys
        assert keys is not None
        keys.hear_refused("K1", 300.0)
        self.hands.put_back("a", "K1")
        self.assertEqual(keys.in_use(), ["K1", "K2"])
        self.operations.put_aside(Target(provider="a", key="K1"), "me")
        self.hands.put_back("a", "K1")
        self.assertEqual(keys.in_use(), ["K2"])
        self.hands.put_back("b", "")

    def test_a_client_that_cannot_be_revoked_is_told(self) -> None:
        with capturedLogs() as logs:
            self.successResultOf(self.hands.revoke(lambda digest: True))
        self.assertEqual([each["reason"] for each in logs if "reason" in each], ["the disk is full"])


class OperationsTests(Case):
    def test_a_pause_goes_round_the_provider_and_back(self) -> None:
        dry = self.operations.pause(Target(provider="a"), "me", dry_run=True)
        self.assertEqual(dry["text"], "a is paused: 1 slot goes to its fallback and 1 slot is refused (alone).")
        self.assertEqual(self.served("default"), ["a:m", "b:n"])
        told = self.operations.pause(Target(provider="a"), "me")
        self.assertEqual(told["text"], dry["text"])
        self.assertEqual(self.served("default"), ["b:n"])
        with self.assertRaises(Paused) as caught:
            self.served("alone")
        self.assertEqual(caught.exception.message, "a is paused by hand; `skyproxy resume a` resumes it.")
        with self.assertRaises(Paused):
            self.served("a:other")
        self.assertIsNone(self.operations.pause(Target(provider="a"), "me")["id"])
        self.assertEqual(
            self.operations.resume(Target(slot="alone"), "me")["text"], "slot alone is not paused itself: a is."
        )
        self.operations.resume(Target(provider="a"), "me")
        self.assertEqual(self.served("default"), ["a:m", "b:n"])
        self.assertEqual(self.made, ["a", "b"], "connections are kept")

    def test_who_and_when_are_told(self) -> None:
        told = self.operations.pause(Target(provider="a", model="m"), "user anna")
        (change,) = told["changes"]
        self.assertEqual(change["target"], {"provider": "a", "model": "m"})
        self.assertEqual((change["by"], change["kind"], change["action"]), ("user anna", "pause", told["id"]))
        self.assertGreater(change["since"], 100)
        self.assertEqual(
            self.operations.changes()["actions"][0]["text"],
            "a:m is paused: 1 slot goes to its fallback and 1 slot is refused (alone).",
        )
        self.assertEqual(self.operations.changes()["profiles"], ["p", "q"])

    def test_what_is_not_there_is_not_changed(self) -> None:
        operations = self.operations
        for kind, words, call, *arguments in (
            (NotFound, "no slot 'alon'. Did you mean 'alone'?", operations.pause, Target(slot="alon")),
            (NotFound, "no provider 'c'. There are a, b.", operations.pause, Target(provider="c")),
            (InvalidRequest, "Name a slot, or", operations.pause, Target()),
            (InvalidRequest, "Name a slot, or", operations.pause, Target(slot="alone", provider="a")),
            (InvalidRequest, "A key is not meant", operations.resume, Target(provider="a", key="K1")),
            (NotFound, "no key of a 'K3'", operations.put_aside, Target(provider="a", key="K3")),
            (InvalidRequest, "the variable of one", operations.put_aside, Target(provider="a")),
            (InvalidRequest, "A slot has no breaker", operations.close_breaker, Target(slot="alone")),
            (NotFound, "no action 'x-1' since the start: see `skyproxy changes`", operations.undo, "x-1"),
            (Conflict, "nothing to undo", operations.undo, "last"),
            (Conflict, "nothing to keep", operations.keep, "last"),
            (NotFound, "no profile 'pp'. Did you mean 'p'?", operations.profile, "pp"),
        ):  # fmt: skip
            self.fails(kind, words, call, *arguments, "me")
        for target, values, words in (
            (Target(slot="alone"), {"provider": "c"}, "no provider 'c'"),
            (Target(slot="alone"), {"model": ""}, "model"),
            (Target(slot="alone"), {"model": None}, "must have a value"),
            (Target(slot="alone"), {"hedge_after": "soon"}, "hedge_after"),
            (Target(slot="alone"), {"params": {}}, "cannot be set"),
            (Target(slot="alone"), {}, "Nothing is to be set"),
            (Target(provider="a"), {"max_concurrent": 0}, "must be 1 or more"),
            (Target(provider="a"), {"max_concurrent": True}, "whole number"),
            (Target(provider="a"), {"base_url": "http://evil"}, "cannot be set"),
            (Target(provider="a", model="m"), {"max_concurrent": 1}, "not of a model"),
        ):  # fmt: skip
            self.fails(InvalidRequest, words, self.operations.set, target, values, "me")

    def test_of_two_values_the_last_counts_and_undo_brings_the_first_back(self) -> None:
        set_limit = lambda value: self.operations.set(Target(provider="a"), {"max_concurrent": value}, "me")  # noqa: E731
        limit = lambda: self.providers.runtime().providers["a"].limits().max_concurrent  # noqa: E731
        first, second = set_limit(3), set_limit(2)
        self.assertEqual(limit(), 2)
        self.fails(Conflict, f"{second['id']} came after it", self.operations.undo, first["id"], "me")
        undone = self.operations.undo(second["id"], "me")
        self.assertEqual(limit(), 3)
        self.operations.undo(undone["id"], "me")
        self.assertEqual(limit(), 2)
        back = set_limit(5)
        self.assertEqual((limit(), back["changes"]), (5, []), "what is configured is no change")
        self.assertIsNone(set_limit(5)["id"])
        self.operations.undo(back["id"], "me")
        self.assertEqual(limit(), 2)
        self.assertEqual(self.made, ["a", "b"])

    def test_profiles_take_the_place_of_each_other_and_of_what_was_set(self) -> None:
        self.operations.set(Target(slot="alone"), {"provider": "b", "model": "x"}, "me")
        chosen = self.operations.profile("p", "me")
        self.assertEqual((self.served("default"), self.served("alone")), (["b:n"], ["b:n"]))
        self.operations.profile("q", "me")
        self.assertEqual((self.served("default"), self.served("alone")), (["b:o", "b:n"], ["a:m"]))
        self.operations.undo("last", "me")
        self.assertEqual(self.served("alone"), ["b:n"])
        self.operations.undo(chosen["id"], "me")
        self.assertEqual((self.served("default"), self.served("alone")), (["a:m", "b:n"], ["b:x"]))
        self.operations.profile("p", "me")
        self.operations.profile("off", "me")
        self.assertEqual(self.served("alone"), ["a:m"])
        self.assertIsNone(self.operations.profile("off", "me")["id"])

    def test_the_newest_that_is_not_undone_is_undone(self) -> None:
        alone = lambda: self.providers.runtime().config.model_slots["alone"]  # noqa: E731
        self.operations.pause(Target(provider="a"), "me")
        self.operations.set(Target(slot="alone"), {"model": "x"}, "me")
        self.operations.set(Target(slot="alone"), {"model": "y"}, "me")
        resumed = self.operations.resume(Target(provider="a"), "me")
        self.assertTrue(resumed["can_be_undone"])
        undone = self.operations.undo("last", "me")
        self.assertEqual(undone["text"], "Undone: a is resumed.")
        for model in ("x", "m"):
            self.operations.undo("last", "me")
            self.assertEqual(alone().model, model)
        self.operations.undo(undone["id"], "me")
        self.assertEqual(self.served("alone"), ["a:m"], "resumed again")
        self.operations.undo("last", "me")
        self.assertEqual([each["kind"] for each in self.operations.changes()["changes"]], ["pause"])
        self.operations.undo("last", "me")
        self.fails(Conflict, "nothing to undo", self.operations.undo, "last", "me")

    def test_what_an_older_profile_has_not_ended_comes_back(self) -> None:
        self.operations.profile("q", "me")
        self.operations.set(Target(slot="alone"), {"provider": "b"}, "me")
        self.operations.set(Target(slot="alone"), {"provider": "b", "model": "x"}, "me")
        self.operations.undo("last", "me")
        self.assertEqual((self.served("default")[0], self.served("alone")), ("b:o", ["b:m"]))

    def test_what_holds_already_is_no_action(self) -> None:
        self.operations.set(Target(slot="alone"), {"model": "w"}, "me")
        for call, *arguments in (
            (self.operations.set, Target(provider="a"), {"max_concurrent": 3}),
            (self.operations.set, Target(slot="alone"), {"provider": "b", "model": "x"}),
            (self.operations.set, Target(slot="alone"), {"model": "y"}),
            (self.operations.profile, "p"),
        ):
            done = call(*arguments, "me")
            again = call(*arguments, "another")
            self.assertEqual((again["id"], again["text"], again["changes"]), (None, done["text"], done["changes"]))
        before = self.operations.set(Target(slot="alone"), {"provider": "b", "model": "x"}, "me")
        self.operations.set(Target(slot="alone"), {"model": "y"}, "me")
        self.assertIsNotNone(self.operations.set(Target(slot="alone"), {"provider": "b", "model": "x"}, "me")["id"])
        self.operations.undo("last", "me")
        self.operations.undo("last", "me")
        self.assertEqual(self.operations.changes()["changes"], before["changes"])

    def test_nothing_to_do_is_told_as_what_would_be(self) -> None:
        for dry_run in (True, False):
            for told in (
                self.operations.resume(Target(provider="a"), "me", dry_run=dry_run),
                self.operations.profile("off", "me", dry_run=dry_run),
                self.operations.set(Target(provider="a"), {"max_concurrent": 5}, "me", dry_run=dry_run),
            ):
                self.assertEqual((told["dry_run"], told["id"]), (dry_run, None))

    def test_kept_answers_are_forgotten_and_that_is_not_undone(self) -> None:
        self.assertTrue(self.operations.purge("me", dry_run=True)["dry_run"])
        self.assertEqual(self.purges, 0)
        told = self.operations.purge("me")
        self.assertEqual((self.purges, told["can_be_undone"], told["by"]), (1, False, "me"))

    def test_the_last_key_stays(self) -> None:
        self.operations.put_aside(Target(provider="a", key="K1"), "me")
        self.assertIsNone(self.operations.put_aside(Target(provider="a", key="K1"), "me")["id"])
        self.fails(Conflict, "the last key of a", self.operations.put_aside, Target(provider="a", key="K2"), "me")
        told = self.operations.put_back(Target(provider="a", key="K1"), "me")
        self.assertEqual(told["changes"], [])
        self.operations.put_aside(Target(provider="a", key="K2"), "me")
        self.fails(Conflict, "the last key of a", self.operations.undo, told["id"], "me")

    def test_undoing_brings_nothing_back_that_is_gone(self) -> None:
        self.operations.pause(Target(slot="alone"), "me")
        self.operations.set(Target(slot="alone"), {"model": "x"}, "me")
        self.operations.put_aside(Target(provider="a", key="K2"), "me")
        ended = [
            self.operations.resume(Target(slot="alone"), "me"),
            self.operations.put_back(Target(provider="a", key="K2"), "me"),
            self.operations.profile("q", "me"),
            self.operations.profile("off", "me"),
        ]
        text = TEXT.replace("  alone: {provider: a, model: m}\n", "").replace(', alone: "b:n"', "")
        self.path.write_text(text.replace('  q: {default: "b:o"}\n', "").replace("[K1, K2]", "[K1]"))
        self.operations.take(self.load())
        for each in (ended[0], ended[1], ended[3]):
            self.fails(Conflict, "what it was about is gone", self.operations.undo, each["id"], "me")

    def test_what_a_reload_has_made_another_is_undone_and_kept(self) -> None:
        chosen = self.operations.profile("q", "me")
        self.path.write_text(TEXT.replace("b:o", "b:oo"))
        self.operations.take(self.load())
        (told,) = self.operations.changes()["actions"]
        self.assertEqual((told["id"], told["can_be_undone"], told["can_be_kept"]), (chosen["id"], True, True))
        self.operations.profile("p", "me")
        self.path.write_text(TEXT.replace("b:o", "b:ooo"))
        self.operations.take(self.load())
        self.operations.undo("last", "me")
        self.assertEqual(self.served("default")[0], "b:ooo")
        self.operations.undo(chosen["id"], "me")
        self.assertEqual(self.served("default")[0], "a:m")
        self.operations.profile("q", "me")
        self.path.write_text(TEXT.replace("b:o", "b:oo"))
        self.operations.take(self.load())
        diff = self.operations.keep("last", "me")["diff"]
        self.assertIn('+  default: {provider: b, model: oo, fallbacks: ["b:n"]}', diff)

    def test_a_reload_keeps_what_still_fits(self) -> None:
        self.operations.set(Target(slot="alone"), {"provider": "b", "model": "x"}, "me")
        self.operations.set(Target(provider="a"), {"max_concurrent": 3}, "me")
        self.operations.pause(Target(slot="alone"), "me")
        self.operations.profile("q", "me")
        self.path.write_text(TEXT.replace("b:o", "b:oo").replace("max_concurrent: 5", "max_concurrent: 3"))
        self.operations.take(self.load())
        kinds = [each["kind"] for each in self.operations.changes()["changes"]]
        self.assertEqual(kinds, ["pause", "profile"], "the limit is what the file says")
        self.assertEqual(self.served("default")[0], "b:oo", "the profile is what the file says")
        self.path.write_text(
            "providers: {c: {base_url: 'http://127.0.0.1:1/v1'}}\nmodel_slots: {s: {provider: c, model: m}}\n"
        )
        self.operations.take(self.load())
        self.assertEqual(self.operations.changes()["changes"], [])

    def test_a_configuration_that_cannot_be_built_changes_nothing(self) -> None:
        self.operations.pause(Target(slot="alone"), "me")
        before = self.providers.runtime()

        def fail(*_: Any) -> Provider:
            raise ValueError("no")

        self.providers._make = fail
        self.path.write_text(TEXT.replace(":8/v1", ":7/v1"))
        with self.assertRaises(ValueError):
            self.operations.take(self.load())
        self.assertIs(self.providers.runtime(), before)
        self.assertEqual(len(self.action_log.changes), 1)

    def test_ids_are_bounded(self) -> None:
        for _ in range(MOST_ACTIONS + 5):
            self.action_log.note(Action(self.action_log.next_id(), 1.0, "me", "x"))
        self.assertEqual(len(self.action_log.actions), MOST_ACTIONS)
        self.fails(NotFound, "no action", self.operations.undo, "t-1", "me")
        self.fails(Conflict, "nothing that lasts", self.operations.undo, self.action_log.actions[0].id, "me")


class KeepingTests(Case):
    def keep(self, **values: Any) -> dict[str, Any]:
        self.operations.set(Target(slot="alone"), values or {"model": "new"}, "me")
        return self.operations.keep("last", "me")

    def not_kept(self, words: str) -> NotKept:
        before = self.path.read_bytes()
        names = sorted(os.listdir(self.folder))
        error = self.fails(NotKept, words, self.operations.keep, "last", "me")
        assert isinstance(error, NotKept)
        self.assertEqual((self.path.read_bytes(), sorted(os.listdir(self.folder))), (before, names))
        return error

    def set(self, **values: Any) -> None:
        self.operations.set(Target(slot="alone"), values or {"model": "new"}, "me")

    def test_the_value_alone_is_another(self) -> None:
        os.chmod(self.path, 0o604)
        told = self.keep(model="new", hedge_after="2s")
        expected = TEXT.replace("alone: {provider: a, model: m}", "alone: {hedge_after: 2s, provider: a, model: new}")
        self.assertEqual(self.path.read_text(), expected)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o604)
        self.assertEqual(os.listdir(self.folder), ["skyproxy.yaml"])
        self.assertEqual(told["changes"], [])
        self.assertEqual(len(self.adopted), 1)
        self.assertEqual(
            [line for line in told["diff"] if line.startswith("-  ")], ["-  alone: {provider: a, model: m}"]
        )

    def test_a_link_stays_one(self) -> None:
        real = self.folder / "real.yaml"
        self.path.rename(real)
        self.path.symlink_to(real)
        self.operations.take(self.load())
        self.keep()
        self.assertTrue(self.path.is_symlink())
        self.assertIn("model: new", real.read_text())

    def test_what_is_not_written(self) -> None:
        self.set()
        os.link(self.path, self.folder / "other.yaml")
        self.assertEqual(self.not_kept("hard links").lines, ["model_slots:", "  alone:", "    model: new"])
        os.unlink(self.folder / "other.yaml")
        os.chmod(self.path, 0o444)
        self.not_kept("is not writable")
        os.chmod(self.path, 0o644)
        (self.folder / ".env").write_text("X=1\n")
        self.not_kept(".env has changed since it was read")
        os.unlink(self.folder / ".env")
        self.path.write_text(TEXT + "# more\n")
        self.not_kept("has changed since it was read: `skyproxy reload` first")
        self.path.write_text(TEXT)
        self.operations.keep("last", "me")

    def test_what_others_share_is_not_written(self) -> None:
        shared = TEXT.replace("default: {provider: a, model: m,", "default: {provider: a, model: &m m,")
        own = "alone: {provider: a, model: m}"
        for text, kept in (
            (shared.replace(own, "alone: {provider: a, model: *m}"), True),
            (TEXT.replace(own, "alone: &x {provider: a, model: m}\n  more: *x"), False),
            (TEXT.replace(own, "more: &x {provider: a, model: m}\n  alone: *x"), False),
            (TEXT.replace(own, "more: &x {provider: a, model: m}\n  alone: {<<: *x}"), True),
        ):  # fmt: skip
            self.path.write_text(text)
            self.operations.take(self.load())
            self.set(model="new")
            if kept:
                self.operations.keep("last", "me")
                self.assertEqual(self.load().model_slots["alone"].model, "new")
                self.assertEqual(self.load().model_slots["default"].model, "m")
            else:
                self.assertTrue(self.not_kept("").lines)
                self.operations.undo("last", "me")

    def test_not_in_the_demo(self) -> None:
        keeping, config = Keeping(self.load), self.load().model_copy(update={"found": None})
        with self.assertRaises(NotKept) as caught:
            keeping.plan(config, [Setting("model_slots", "alone", "model", "x")])
        self.assertIn("the built-in demo", caught.exception.message)

    def test_a_pause_has_no_line(self) -> None:
        told = self.operations.pause(Target(slot="alone"), "me")
        self.fails(Conflict, "no line of the file", self.operations.keep, told["id"], "me")

    def test_a_file_that_cannot_be_replaced_is_as_it_was(self) -> None:
        self.patch(os, "replace", self._full)
        self.set()
        self.not_kept("cannot be written: No space left on device")
        with self.assertRaises(OSError):
            replace(self.path, b"x", TEXT.encode())
        self.assertEqual(self.path.read_text(), TEXT)

    def test_what_its_owner_saves_meanwhile_is_not_written_over(self) -> None:
        self.set()
        self.patch(os, "fsync", lambda _: self.path.write_text(TEXT + "# mine\n"))
        self.fails(NotKept, "has changed since it was read", self.operations.keep, "last", "me")
        self.assertEqual(self.path.read_text(), TEXT + "# mine\n")
        self.assertEqual(os.listdir(self.folder), ["skyproxy.yaml"])
        self.assertEqual(self.adopted, [])

    def _full(self, *_: object) -> None:
        raise OSError(28, "No space left on device")

    def test_two_files(self) -> None:
        providers, slots = TEXT.partition("model_slots:")[0], "model_slots:" + TEXT.partition("model_slots:")[2]
        self.path.unlink()
        (self.folder / "providers.yaml").write_text(providers)
        (self.folder / "routes.yaml").write_text(slots)
        self.path = self.folder
        self.operations.take(self.load())
        told = self.keep()
        self.assertEqual(told["file"], str(self.folder / "routes.yaml"))
        self.assertEqual((self.folder / "providers.yaml").read_text(), providers)
        self.operations.set(Target(provider="b"), {"max_concurrent": 7}, "me")
        self.operations.keep("last", "me")
        self.assertIn("   # b\n    max_concurrent: 7\n", (self.folder / "providers.yaml").read_text())


class ProfilesTests(Case):
    def problems(self, text: str, **environ: str) -> str:
        self.path.write_text(text)
        with self.assertRaises(ConfigError) as caught:
            load(self.path, environ=environ, cwd=self.folder, home=None)
        return str(caught.exception)

    def test_mistakes_are_told_with_their_lines(self) -> None:
        for profile, words in (
            ("{defult: 'b:n'}", "did you mean 'default'"),
            ("{default: 'c:n'}", "names no provider"),
            ("{default: b}", "must be provider:model"),
            ("{default: {provider: b}}", "must be provider:model"),
            ("[default]", "must be a mapping"),
        ):
            told = self.problems(TEXT.replace('{default: "b:o"}', profile))
            self.assertIn("skyproxy.yaml:11: profiles.q", told)
            self.assertIn(words, told)
        self.assertIn("cannot be a profile's name", self.problems(TEXT.replace("  q:", "  'a/b':")))
        self.assertIn("cannot be a profile's name", self.problems(TEXT.replace("  q:", "  'off':")))

    def test_the_token(self) -> None:
        for wrong in ("short", "x" * 15, "x" * 16 + "/", "x" * 201):
            told = self.problems(TEXT, SKYPROXY_PROFILE_TOKEN=wrong)
            self.assertIn("SKYPROXY_PROFILE_TOKEN: must have 16 or more letters", told)
            self.assertNotIn(wrong, told)
        good = load(self.path, environ={"SKYPROXY_PROFILE_TOKEN": "x" * 16}, cwd=self.folder, home=None)
        self.assertIn("x" * 16, good.secrets)
        self.assertNotIn("x" * 16, repr(good))
