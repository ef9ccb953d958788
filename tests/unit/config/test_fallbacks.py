"""What a slot says about failures, and what it falls back to."""

from __future__ import annotations

from tests.unit.config.support import PROVIDERS, ConfigTestCase


class SlotTests(ConfigTestCase):
    def slots(self, text: str) -> str:
        return PROVIDERS + "model_slots:\n" + text

    def test_as_written(self) -> None:
        slot = self.load_text(
            self.slots(
                "  s: {provider: lm, model: m, fallbacks: [t, 'openai:gpt-5:x'], first_token_timeout: 5s, "
                "hedge_after: 2, priority: background, strip_reasoning: true, coalesce: on}\n"
                "  t: {provider: openai, model: m, fallbacks: 'lm:x'}\n"
            )
        ).model_slots["s"]
        self.assertEqual(slot.fallbacks, ("t", "openai:gpt-5:x"))
        self.assertEqual((slot.first_token_timeout, slot.hedge_after, slot.priority), (5.0, 2.0, "background"))
        self.assertEqual((slot.strip_reasoning, slot.coalesce), (True, True))

    def test_refused(self) -> None:
        self.assertEqual(
            self.problems_of(
                self.slots(
                    "  s: {provider: lm, model: m, first_token_timeout: 0, hedge_after: x, priority: backgroud, "
                    "strip_reasoning: 1, fallbacks: [1]}\n"
                    "  t: {provider: lm, model: m, fallbacks: {s: 1}}\n"
                    "  u: {provider: lm, model: m, fallbacks: ['lm:x', 'lm:x']}\n"
                )
            ),
            [
                "proxy.yaml:9: model_slots.s.fallbacks.0: must be a text (a number, or a word such as yes or no, "
                "takes quotes)",
                "proxy.yaml:9: model_slots.s.first_token_timeout: must be a duration above zero, and a finite one",
                "proxy.yaml:9: model_slots.s.hedge_after: must be a duration: seconds, or a text such as 500ms, 60s, "
                "5m, 1h",
                "proxy.yaml:9: model_slots.s.priority: must be one of 'interactive' or 'background' (did you mean "
                "'background'?)",
                "proxy.yaml:9: model_slots.s.strip_reasoning: must be true or false",
                "proxy.yaml:10: model_slots.t.fallbacks: must be a list, such as [one, two]",
                "proxy.yaml:11: model_slots.u.fallbacks: must not name anything twice",
            ],
        )

    def test_fallbacks_that_name_nothing(self) -> None:
        self.assertEqual(
            self.problems_of(
                self.slots(
                    "  default:\n    provider: lm\n    model: m\n    fallbacks:\n"
                    "      - lm\n      - combta\n      - opnai:gpt-4o\n      - xyzzy\n      - 'openai:'\n"
                    "  combat: {provider: lm, model: m}\n"
                )
            ),
            [
                "proxy.yaml:13: model_slots.default.fallbacks.0: names a provider but no model of it: write "
                "provider:model",
                "proxy.yaml:14: model_slots.default.fallbacks.1: names neither a slot nor provider:model (did you mean "
                "'combat'?)",
                "proxy.yaml:15: model_slots.default.fallbacks.2: names no provider that stands under providers: (did "
                "you mean 'openai'?)",
                "proxy.yaml:16: model_slots.default.fallbacks.3: names neither a slot nor provider:model",
                "proxy.yaml:17: model_slots.default.fallbacks.4: names a provider but no model of it: write "
                "provider:model",
            ],
        )

    def test_a_slot_with_problems_of_its_own_is_there_all_the_same(self) -> None:
        text = self.slots("  s: {provider: lm, model: m, fallbacks: [t]}\n  t: {provider: lm, fallbacks: [s]}\n")
        self.assertEqual(self.problems_of(text), ["proxy.yaml:10: model_slots.t.model: is required"])

    def test_fallbacks_that_lead_back(self) -> None:
        self.assertEqual(
            self.problems_of(
                self.slots(
                    "  a: {provider: lm, model: m, fallbacks: ['lm:x', b]}\n"
                    "  b: {provider: lm, model: m, fallbacks: [c]}\n"
                    "  c: {provider: lm, model: m, fallbacks: [a]}\n"
                    "  d: {provider: lm, model: m, fallbacks: [d]}\n"
                    "  e: {provider: lm, model: m, fallbacks: [a, f]}\n"
                    "  f: {provider: lm, model: m, fallbacks: [e]}\n"
                    "  g: {provider: lm, model: m, fallbacks: [e, d]}\n"
                )
            ),
            [
                "proxy.yaml:9: model_slots.a.fallbacks.1: leads back to its own slot: a -> b -> c -> a",
                "proxy.yaml:12: model_slots.d.fallbacks.0: leads back to its own slot: d -> d",
                "proxy.yaml:13: model_slots.e.fallbacks.1: leads back to its own slot: e -> f -> e",
            ],
        )

    def test_several_ways_to_one_slot_are_no_way_back(self) -> None:
        lines = [f"  s{n}: {{provider: lm, model: m, fallbacks: [{', '.join(f's{m}' for m in range(n))}]}}\n"
                 for n in range(1, 40)]  # fmt: skip
        config = self.load_text(self.slots("  s0: {provider: lm, model: m}\n" + "".join(lines)))
        self.assertEqual(len(config.model_slots["s39"].fallbacks), 39)
