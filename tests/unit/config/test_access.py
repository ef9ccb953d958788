"""clients:, access:, purse:, rates: and budgets."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from skyproxy.config import access_reading, budgets
from skyproxy.config.access import AccessSettings, HeldKey, client_name, key_hash
from skyproxy.config.differences import changes
from skyproxy.config.overlay import same
from tests.unit.config.support import PROVIDERS, ConfigTestCase

HASH = f"sha256:{'ab' * 32}"
OTHER = f"sha256:{'cd' * 32}"
SLOTS = """
model_slots:
  default: {provider: openai, model: gpt-4.1}
  memory: {provider: openai, model: gpt-4.1-mini}
  local: {provider: lm, model: llama}
"""
BASE = PROVIDERS + SLOTS


class AccessTests(ConfigTestCase):
    """What is read, and what is refused."""

    def setUp(self) -> None:
        super().setUp()
        self.environ["OPENAI_API_KEY"] = "planted"

    def wrong(self, text: str) -> list[str]:
        """What is wrong with *text*, without the places."""
        self.write("proxy.yaml", BASE + text)
        return [line.partition(": ")[2] for line in self.problems("proxy.yaml")]

    def test_without(self) -> None:
        config = self.load_text(BASE)
        self.assertEqual(config.clients, {})
        self.assertEqual(config.access, AccessSettings())
        self.assertEqual((config.access.required, config.access.fail), ("auto", "closed"))
        self.assertIsNone(config.proxy.purse)

    def test_everything(self) -> None:
        config = self.load_text(
            BASE
            + f"""
proxy:
  purse: {{amount: 2, currency: USD, per: evening, on_budget: {{slot: local}}}}
rates: {{EUR/USD: 1.25}}
clients:
  lydia-pc:
    key_hash: "{HASH.upper().replace("SHA", "sha")}"
    slots: [default, "mem*", "openai:*"]
    priority: background
    requests_per_minute: 120
    tokens_per_minute: 300000
    concurrent: 10
    budget: {{amount: 5, currency: EUR, per: month, time_zone: Europe/Vienna}}
    expires: 2027-01-01T01:00:00+01:00
    on_budget: {{slot: local}}
  faendal: {{key_hash: ["{OTHER}", "sha256:{"ef" * 32}"], budget: 5/day, on_budget: refuse, expires: 2027-01-01}}
access:
  required: false
  store: keys/access.sqlite
  admin: {{key_hash: "sha256:{"01" * 32}"}}
  metrics: {{key_hash: "sha256:{"02" * 32}"}}
  trust_forwarded_from: [127.0.0.1, 10.0.0.0/8, unix]
"""
        )
        lydia, faendal = config.clients["lydia-pc"], config.clients["faendal"]
        self.assertEqual(lydia.key_hash, (HASH,))
        self.assertEqual(lydia.slots, ("default", "mem*", "openai:*"))
        self.assertEqual(lydia.expires, datetime(2027, 1, 1, tzinfo=timezone.utc))
        assert lydia.budget is not None and lydia.on_budget is not None and faendal.budget is not None
        self.assertEqual((lydia.budget.amount, lydia.budget.currency, lydia.budget.per), (5.0, "EUR", "month"))
        self.assertEqual(lydia.on_budget.slot, "local")
        self.assertEqual((faendal.budget.amount, faendal.budget.currency, faendal.budget.per), (5.0, "USD", "day"))
        self.assertEqual((faendal.slots, faendal.on_budget, len(faendal.key_hash)), (("*",), None, 2))
        self.assertEqual(faendal.expires, datetime(2027, 1, 1).astimezone(timezone.utc))
        access = config.access
        self.assertEqual((access.required, access.store), ("false", self.cwd / "keys/access.sqlite"))
        self.assertEqual(access.admin, HeldKey(key_hash=(f"sha256:{'01' * 32}",)))
        self.assertEqual(access.trust_forwarded_from, ("127.0.0.1/32", "10.0.0.0/8", "unix"))
        purse = config.proxy.purse
        assert purse is not None and purse.on_budget is not None
        self.assertEqual((purse.per, purse.on_budget.slot), ("evening", "local"))
        self.assertEqual(dict(config.rates), {("EUR", "USD"): 1.25, ("USD", "EUR"): 0.8})

    def test_required_in_all_words(self) -> None:
        for text, meant in (
            ("true", "true"), ("on", "true"), ("'on'", "true"), ("false", "false"), ("off", "false"), ("auto", "auto"),
        ):  # fmt: skip
            self.assertEqual(self.load_text(f"{BASE}\naccess: {{required: {text}}}").access.required, meant)

    def test_what_is_refused(self) -> None:
        for text, meant in (
            ("clients: {a: {}}", "clients.a.key_hash: is required"),
            ("clients: {a: {key_hash: sky-abcdefgh}}", "`skyproxy keys hash` prints the hash of a key"),
            ("clients: {a: {key_hash: sha256:12}}", "must be sha256: and 64 hexadecimal digits"),
            ("clients: {a: {key_hash: []}}", "must be a key's hash"),
            (f"clients: {{a: {{key: x, key_hash: '{HASH}'}}}}", "only the key's hash stands here"),
            (f"clients: {{'a b': {{key_hash: '{HASH}'}}}}", "must be a client's name"),
            (f"clients: {{a: {{key_hash: '{HASH}', slot: [x]}}}}", "unknown key (did you mean 'slots'?)"),
            (f"clients: {{a: {{key_hash: '{HASH}', slots: [defualt]}}}}", "(did you mean 'default'?)"),
            (f"clients: {{a: {{key_hash: '{HASH}', slots: ['x*']}}}}", "matches no slot"),
            (f"clients: {{a: {{key_hash: '{HASH}', slots: []}}}}", "must name a slot"),
            (f"clients: {{a: {{key_hash: '{HASH}', priority: talky}}}}", "or 'background'"),
            (f"clients: {{a: {{key_hash: '{HASH}', concurrent: 0}}}}", "must be 1 or more"),
            (f"clients: {{a: {{key_hash: '{HASH}', budget: 5}}}}", "or a text such as 5/day"),
            (f"clients: {{a: {{key_hash: '{HASH}', budget: 5/dya}}}}", "day?"),
            (f"clients: {{a: {{key_hash: '{HASH}', budget: {{amount: 0}}}}}}", "must be above 0"),
            (f"clients: {{a: {{key_hash: '{HASH}', budget: {{amount: 1, currency: Euro}}}}}}", "three capital letters"),
            (f"clients: {{a: {{key_hash: '{HASH}', budget: {{amount: 1, per: week}}}}}}", "must be one of 'hour'"),
            (f"clients: {{a: {{key_hash: '{HASH}', budget: {{amount: 1, time_zone: X/Y}}}}}}", "such as Europe/Vienna"),
            (f"clients: {{a: {{key_hash: '{HASH}', expires: soon}}}}", "must be a date such as 2027-01-01"),
            (f"clients: {{a: {{key_hash: '{HASH}', on_budget: {{slot: locla}}}}}}", "(did you mean 'local'?)"),
            (f"clients: {{a: {{key_hash: '{HASH}', on_budget: local}}}}", "must be refuse, or {slot: NAME}"),
            (f"clients: {{a: {{key_hash: '{HASH}'}}, b: {{key_hash: '{HASH}'}}}}", "is also that of a"),
            (f"clients: {{a: {{key_hash: '{HASH}'}}}}\naccess: {{admin: {{key_hash: '{HASH}'}}}}", "of access.admin"),
            ("access: {required: maybe}", "must be one of 'auto', 'true' or 'false'"),
            ("access: {stroe: x}", "(did you mean 'store'?)"),
            ("access: {trust_forwarded_from: nginx}", "must be an IP address or a network"),
            ("access: {fail: shut}", "must be one of 'closed' or 'open'"),
            ("proxy: {purse: {amount: 1, on_budget: {slot: lokal}}}", "proxy.purse.on_budget.slot: names no slot"),
            ("rates: {EUR: 1.1}", "such as EUR/USD: 1.08"),
            ("rates: {EUR/USD: '1'}", "must be a number above 0"),
        ):  # fmt: skip
            found = self.wrong(text)
            self.assertEqual(len(found), 1, (text, found))
            self.assertIn(meant, found[0])
            # What may be a key is never repeated.
            self.assertNotIn("abcdefgh", found[0])

    def test_a_machine_without_time_zones(self) -> None:
        # Windows has none, and Python brings none.
        self.patch(budgets, "available_timezones", set)
        (told,) = self.wrong("proxy: {purse: {amount: 1, time_zone: Atlantis/Capital}}")
        self.assertIn("purse.time_zone: needs a list of time zones", told)
        self.assertIn("pip install tzdata", told)

    def test_budgets_of_slots_and_providers(self) -> None:
        text = BASE.replace("model: llama}", "model: llama, budget: 1/hour}") + "proxy: {purse: 3 EUR/all}"
        config = self.load_text(text)
        budget, purse = config.model_slots["local"].budget, config.proxy.purse
        assert budget is not None and purse is not None
        self.assertEqual((budget.amount, budget.per), (1.0, "hour"))
        self.assertEqual((purse.amount, purse.currency, purse.per), (3.0, "EUR", "all"))

    def test_changes_are_told_without_hashes(self) -> None:
        before = self.load_text(f"{BASE}\nclients: {{a: {{key_hash: '{HASH}'}}}}")
        after = self.load_text(
            f"{BASE}\nclients: {{a: {{key_hash: '{OTHER}', concurrent: 2}}, b: {{key_hash: 'sha256:{'ef' * 32}'}}}}\n"
            f"access: {{admin: {{key_hash: '{HASH}'}}}}"
        )
        self.assertFalse(same(before, after))
        found = changes(before, after)
        self.assertEqual(found["clients_added"], ["b"])
        self.assertIn("client a: concurrent none → 2", found["changes"])
        self.assertIn("client a: key_hash changed", found["changes"])
        self.assertNotIn("cdcd", str(found))
        self.assertNotIn("abab", str(found))

    def test_names_and_hashes(self) -> None:
        self.assertEqual(client_name("lydia@whiterun.example-1"), "lydia@whiterun.example-1")
        for name in ("", "-a", "a/b", "a\n", "a" * 65, "ä"):
            self.assertRaises(ValueError, client_name, name)
        # A reload may end the requests of all whom an identity provider knew: nobody else is taken for one of them.
        for name in ("admin", "metrics", "jwt.lydia"):
            with self.assertRaisesRegex(ValueError, "must be another name"):
                client_name(name)
        self.assertEqual(client_name("jwt"), "jwt")
        self.assertEqual(key_hash(f" {HASH.replace('ab', 'AB')} "), HASH)

    def test_a_pattern_of_many_clients_is_looked_at_once(self) -> None:
        looked_at: list[str] = []
        own = access_reading.wrong_pattern

        def wrong_pattern(pattern: str, *given: Any) -> Any:
            looked_at.append(pattern)
            return own(pattern, *given)

        self.patch(access_reading, "wrong_pattern", wrong_pattern)
        clients = "".join(f"  c{n}: {{key_hash: '{HASH[:-2]}{n}', slots: [memory, memry]}}\n" for n in range(10, 30))
        self.assertEqual(len(self.wrong(f"clients:\n{clients}")), 20)
        self.assertEqual(looked_at, ["memory", "memry"])


class TokenTests(ConfigTestCase):
    """``access: {jwt: ...}``."""

    GOOD = "issuer: 'https://i', audience: sky"

    def setUp(self) -> None:
        super().setUp()
        self.environ["OPENAI_API_KEY"] = "planted"

    def wrong(self, jwt: str) -> str:
        self.write("proxy.yaml", BASE + f"access: {{jwt: {jwt}}}\n")
        return "\n".join(self.problems("proxy.yaml"))

    def test_it_is_read(self) -> None:
        jwt = f"{{{self.GOOD}, jwks: keys.json, groups: {{staff: {{concurrent: 3, slots: memory}}}}}}"
        settings = self.load_text(BASE + f"access: {{jwt: {jwt}}}\n").access.jwt
        assert settings is not None
        self.assertEqual((settings.audience, settings.groups["staff"].concurrent), (("sky",), 3))
        self.assertEqual(settings.jwks, str(self.cwd / "keys.json"))

    def test_mistakes(self) -> None:
        for jwt, why in (
            (f"{{{self.GOOD}}}", "jwks"),
            (f"{{{self.GOOD}, jwks: 'http://i/keys'}}", "must be an https address, or a file"),
            (f"{{{self.GOOD}, jwks: k.json, group: {{}}}}", "group"),
            (f"{{{self.GOOD}, jwks: k.json, groups: {{a: {{concurent: 3}}}}}}", "concurent"),
            ("{issuer: '', audience: [], jwks: k.json}", "issuer"),
        ):
            self.assertIn(why, self.wrong(jwt))

    def test_without_the_extra(self) -> None:
        self.patch(access_reading, "find_spec", lambda name: None)
        self.assertIn('pip install "skyproxy[jwt]"', self.wrong(f"{{{self.GOOD}, jwks: k.json}}"))
