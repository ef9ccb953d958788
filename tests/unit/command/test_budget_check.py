from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.budget_check import costly_step_downs, unpriced
from tests.unit.configs import config_of

TEXT = """
proxy: {purse: {amount: 1, on_budget: {slot: %s}}}
providers:
  guard: {base_url: "http://127.0.0.1:9/v1", dialect: openai}
  local: {base_url: "http://127.0.0.1:7/v1", dialect: local}
model_slots:
  combat: {provider: guard, model: large}
  euros: {provider: guard, model: euros}
  nobody: {provider: guard, model: nobody}
  helped: {provider: guard, model: nobody, fallbacks: ["local:llama"]}
  free: {provider: local, model: llama}
prices:
  "guard:large": {prompt: 4, completion: 8}
  "guard:euros": {prompt: 1, completion: 2, currency: EUR}
"""


class BudgetCheckTests(SynchronousTestCase):
    def test_models_without_a_price(self) -> None:
        found = {each.slot: each for each in unpriced(config_of(TEXT % "free"))}
        self.assertEqual(sorted(found), ["euros", "helped", "nobody"])
        self.assertTrue(found["nobody"].none and found["euros"].none)
        self.assertFalse(found["helped"].none)
        self.assertIn("rates: {EUR/USD: …}", found["euros"].text)
        self.assertIn("guard:nobody has no price", found["nobody"].text)
        self.assertIn("the purse", found["nobody"].text)

    def test_rates(self) -> None:
        found = [each.slot for each in unpriced(config_of(TEXT % "free" + "rates: {EUR/USD: 1.1}\n"))]
        self.assertEqual(sorted(found), ["helped", "nobody"])

    def test_only_a_client_has_a_budget(self) -> None:
        client = 'clients: {lydia: {key_hash: "sha256:%s", budget: 1/day}}\n' % ("a" * 64)
        text = (TEXT % "free").replace("proxy: {purse: {amount: 1, on_budget: {slot: free}}}", "") + client
        found = list(unpriced(config_of(text)))
        self.assertEqual({each.none for each in found}, {False})
        self.assertIn("the budget of client lydia", found[0].text)

    def test_no_budget(self) -> None:
        text = (TEXT % "free").replace("proxy: {purse: {amount: 1, on_budget: {slot: free}}}", "")
        self.assertEqual(list(unpriced(config_of(text))), [])

    def test_a_slot_that_is_not_free(self) -> None:
        self.assertEqual(list(costly_step_downs(config_of(TEXT % "free"))), [])
        (found,) = costly_step_downs(config_of(TEXT % "combat"))
        self.assertIn("proxy.purse: on_budget leads to slot combat, whose guard:large is not free", found)
