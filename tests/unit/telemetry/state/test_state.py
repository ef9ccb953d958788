"""How all is: slots by their last requests, and the sentence on top."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.telemetry.requests.facts import AttemptFacts, Step
from skyproxy.telemetry.state.samples import Sample, Word, sample_of
from skyproxy.telemetry.state.sentence import Sentence
from skyproxy.telemetry.state.sentences import sentences_of
from skyproxy.telemetry.state.slots import SlotHealth, all_health, cost_hour, health_of, speed_of, speed_text
from skyproxy.telemetry.state.snapshot import (
    BreakerState,
    BudgetState,
    ByHand,
    DeploymentState,
    KeyState,
    ProviderState,
    SlotState,
    Snapshot,
)
from skyproxy.telemetry.usage import Tokens
from tests.unit.telemetry.requests.test_words import FACTS, OLLAMA, OPENROUTER

NOW = 10_000.0
SAMPLE = Sample(
    number=1, request_id="r-1", at=NOW - 1, slot="default", provider="openrouter", good=True, rescued=False, code="",
    text="", stream=True, seconds=3.0, first_token=0.6, first_sentence=1.2, costs=(), words=(),
)  # fmt: skip
PROVIDER = ProviderState(
    name="openrouter", local=False, key_missing=None, in_use=0, limit=25, waiting=0, max_pending=100,
    connections={}, breaker=None, keys=(KeyState("OPENROUTER_API_KEY", 0, 0.0, False, 1),),
    deployments=(DeploymentState("mistral-small", None, {}, None, None, None, 0, 0),),
)  # fmt: skip
LOCAL = PROVIDER._replace(name="ollama", local=True, keys=(), deployments=())


def slot_of(marks: str, age: float = 1.0, **fields: Any) -> SlotState:
    """A slot whose requests went as *marks* say: ``+`` well, ``-`` not, ``.`` does not count; a second apart."""
    kinds = {"+": True, "-": False, ".": None}
    samples = tuple(
        SAMPLE._replace(at=NOW - age - (len(marks) - index), good=kinds[mark], code="" if mark == "+" else "rate")
        for index, mark in enumerate(marks)
    )
    return SlotState(**{
        "name": "default", "candidates": (OPENROUTER, OLLAMA), "background": False, "samples": samples, **fields,
    })  # fmt: skip


def judged(slot: SlotState, words: Any = None) -> SlotHealth:
    return health_of(slot, words or {}, {"openrouter": PROVIDER, "ollama": LOCAL}, NOW)


def snapshot_of(*slots: SlotState, **fields: Any) -> Snapshot:
    usual: dict[str, Any] = {
        "at": NOW, "uptime": 100.0, "url": "http://127.0.0.1:35791/v1", "demo": False, "reloaded": True,
        "lag_p99": 0.001, "log_lost": 0, "requests": 10, "under_way": 0, "slots": slots or (slot_of("+" * 9),),
        "providers": (PROVIDER, LOCAL), "words": {}, "refused": 0, "cost_hour": {},
    }  # fmt: skip
    return Snapshot(**{**usual, **fields})


def told(snapshot: Snapshot) -> list[Sentence]:
    return sentences_of(snapshot, all_health(snapshot))


def word(
    code: str, text: str = "", deployment: tuple[str, str] = OPENROUTER, age: float = 1.0,
    endpoint: str = "/chat/completions", said: str = "",
) -> Any:  # fmt: skip
    return {deployment: Word(*deployment, code, text, NOW - age, endpoint, said)}


class InsteadTests(SynchronousTestCase):
    def use(self, *slots: SlotState, words: Any = None, code: str = "no_credit", **fields: Any) -> tuple[str, str]:
        heard = {**word(code), **(word("", deployment=OLLAMA) if words is None else words)}
        first = told(snapshot_of(*slots, words=heard, **fields))[0]
        self.assertEqual(first.about, "openrouter")
        return first.slot, first.use

    def test_another_that_answers_is_offered(self) -> None:
        slot = slot_of("---")
        use = ":".join(OLLAMA)
        for code in ("no_credit", "key_invalid", "upstream_unreachable"):
            self.assertEqual(self.use(slot, code=code), ("default", use))
        # Dialogue comes first, whatever its place; then what is used most.
        memory = slot_of("----", name="memory")
        self.assertEqual(self.use(memory, slot_of("-")), ("default", use))
        self.assertEqual(self.use(slot_of("-", name="combat"), memory), ("memory", use))
        # What another slot has will do where this one has no fallback.
        alone = slot_of("---", candidates=(OPENROUTER,))
        self.assertEqual(self.use(alone, slot_of("+", name="memory", candidates=(OLLAMA,))), ("default", use))

    def test_what_does_not_answer_is_not(self) -> None:
        slot, none = slot_of("---"), ("", "")
        self.assertEqual(self.use(slot, words={}), none)
        self.assertEqual(self.use(slot, words=word("overloaded", deployment=OLLAMA)), none)
        self.assertEqual(self.use(slot, words=word("", deployment=OLLAMA, age=8 * 24 * 3600.0)), none)
        self.assertEqual(self.use(slot_of("---", candidates=(OPENROUTER,))), none)
        self.assertEqual(self.use(slot_of("---", candidates=(OLLAMA, OPENROUTER))), none)
        paused = ByHand("a-1", "you", NOW)
        self.assertEqual(self.use(slot_of("---", paused=paused)), none)
        model = DeploymentState(OLLAMA[1], None, {}, None, None, None, 0, 0, paused)
        keyless = {"key_missing": "OLLAMA_KEY", "needed": False}
        cases: tuple[dict[str, Any], ...] = ({"paused": paused}, keyless, {"deployments": (model,)})
        for fields in cases:
            self.assertEqual(self.use(slot, providers=(PROVIDER, LOCAL._replace(**fields))), none, fields)


class SlotTests(SynchronousTestCase):
    def test_what_was_before_a_change_does_not_count(self) -> None:
        slot = slot_of("+----")
        self.assertEqual(judged(slot)[:2], ("unreliable", "4 of 5 failed, mostly openrouter was at its rate limit."))
        moved = judged(slot._replace(served_since=NOW))
        self.assertEqual(moved[:3], ("unused", "No request since other models serve it.", 0))
        self.assertIsNone(moved.speed.p50)
        # What failed was mended: what went well still counts.
        failed = SAMPLE._replace(good=False, code="key_invalid", words=tuple(word("key_invalid").values()))
        slot = slot._replace(samples=(SAMPLE, failed))
        for since, line in ((NOW - 2, "1 of 2 failed, mostly openrouter refused your key."), (NOW, "1 of 1 answered.")):
            providers = {"openrouter": PROVIDER._replace(since=since)}
            self.assertEqual(health_of(slot, {}, providers, NOW).line, line)

    def test_health(self) -> None:
        for marks, age, health, line in (
            ("", 1, "unused", "No request yet."),
            ("..", 1, "unused", "2 requests, none of which tells anything."),
            ("..", 100_000, "unused", "No request for 28 h."),
            ("++..", 1, "too_few", "2 of 2 answered."),
            ("+++", 1, "too_few", "3 of 3 answered."),
            ("+++++", 1, "reliable", "5 of 5 answered."),
            ("+++.+.+", 1, "reliable", "5 of 5 answered."),
            ("+" * 20 + "-" + "+" * 19, 1, "reliable", "1 error, 21 s ago: openrouter was at its rate limit."),
            ("-" + "+" * 11, 1000, "reliable", "1 error, 17 min ago: openrouter was at its rate limit."),
            (
                "+" + "-" * 20 + "+" * 11,
                1000,
                "reliable",
                "20 errors, the last one 17 min ago, mostly openrouter was at its rate limit.",
            ),
            ("-" * 20 + "+" * 11, 1, "unreliable", "20 of 31 failed, mostly openrouter was at its rate limit."),
            ("-" * 20 + "+" * 9, 1000, "unreliable", "20 of 29 failed, mostly openrouter was at its rate limit."),
            ("-" + "+" * 11, 1, "some_errors", "1 of 12 failed, mostly openrouter was at its rate limit."),
            ("-" + "+" * 5, 1000, "some_errors", "1 of 6 failed, mostly openrouter was at its rate limit."),
            ("--" + "+" * 8, 1, "some_errors", "2 of 10 failed, mostly openrouter was at its rate limit."),
            ("-+-+-+++++", 1, "unreliable", "3 of 10 failed, mostly openrouter was at its rate limit."),
            ("+" * 30 + "---", 1, "unreliable", "3 of 33 failed, mostly openrouter was at its rate limit."),
            ("-", 1, "some_errors", "1 of 1 failed, mostly openrouter was at its rate limit."),
        ):
            found = judged(slot_of(marks, age))
            self.assertEqual((found.health, found.line), (health, line), marks)

    def test_not_answering(self) -> None:
        words = {**word("no_credit"), **word("upstream_unreachable", deployment=OLLAMA)}
        found = judged(slot_of("++-"), words)
        self.assertEqual(found.health, "not_answering")
        self.assertEqual(found.line, "Nobody answers: openrouter had no credits left, ollama could not be reached.")
        self.assertEqual(judged(slot_of("++-"), word("no_credit")).health, "some_errors", "ollama may answer")
        self.assertEqual(judged(slot_of("-++++"), words).health, "some_errors", "somebody does")

    def test_requests_that_a_provider_finds_wrong(self) -> None:
        """They do not count, as slips of a client's. Where none has gone through, nobody may read that all is well."""

        def slot(marks: str, **fields: Any) -> SlotState:
            found = slot_of(marks)
            wrong = [
                each._replace(**{"code": "client", **fields}) if each.good is None else each for each in found.samples
            ]
            return found._replace(samples=tuple(wrong))

        for marks, health, line in (
            ("...", "some_errors", "The last 3 were refused, mostly openrouter did not take the request."),
            ("+++++....", "reliable", "5 of 5 answered."),
            ("+++++..", "reliable", "5 of 5 answered."),
            ("+++++....+", "reliable", "6 of 6 answered."),
            ("..", "unused", "2 requests, none of which tells anything."),
            ("---....", "unreliable", "3 of 3 failed, mostly openrouter was at its rate limit."),
        ):
            found = judged(slot(marks))
            self.assertEqual((found.health, found.line), (health, line), marks)
        # The last answer is no refusal.
        self.assertEqual(told(snapshot_of(slot("+..")))[0].advice, "Last answer 4 s ago.")
        # skyproxy refuses what nobody could understand.
        self.assertEqual(judged(slot("....", provider=None, code="invalid_request")).health, "unused")
        [sentence] = told(snapshot_of(slot("....", request_id="r-9"), words=word("client")))
        self.assertEqual((sentence.code, sentence.request_id), ("some_errors", "r-9"))
        self.assertNotIn("some_errors", [each.code for each in told(snapshot_of(slot("++....")))])

    def test_whoever_finds_a_request_wrong_answers(self) -> None:
        words = {**word("client"), **word("upstream_unreachable", deployment=OLLAMA)}
        self.assertEqual(judged(slot_of("++-"), words).health, "some_errors")
        self.assertEqual(Word(*OPENROUTER, "rate", "", NOW, "").fault, "rate")
        # It is not for that offered in place of another.
        heard = {**word("no_credit"), **word("client", deployment=OLLAMA)}
        self.assertEqual(told(snapshot_of(slot_of("---"), words=heard))[0].use, "")

    def test_old_ones_do_not_count(self) -> None:
        found = judged(slot_of("-----", age=90_000))
        self.assertEqual((found.health, found.line), ("unused", "No request for 25 h."))
        self.assertEqual(judged(slot_of("-" * 10 + "+" * 40)).health, "reliable", "the last 40 do")

    def speed(self, times: list[float], stream: bool = True, background: bool = False) -> Any:
        samples = tuple(SAMPLE._replace(first_token=each, seconds=each, stream=stream) for each in times)
        slot = slot_of("", samples=samples, background=background)
        return speed_of(slot, samples, NOW)

    def test_speed(self) -> None:
        self.assertEqual(self.speed([0.6] * 30).pace, "fine")
        self.assertEqual(self.speed([3.0] * 4).pace, "fine", "too few")
        self.assertEqual(self.speed([3.0] * 5).pace, "slow_to_start")
        self.assertEqual(self.speed([0.6] * 18 + [7.0] * 2).pace, "slow_to_start", "of 20, two take 7 s")
        self.assertEqual(self.speed([3.0] * 5, stream=False).pace, "fine")
        self.assertEqual(self.speed([5.0] * 5, stream=False).pace, "slow")
        self.assertEqual(self.speed([5.0] * 5, background=True).pace, "fine")
        self.assertEqual(self.speed([61.0] * 5, background=True).pace, "slow_background")

    def test_slower_than_usual(self) -> None:
        self.assertEqual(self.speed([0.5] * 20 + [1.6] * 10).pace, "slower")
        self.assertEqual(self.speed([0.5] * 20 + [1.4] * 10).pace, "fine", "not by a second")
        self.assertEqual(self.speed([0.9] * 20 + [1.7] * 10).pace, "fine", "not twice as long")
        self.assertEqual(self.speed([0.5] * 20 + [1.6] * 5 + [0.5] * 5).pace, "fine", "not half of them")
        self.assertEqual(self.speed([0.5] * 19 + [1.6] * 10).pace, "fine", "nothing is usual yet")
        self.assertEqual(self.speed([0.5] * 20 + [1.6] * 10, background=True).pace, "fine")
        self.assertEqual(self.speed([1.0] * 20 + [3.5] * 10, stream=False).pace, "slower")

    def test_speed_in_words(self) -> None:
        self.assertEqual(speed_text(self.speed([0.6] * 19 + [2.1])), "half start within 0.6 s, 19 of 20 within 0.6 s")
        self.assertEqual(speed_text(self.speed([0.6, 0.7, 3.1])), "half start within 0.7 s, slowest 3.1 s")
        self.assertEqual(speed_text(self.speed([])), "")

    def test_cost(self) -> None:
        samples = [
            SAMPLE._replace(at=NOW - 1800, costs=(("USD", 0.1),), seconds=0.0),
            SAMPLE._replace(costs=(("USD", 0.2),)),
        ]
        self.assertAlmostEqual(cost_hour(samples, NOW)["USD"], 0.6)
        self.assertEqual(cost_hour([SAMPLE._replace(at=NOW - 4000, costs=(("USD", 1.0),))], NOW), {})

    def test_cost_where_the_clock_was_set_back(self) -> None:
        before = SAMPLE._replace(at=NOW + 86_400, costs=(("USD", 7.0),))
        since = SAMPLE._replace(at=NOW - 1800, costs=(("USD", 0.1),), seconds=0.0)
        self.assertAlmostEqual(cost_hour([before, since], NOW)["USD"], 0.2)
        self.assertEqual(cost_hour([before], NOW), {})

    def test_cost_where_so_many_came_that_a_minute_is_not_kept(self) -> None:
        samples = [SAMPLE._replace(at=NOW - 9 + each / 10, costs=(("USD", 0.001),), seconds=0.0) for each in range(90)]
        self.assertAlmostEqual(cost_hour(samples, NOW)["USD"], 0.09 * 60, msg="the first of a start")
        self.assertAlmostEqual(cost_hour(samples, NOW, since=NOW - 10)["USD"], 0.09 * 360)
        # A slot that was asked once among them.
        self.assertAlmostEqual(cost_hour(samples[-1:], NOW, since=NOW - 10)["USD"], 0.001 * 360)


class SampleTests(SynchronousTestCase):
    def test_what_counts(self) -> None:
        self.assertIs(sample_of(FACTS).good, True)
        self.assertIs(sample_of(FACTS._replace(outcome="failed")).good, False)
        self.assertIs(sample_of(FACTS._replace(outcome="refused")).good, False)
        self.assertIsNone(sample_of(FACTS._replace(outcome="cancelled")).good)
        self.assertIsNone(sample_of(FACTS._replace(outcome="client_error")).good)
        self.assertIsNone(sample_of(FACTS._replace(outcome="failed", error_code="ended_by_hand")).good)
        refused = Step(0.1, "failed", 0, 0, "key_invalid", 401, "No.")
        self.assertIs(sample_of(FACTS._replace(outcome="client_error", steps=(refused,))).good, False)
        # It is told what a provider found wrong, but not what a client was waiting through when it left.
        wrong = sample_of(FACTS._replace(outcome="client_error", steps=(refused._replace(code="client"),)))
        self.assertEqual((wrong.good, wrong.code), (None, "client"))
        self.assertEqual(sample_of(FACTS._replace(outcome="cancelled", steps=(refused,))).code, "")

    def test_what_was_given_up_counts(self) -> None:
        given_up = {"given_up_cost": (("USD", 0.2), ("EUR", 0.0)), "given_up_tokens": 7}
        sample = sample_of(FACTS._replace(cost=0.1, currency="EUR", tokens=Tokens(3, 4), **given_up))
        self.assertEqual((sample.costs, sample.tokens), ((("USD", 0.2), ("EUR", 0.1)), 14))

    def test_who_was_rescued_and_what_was_said(self) -> None:
        failed = Step(0.5, "failed", 0, 0, "overloaded", 503, "Busy.")
        attempts = (
            AttemptFacts(*OPENROUTER, None, 0.0, 0.0, None, 503, 0.5, 0, won=False),
            AttemptFacts(*OLLAMA, None, 0.5, 0.0, None, 200, 3.1, 0, won=True),
        )
        sample = sample_of(FACTS._replace(steps=(failed,), attempts=attempts, provider="ollama"))
        self.assertEqual((sample.good, sample.rescued, sample.code), (True, True, ""))
        self.assertEqual([(each.provider, each.code) for each in sample.words], [
            ("openrouter", "overloaded"), ("ollama", ""),
        ])  # fmt: skip


class SentenceTests(SynchronousTestCase):
    def first(self, *slots: SlotState, **fields: Any) -> tuple[str, str, str]:
        sentence = told(snapshot_of(*slots, **fields))[0]
        return sentence.level, sentence.text, sentence.advice

    def test_all_well(self) -> None:
        self.assertEqual(
            self.first(cost_hour={"USD": 0.09}), ("good", "All well.", "Last answer 2 s ago. $0.09 an hour.")
        )
        self.assertEqual(self.first(slot_of(""), requests=0), (
            "neutral", "Waiting for the first request.",
            "Type this into SkyrimNet: http://127.0.0.1:35791/v1/chat/completions",
        ))  # fmt: skip

    def test_who_is_refused_by_a_pause_is_not_well(self) -> None:
        by_hand, other = ByHand("a-1", "you", NOW), ByHand("a-2", "you", NOW)
        paused = slot_of("+" * 9, paused=by_hand)
        self.assertEqual(
            self.first(paused), ("neutral", "Dialogue is paused by you.", "`skyproxy resume default` resumes it.")
        )
        all_told = told(
            snapshot_of(paused, providers=(PROVIDER._replace(paused=by_hand), LOCAL._replace(paused=other)))
        )
        self.assertEqual([(each.text, each.advice) for each in all_told], [
            ("Dialogue is paused by you.", "`skyproxy resume openrouter` resumes it."),
            ("openrouter is paused by you.", "`skyproxy resume openrouter` resumes it."),
            ("ollama is paused by you.", "`skyproxy resume ollama` resumes it."),
        ])  # fmt: skip
        self.assertEqual(self.first(providers=(PROVIDER._replace(paused=by_hand), LOCAL))[1], "All well.")
        self.assertEqual(self.first(paused, demo=True)[0], "bad")

    def test_the_configuration(self) -> None:
        self.assertEqual(self.first(demo=True)[1], "The built-in demo answers: no configuration was found.")
        self.assertEqual(self.first(reloaded=False)[1], "The new configuration cannot be used; the old one serves on.")
        # One was found, and must be mended.
        told = self.first(reloaded=False, demo=True)
        self.assertEqual(told[1], "The new configuration cannot be used; the built-in demo answers.")

    def test_providers(self) -> None:
        self.assertEqual(self.first(words=word("key_invalid", "User not found.")), (
            "bad", "openrouter refuses your key OPENROUTER_API_KEY.",
            "Check it in .env; `skyproxy reload` reads it again.",
        ))  # fmt: skip
        key = PROVIDER.keys[0]
        for places, advice in (
            (("C:\\a\\.env",), "Check it in C:\\a\\.env; `skyproxy reload` reads it again."),
            (
                ("environment", "environment"),
                "Check it in the environment, which goes before .env, and start skyproxy anew.",
            ),
            (("environment", "a/.env"), "Check it in .env, and in the environment; `skyproxy reload` reads it again."),
        ):
            provider = PROVIDER._replace(keys=tuple(key._replace(place=place) for place in places))
            told = self.first(words=word("key_invalid", "User not found."), providers=(provider,))
            self.assertEqual(told[2], advice)
        self.assertEqual(self.first(words=word("no_credit", "Add more.")), (
            "bad", "openrouter: no credits left.", "\u201cAdd more.\u201d",
        ))  # fmt: skip
        unreachable = word("upstream_unreachable", "refused", OLLAMA)
        self.assertEqual(self.first(words=unreachable), (
            "bad", "Ollama does not run: start it.", "`ollama serve`, or point its slots elsewhere.",
        ))  # fmt: skip
        self.assertEqual(self.first(words=word("upstream_unreachable", "no such host")), (
            "bad", "openrouter cannot be reached.", "no such host",
        ))  # fmt: skip
        self.assertEqual(self.first(words=word("model_unknown", "", OLLAMA)), (
            "bad", "ollama has no model llama3.1:8b.", "`ollama pull llama3.1:8b`",
        ))  # fmt: skip
        for said in (
            "404 page not found", "Not Found", "File Not Found", "Cannot POST /chat/completions",
            "Unexpected endpoint or method. (POST /chat/completions)", "Invalid URL (POST /chat/completions)",
            "<html> <head><title>404 Not Found</title></head>", "no Route matched with those values",
            "Method Not Allowed", "405 method not allowed",
        ):  # fmt: skip
            self.assertEqual(self.first(words=word("model_unknown", said, OLLAMA)), (
                "bad", "ollama has nothing at its base_url.", "Check it in the configuration: most end in /v1.",
            ))  # fmt: skip
        for said in (
            'model "llama3.1:8b" not found, try pulling it first', "The model `x` does not exist",
            "No endpoints found for x/y.", "Model not found", "models/x is not found",
        ):  # fmt: skip
            self.assertIn("has no model", self.first(words=word("model_unknown", said))[1])
        for said in (
            "No endpoints found matching your data policy (Free model publication). Configure: https://openrouter.ai/x",
            "No endpoints available matching your guardrail restrictions and data policy. Configure: https://x",
            "No endpoints found that support image input", "No endpoints found that support tool use.",
            "No allowed providers are available for the selected model.",
            "All providers have been ignored. To change your default ignored providers, visit: https://x",
        ):  # fmt: skip
            self.assertEqual(self.first(words=word("model_unknown", said)), (
                "bad", f"openrouter does not serve {OPENROUTER[1]} as it was asked.", f"“{said}”",
            ))  # fmt: skip
        serves = self.first(words=word("model_unknown", "404 page not found", OLLAMA, endpoint="/completions"))
        self.assertEqual(serves[1], "ollama does not serve /completions.")
        without = PROVIDER._replace(key_missing="OPENROUTER_API_KEY")
        self.assertEqual(self.first(providers=(without,)), (
            "bad", "openrouter has no key.", "Put OPENROUTER_API_KEY into .env; `skyproxy reload` reads it.",
        ))  # fmt: skip
        self.assertEqual(self.first(providers=(without._replace(needed=False),))[1], "All well.")

    def test_models_that_clients_name(self) -> None:
        names = {**word("model_unknown", "", OLLAMA), **word("model_unknown", "")}
        for number in range(300):
            names |= word("model_unknown", "", ("ollama", f"typed-{number}"), age=300 - number)
        texts = [each.text for each in told(snapshot_of(words=names)) if each.code == "model_unknown"]
        self.assertEqual(texts, [
            "ollama has no model llama3.1:8b.", f"openrouter has no model {OPENROUTER[1]}.",
            "ollama has no model typed-299.",
        ])  # fmt: skip

    def test_what_was_said_long_ago_or_of_what_is_gone(self) -> None:
        self.assertEqual(self.first(words=word("no_credit", age=1000))[1], "All well.")
        self.assertEqual(self.first(words=word("no_credit", deployment=("gone", "m")))[1], "All well.")

    def test_slots(self) -> None:
        found = told(snapshot_of(slot_of("+-+-+-"), slot_of("-+++++", name="combat")))
        self.assertEqual([(each.level, each.text, each.about) for each in found], [
            ("bad", "Dialogue is unreliable.", "default"), ("warning", "Combat had some errors.", "combat"),
        ])  # fmt: skip
        self.assertEqual(found[0].request_id, "r-1")

    def test_load(self) -> None:
        self.assertEqual(self.first(providers=(PROVIDER._replace(waiting=61, limit=4),)), (
            "bad", "Too busy: 61 wait for openrouter.",
            "openrouter takes 4 at once now; raise max_concurrent if it allows more.",
        ))  # fmt: skip
        one = self.first(providers=(PROVIDER._replace(waiting=1, max_pending=1),))
        self.assertEqual(one[1], "Too busy: 1 waits for openrouter.")
        self.assertEqual(self.first(refused=2)[1], "Too busy: 2 requests were refused in the last minute.")

    def test_what_is_no_slot(self) -> None:
        said = "No model slot 'mistralai/x', and no provider of that name."
        found = told(snapshot_of(slot_of(""), unknown=12, unknown_said=said, unknown_id="r-7"))
        advice = f"{said} Type slots as SkyrimNet's models, or write fallback_to_default: true."
        self.assertEqual(found, [
            Sentence("no_slot", "bad", "12 requests asked for what is no slot.", advice, request_id="r-7"),
        ])  # fmt: skip
        self.assertEqual(self.first(unknown=2, unknown_said=said)[1], "All well.")

    def test_limits(self) -> None:
        resting = PROVIDER.deployments[0]._replace(rests={"OPENROUTER_API_KEY": 20.0})
        self.assertEqual(self.first(providers=(PROVIDER._replace(deployments=(resting,)),)), (
            "warning", "openrouter is at its rate limit.", "mistral-small is asked again in 20 s.",
        ))  # fmt: skip
        said = self.first(
            providers=(PROVIDER._replace(deployments=(resting,)),), words=word("rate", "50 a day. Add 10 credits.")
        )[2]
        self.assertEqual(said, "mistral-small is asked again in 20 s. “50 a day. Add 10 credits.”")
        for words, quotation in (("50 a day.", " “50 a day.”"), ("", "")):
            heard = word("keys_resting", "Model 'm' rests.", said=words)
            said = self.first(providers=(PROVIDER._replace(deployments=(resting,)),), words=heard)[2]
            self.assertEqual(said, f"mistral-small is asked again in 20 s.{quotation}")
        for rests, advice in (
            ({"A": 3600.0}, "60 min. `skyproxy resume openrouter --key A` asks it at once."),
            ({"A": 3600.0, "B": 90.0}, "60 min. `skyproxy resume openrouter --key B` asks it at once."),
            ({"A": 3600.0, "B": 9.0}, "60 min."),
            ({"": 3600.0}, "60 min."),
        ):
            long = resting._replace(rests=rests)
            said = self.first(providers=(PROVIDER._replace(deployments=(long,)),))[2]
            self.assertEqual(said, f"mistral-small is asked again in {advice}")
        left = PROVIDER.deployments[0]._replace(breaker=BreakerState("open", 12.0, "status 503: Down"))
        self.assertEqual(self.first(providers=(PROVIDER._replace(deployments=(left,)),)), (
            "warning", "openrouter:mistral-small is left alone for now.", "It is asked again in 12 s. status 503: Down",
        ))  # fmt: skip

    def test_speed_and_skyproxy(self) -> None:
        slow = tuple(SAMPLE._replace(first_token=3.4) for _ in range(6))
        self.assertEqual(self.first(slot_of("", samples=slow))[1], "Dialogue is slow to start talking: 3.4 s.")
        self.assertEqual(self.first(lag_p99=0.3)[1], "skyproxy itself is slow: its event loop is late by 0.3 s.")
        self.assertEqual(self.first(log_lost=1)[1], "1 line of the log is lost.")

    def test_workers_that_do_not_serve(self) -> None:
        """All is not well, though others answer."""
        text, advice = "1 of 4 workers does not serve.", "The log says why."
        self.assertEqual(self.first(workers=4, missing=1), ("warning", text, advice))
        self.assertEqual(self.first(workers=2, missing=2), ("bad", "2 of 2 workers do not serve.", advice))
        self.assertEqual(self.first(workers=4), self.first())

    def test_machines_that_are_not_met(self) -> None:
        text = "The Redis of the shared limits cannot be used: this machine goes on by itself."
        self.assertEqual(self.first(alone=True)[:2], ("warning", text))
        self.assertNotEqual(self.first(alone=True, uptime=1.0)[1], text)
        text = "The Redis of the shared limits cannot be used: requests wait."
        self.assertEqual(self.first(alone=True, waits=True)[:2], ("bad", text))
        self.assertEqual(self.first(waits=True), self.first())

    def test_the_worst_comes_first(self) -> None:
        found = told(snapshot_of(slot_of("---"), words=word("key_invalid"), lag_p99=1.0, reloaded=False))
        self.assertEqual([each.code for each in found], ["reload_failed", "key_invalid", "unreliable", "lag"])


class BudgetTests(SynchronousTestCase):
    PURSE = BudgetState("the purse", 0.5, 2.0, "USD", "evening", 0.25, None, None)

    def told(self, **fields: Any) -> Sentence:
        return told(snapshot_of(budgets=(self.PURSE._replace(**fields),)))[0]

    def test_there_is_much_left(self) -> None:
        self.assertEqual(self.told().code, "all_well")

    def test_most_is_spent(self) -> None:
        sentence = self.told(spent=1.65, used=0.825)
        self.assertEqual((sentence.code, sentence.level), ("budget_mostly_spent", "neutral"))
        self.assertEqual(sentence.text, "The purse has spent $1.65 of $2.00 per evening.")

    def test_all_is_spent(self) -> None:
        sentence = self.told(spent=2.0, used=1.0)
        self.assertEqual((sentence.code, sentence.level), ("budget_spent", "warning"))
        self.assertIn("are refused; raise it", sentence.advice)
        self.assertIn("local serves meanwhile", self.told(spent=2.0, used=1.0, instead="local").advice)
        self.assertEqual(
            self.told(name="client lydia", spent=2.0, used=1.0, per="all").text,
            "Client lydia has spent all of $2.00 in all.",
        )

    def test_it_cannot_be_written_down(self) -> None:
        sentence = told(snapshot_of(unwritable="OperationalError: database or disk is full"))[0]
        self.assertEqual((sentence.code, sentence.level), ("budgets_unwritable", "bad"))
        self.assertIn("disk is full", sentence.advice)
