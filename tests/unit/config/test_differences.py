"""What another configuration changes is told, and no key with it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import changes
from tests.unit.configs import config_of

TEXT = """
providers:
  a: {base_url: "http://127.0.0.1:1001/v1", api_key_env: [ONE, TWO], headers: {X-Title: secret-one}}
  b: {base_url: "http://127.0.0.1:1002/v1"}
model_slots:
  default: {provider: a, model: guard, params: {max_tokens: 100}}
"""
KEYS = {"ONE": "sk-first-000000000001", "TWO": "sk-second-00000000002"}


class ChangesTests(SynchronousTestCase):
    def told(self, *pairs: tuple[str, str], **keys: str) -> list[str]:
        new = TEXT
        for before, after in pairs:
            self.assertIn(before, new)
            new = new.replace(before, after)
        found = changes(config_of(TEXT, **KEYS), config_of(new, **(keys or KEYS)))
        self.assertLessEqual(set(found), {"changes"})
        return found.get("changes", [])

    def test_names_that_came_and_went(self) -> None:
        new = TEXT.replace("  b:", "  c:") + "  combat: {provider: a, model: fast}\n"
        old = config_of(TEXT)
        self.assertEqual(
            changes(old, config_of(new)),
            {"providers_added": ["c"], "providers_removed": ["b"], "slots_added": ["combat"]},
        )
        self.assertEqual(changes(config_of(new), old)["slots_removed"], ["combat"])
        self.assertEqual(changes(old, old), {})

    def test_values(self) -> None:
        for pairs, lines in (
            ([("model: guard", "model: knight")], ["slot default: model guard → knight"]),
            ([("max_tokens: 100", "max_tokens: 200")], ["slot default: params.max_tokens 100 → 200"]),
            ([("max_tokens: 100", "stop: [a, b]")],
             ["slot default: params.max_tokens 100 → none", "slot default: params.stop none → a, b"]),
            ([("model: guard", "model: guard, fallbacks: ['b:x'], hedge_after: 1500ms, strip_reasoning: true")],
             ["slot default: fallbacks none → b:x", "slot default: hedge_after none → 1.5",
              "slot default: strip_reasoning false → true"]),
            ([("1002/v1\"", "2002/v1\", breaker: {open_for: 5s}")],
             ["provider b: breaker.open_for 1 → 5",
              "provider b: base_url http://127.0.0.1:1002/v1 → http://127.0.0.1:2002/v1"]),
            ([("providers:", "proxy: {drain_timeout: 3s}\nproviders:")], ["proxy: drain_timeout 10 → 3"]),
        ):  # fmt: skip
            self.assertEqual(self.told(*pairs), lines)

    def test_keys_are_named_by_their_variables(self) -> None:
        other = {**KEYS, "ONE": "sk-third-000000000003"}
        self.assertEqual(self.told(**other), ["provider a: another key in ONE"])
        self.assertEqual(
            self.told(ONE=KEYS["ONE"]), ["provider a: TWO has no key any more, or is not asked for"]
        )  # fmt: skip
        self.assertEqual(
            self.told(("[ONE, TWO]", "[ONE, TWO, THREE]"), **KEYS, THREE="sk-4"),
            ["provider a: THREE has a key now", "provider a: api_key_env ONE, TWO → ONE, TWO, THREE"],
        )

    def test_what_may_be_a_secret_is_not_shown(self) -> None:
        self.assertEqual(self.told(("secret-one", "secret-two")), ["provider a: headers.X-Title changed"])
        self.assertEqual(
            self.told(("max_tokens: 100", "plugin: {pass: xyz}, plugins: [{x: xyz}], api_key: x")),
            [
                "slot default: params.max_tokens 100 → none",
                "slot default: params.plugin changed",
                "slot default: params.plugins changed",
                "slot default: params.api_key changed",
            ],
        )
        self.assertEqual(
            self.told(("max_tokens: 100", "id: sk-first-000000000001"))[-1], "slot default: params.id none → ***"
        )

    def test_there_is_an_end(self) -> None:
        (line,) = self.told(("model: guard", f"model: {'x' * 500}"))
        self.assertLess(len(line), 150)
        many = ", ".join(f"x{number}: {number}" for number in range(100))
        lines = self.told(("max_tokens: 100", many))
        self.assertEqual((len(lines), lines[-1]), (51, "and 51 more"))
