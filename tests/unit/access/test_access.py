"""Whether requests need a key, and whom each key is of."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.access import Access, presented, revoked
from skyproxy.access.administration import Administration
from skyproxy.access.keys import hash_of, new_key
from skyproxy.access.store import ClientStore
from skyproxy.config import Config, ConfigError
from skyproxy.config.access import ClientSettings
from skyproxy.errors import InvalidRequest, NotFound, SkyproxyError
from tests.unit.configs import config_of

BASE = """
providers: {p: {base_url: "http://127.0.0.1:9/v1"}}
model_slots:
  default: {provider: p, model: m}
  local: {provider: p, model: n}
"""
KEY, OTHER, ADMIN, METRICS = (new_key() for _ in range(4))


class AccessTests(SynchronousTestCase):
    """Access, Directory, Administration"""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.path = self.folder / "access.sqlite"
        self.now = 1_800_000_000.0
        self.access = Access(lambda _: self.path, lambda: self.now)

    def use(self, text: str = "") -> Config:
        config = config_of(BASE + text)
        self.access.use(config, self.access.prepare(config))
        return config

    def name(self, key: str) -> str | None:
        holder = self.access.holder(key.encode())
        return None if holder is None else holder.identity.name

    def keys(self, text: str = "") -> Administration:
        return Administration(config_of(BASE + text), self.path, lambda: self.now)

    def test_without_clients_nothing_is_asked(self) -> None:
        self.use()
        self.access.listens(False)
        self.assertFalse(self.access.on or self.access.required or self.access.lets_nobody_in)

    def test_when_a_key_is_needed(self) -> None:
        client = f"clients: {{lydia: {{key_hash: '{hash_of(KEY)}'}}}}\n"
        for text, public, required, on, nobody in (
            ("", True, True, True, True),
            (client, True, True, True, False),
            (client, False, True, True, False),
            ("access: {trust_forwarded_from: 127.0.0.1}", False, True, True, True),
            ("access: {required: false}", True, False, False, False),
            (client + "access: {required: false}", True, False, True, False),
            ("access: {required: true}", False, True, True, False),
            ("access: {required: true}", True, True, True, True),
            (f"access: {{admin: {{key_hash: '{hash_of(ADMIN)}'}}}}", False, False, False, False),
        ):
            self.use(text)
            self.access.listens(public)
            access = self.access
            found = access.required, access.on, access.lets_nobody_in
            self.assertEqual(found, (required, on, nobody), (text, public))

    def test_keys_of_the_file_and_of_the_store(self) -> None:
        store = ClientStore(self.path, lambda: self.now)
        store.create("faendal", "client", ClientSettings(slots=["local"]), bytes.fromhex(hash_of(OTHER)[7:]))
        self.use(
            f"clients: {{lydia: {{key_hash: '{hash_of(KEY)}'}}}}\n"
            f"access: {{admin: {{key_hash: '{hash_of(ADMIN)}'}}, metrics: {{key_hash: '{hash_of(METRICS)}'}}}}"
        )
        self.assertEqual(
            [self.name(each) for each in (KEY, OTHER, ADMIN, METRICS)], ["lydia", "faendal", "admin", "metrics"]
        )
        self.assertIsNone(self.name(new_key()))
        self.assertEqual(set(self.access.directory.clients), {"lydia", "faendal"})
        holder = self.access.holder(OTHER.encode())
        assert holder is not None
        self.assertEqual((holder.identity.slots, holder.identity.key_id), (("local",), hash_of(OTHER)[7:15]))
        with self.assertRaises(ConfigError) as raised:
            self.use(f"clients: {{faendal: {{key_hash: '{hash_of(KEY)}'}}}}")
        self.assertIn("skyproxy keys revoke --forget faendal", str(raised.exception))
        self.assertEqual(self.name(OTHER), "faendal", "what held holds on")

    def test_one_key_for_people_and_for_metrics_opens_what_either_opens(self) -> None:
        one = f"{{key_hash: '{hash_of(ADMIN)}'}}"
        self.use(f"access: {{admin: {one}, metrics: {one}}}")
        holder = self.access.holder(ADMIN.encode())
        assert holder is not None
        self.assertEqual(holder.role, "admin")

    def test_what_has_expired(self) -> None:
        self.use(f"clients: {{lydia: {{key_hash: '{hash_of(KEY)}', expires: 2027-01-15T09:00:00Z}}}}")
        self.assertEqual(self.name(KEY), "lydia")
        self.now += 86_400
        self.assertIsNone(self.name(KEY))
        self.assertEqual(self.access.refusal(KEY.encode()).reason, "expired key")
        self.assertTrue(self.access.required, "nothing opens when the last key expires")

    def test_rotated_keys_are_taken_for_a_while(self) -> None:
        keys = self.keys()
        old = keys.create("lydia", {})["key"]
        new = keys.rotate("lydia", 60)["key"]
        self.use()
        self.assertEqual([self.name(each) for each in (old, new)], ["lydia", "lydia"])
        self.now += 61
        self.assertEqual([self.name(each) for each in (old, new)], [None, "lydia"])

    def test_the_last_key_that_is_revoked_opens_nothing(self) -> None:
        keys = self.keys()
        key = keys.create("lydia", {})["key"]
        self.use()
        holder = self.access.holder(key.encode())
        assert holder is not None
        self.assertEqual(revoked(self.access, [holder.identity]), set())
        self.assertEqual(keys.revoke("lydia"), {"v": 1, "name": "lydia", "forgotten": False, "left": 0})
        self.use()
        self.assertTrue(self.access.required)
        self.assertIsNone(self.name(key))
        self.assertEqual(revoked(self.access, [holder.identity]), {("lydia", holder.identity.key_id)})
        keys.revoke("lydia", forget=True)
        self.use()
        self.assertFalse(self.access.required, "nobody is known any more, as in the beginning")

    def test_a_store_that_cannot_be_read_changes_nothing(self) -> None:
        key = self.keys().create("lydia", {})["key"]
        self.use()
        content = self.path.read_bytes()
        for damage in (b"not mine", content[:3000]):
            self.path.write_bytes(damage)
            self.assertRaises(ConfigError, self.use)
            self.assertEqual(self.name(key), "lydia")
        self.path.unlink()
        with self.assertRaises(ConfigError) as raised:
            self.use()
        self.assertIn("is gone", str(raised.exception))
        self.assertTrue(self.access.required)

    def test_refusals(self) -> None:
        self.use(f"clients: {{lydia: {{key_hash: '{hash_of(KEY)}'}}}}")
        for key, reason in (
            (None, "no key"), (b"", "no key"), (KEY[:-1].encode(), "mistyped key"),
            (b"sky-" + b"x" * 9000, "mistyped key"), (new_key().encode(), "unknown key"), (b"\xff\x00", "unknown key"),
        ):  # fmt: skip
            error = self.access.refusal(key)
            self.assertEqual((error.status, error.code, error.reason), (401, "invalid_api_key", reason), key)
            if key:
                self.assertNotIn(key.decode("latin-1"), error.message)

    def test_how_keys_come(self) -> None:
        for fields, found in (
            ({}, None),
            ({b"authorization": b"Bearer k"}, b"k"),
            ({b"authorization": b"bearer  k "}, b"k"),
            ({b"authorization": b"Basic eA=="}, None),
            ({b"authorization": b"Basic eA==", b"x-api-key": b"k"}, b"k"),
            ({b"x-api-key": b"k"}, b"k"),
            ({b"api-key": b"k"}, b"k"),
            ({b"authorization": b"Bearer k", b"x-api-key": b"other"}, b"k"),
            ({b"authorization": b"Bearer ", b"x-api-key": b"k"}, b"k"),
            ({b"authorization": b"Bearer  "}, None),
        ):
            self.assertEqual(presented(fields), found)

    def test_what_people_have_done(self) -> None:
        keys = self.keys(f"clients: {{of-the-file: {{key_hash: '{hash_of(KEY)}'}}}}")
        told = keys.create("lydia", {"slots": ["default"], "budget": "5/day", "on_budget": {"slot": "local"}})
        self.assertEqual(told["key_hash"], hash_of(told["key"]))
        keys.create("admin", {}, "admin")
        rows = {row["name"]: row for row in keys.listed()["clients"]}
        self.assertEqual(list(rows), ["admin", "lydia", "of-the-file"])
        self.assertEqual((rows["lydia"]["budget"]["amount"], rows["lydia"]["slots"]), (5.0, ["default"]))
        self.assertEqual((rows["of-the-file"]["place"], rows["admin"]["role"]), ("file", "admin"))
        self.assertNotIn(told["key"], str(keys.listed()))
        for name, values, meant in (
            ("lydia", {}, "rotate lydia"),
            ("of-the-file", {}, "stands under clients:"),
            ("a b", {}, "must be a client's name"),
            ("admin", {}, "must be another name"),
            ("x", {"slots": ["defualt"]}, "did you mean 'default'?"),
            ("x", {"slot": ["default"]}, "did you mean 'slots'?"),
            ("x", {"budget": "5/dya"}, "day?"),
            ("x", {"on_budget": {"slot": "nowhere"}}, "names no slot"),
            ("x", {"concurrent": 0}, "must be 1 or more"),
        ):
            error = self.assertRaises(SkyproxyError, keys.create, name, values)
            self.assertIn(meant, error.message)
        self.assertIn("Did you mean 'lydia'?", self.assertRaises(NotFound, keys.revoke, "lydai").message)
        self.assertIn("skyproxy reload", self.assertRaises(SkyproxyError, keys.rotate, "of-the-file", 60).message)
        self.assertRaises(InvalidRequest, keys.rotate, "lydia", -1)
        nowhere = Administration(config_of(BASE), None)
        self.assertIn("access: {store: FILE}", self.assertRaises(SkyproxyError, nowhere.create, "a", {}).message)
