from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import Config, load
from skyproxy.process.places import body_places, client_store, ledger_places

TEXT = 'providers: {p: {base_url: "http://127.0.0.1:1/v1"}}\n'


class PlaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def config(self, text: str = "", name: str = "skyproxy.yaml") -> Config:
        path = self.folder / name
        path.write_text(TEXT + text)
        return load(path, environ={}, cwd=self.folder, home=self.folder)

    def places(self, config: Config, system: str = "posix", **environ: str) -> tuple[Path, ...]:
        return ledger_places(config, environ, Path("/home/me"), system)

    def test_the_users_folder(self) -> None:
        first, beside = self.places(self.config())
        self.assertEqual(first.parent, Path("/home/me/.local/state/skyproxy"))
        self.assertEqual(beside, self.folder / "skyproxy-costs.sqlite")
        self.assertEqual(self.places(self.config(), XDG_STATE_HOME="/state")[0].parent, Path("/state/skyproxy"))
        self.assertEqual(self.places(self.config(), STATE_DIRECTORY="/var/lib/a:/b")[0].parent, Path("/var/lib/a"))

    def test_each_configuration_has_its_own(self) -> None:
        self.assertNotEqual(self.places(self.config())[0], self.places(self.config(name="other.yaml"))[0])
        self.assertEqual(self.places(self.config())[0], self.places(self.config())[0])

    def test_nobody_knows_the_users_folder(self) -> None:
        self.assertEqual(ledger_places(self.config(), {}, None, "posix"), (self.folder / "skyproxy-costs.sqlite",))

    def test_named(self) -> None:
        self.assertEqual(self.places(self.config("proxy: {costs_file: a/b.sqlite}")), (self.folder / "a" / "b.sqlite",))

    def test_off_and_the_demo(self) -> None:
        for answer in ("off", "'off'", "false"):
            self.assertEqual(self.places(self.config(f"proxy: {{costs: {answer}}}")), ())
        demo = load(None, environ={}, cwd=self.folder / "none", home=self.folder / "none")
        self.assertEqual(self.places(demo), ())

    def test_bodies_have_a_file_of_their_own(self) -> None:
        first, beside = body_places(self.config(), {}, Path("/home/me"), "posix")
        self.assertTrue(first.name.startswith("bodies-"))
        self.assertEqual(
            (first.parent, beside.name), (Path("/home/me/.local/state/skyproxy"), "skyproxy-bodies.sqlite")
        )
        named = self.config("proxy: {bodies: {file: b.sqlite}}")
        self.assertEqual(body_places(named, {}, None, "posix"), (self.folder / "b.sqlite",))

    def test_clients_have_one_place(self) -> None:
        def store(config: Config, home: Path | None = Path("/home/me"), **environ: str) -> Path | None:
            return client_store(config, environ, home, "posix")

        kept = store(self.config())
        assert kept is not None
        self.assertTrue(kept.name.startswith("access-"))
        self.assertEqual(kept.parent, Path("/home/me/.local/state/skyproxy"))
        self.assertEqual(store(self.config(), None), self.folder / "skyproxy-access.sqlite")
        self.assertEqual(store(self.config("access: {store: k.sqlite}")), self.folder / "k.sqlite")
        demo = load(None, environ={}, cwd=self.folder / "none", home=self.folder / "none")
        self.assertEqual(store(demo, STATE_DIRECTORY="/var/lib/a:/b"), Path("/var/lib/a/access-demo.sqlite"))
        self.assertIsNone(store(demo, None))
