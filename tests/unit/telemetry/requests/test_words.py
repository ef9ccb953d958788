"""Ten kinds of trouble, told right: the timeline, the sentence and the advice, word for word."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config.known import SLOTS
from skyproxy.errors import ErrorKind
from skyproxy.telemetry.requests.conclusion import History, conclusion_of
from skyproxy.telemetry.requests.facts import AttemptFacts, Facts, Step
from skyproxy.telemetry.requests.reasons import REASONS
from skyproxy.telemetry.requests.timeline import lines_of, phase
from skyproxy.telemetry.requests.way import way
from skyproxy.telemetry.requests.words import duration, job, money
from skyproxy.telemetry.usage import Tokens

OPENROUTER, OLLAMA = ("openrouter", "mistral-small"), ("ollama", "llama3.1:8b")
FACTS = Facts(
    number=1, request_id="r-1", arrived=1000.0, slot="default", model="default", endpoint="/chat/completions",
    client="127.0.0.1", agent="SkyrimNet", stream=True, outcome="ok", status=200, error_code=None, error="",
    provider="openrouter", upstream_model="mistral-small", key=None, cache=None, tokens=None, cost=None, currency="USD",
    price_source=None,
    hedge_cost=None, seconds=3.1, queue=0.0, bytes_out=100, first_token=0.98, first_sentence=1.6, follows=None,
    age=None, deployments=(OPENROUTER, OLLAMA), attempts=(), steps=(),
)  # fmt: skip


def sending(
    deployment: tuple[str, str], sent: float, ended: float | None = None, status: int | None = 200, **more: Any
) -> AttemptFacts:
    fields = {"key": None, "waited": 0.0, "first_byte": None, "generated": 0, "won": False, **more}
    return AttemptFacts(*deployment, sent=sent, ended=ended, status=status, **fields)


def told(facts: Facts) -> list[str]:
    return [f"+{line.at:.2f} {line.text}" for line in lines_of(facts)]


class TroubleTests(SynchronousTestCase):
    """The ten."""

    maxDiff = None

    def check(
        self, facts: Facts, lines: list[str], trouble: str, sentence: str, advice: str = "", history: Any = None
    ) -> None:
        self.assertEqual(told(facts), lines)
        conclusion = conclusion_of(facts, history or History())
        self.assertEqual((conclusion.trouble, conclusion.sentence, conclusion.advice), (trouble, sentence, advice))

    def test_rate_limit(self) -> None:
        facts = FACTS._replace(
            deployments=(OPENROUTER,),
            attempts=(
                sending(OPENROUTER, 0.01, 0.35, 429, key="OPENROUTER_KEY_1"),
                sending(OPENROUTER, 0.36, 3.1, key="OPENROUTER_KEY_2", won=True),
            ),
            steps=(
                Step(0.35, "failed", 0, 0, "rate", 429, "Rate limit exceeded: free-models-per-min"),
                Step(0.35, "key_rests", 0, 0, text="OPENROUTER_KEY_1", seconds=20.0),
                Step(0.35, "retry", 0, 0, "status 429", seconds=0.0),
            ),
        )
        self.check(
            facts,
            [
                "+0.00 arrived for Dialogue",
                "+0.01 openrouter asked with OPENROUTER_KEY_1",
                "+0.35 openrouter: 429 “Rate limit exceeded: free-models-per-min”; OPENROUTER_KEY_1 rests 20 s for "
                "this model",
                "+0.36 openrouter asked again with OPENROUTER_KEY_2",
                "+0.98 openrouter: first token",
                "+1.60 first sentence",
                "+3.10 done",
            ],
            "rate",
            "Answered by openrouter after 3.1 s; the first key was at its limit.",
        )
        self.assertEqual(way(facts), "openrouter ✕429 → openrouter ✓")
        self.assertTrue(conclusion_of(facts).rescued)

    def test_key_refused(self) -> None:
        facts = FACTS._replace(
            outcome="client_error", status=401, seconds=0.32, first_token=None, first_sentence=None,
            deployments=(OPENROUTER,), key="OPENROUTER_API_KEY",
            attempts=(sending(OPENROUTER, 0.0, 0.32, 401, key="OPENROUTER_API_KEY", won=True),),
            steps=(
                Step(0.31, "failed", 0, 0, "key_invalid", 401, "User not found."),
                Step(0.31, "key_kept", 0, 0, text="OPENROUTER_API_KEY"),
            ),
        )  # fmt: skip
        self.check(
            facts,
            [
                "+0.00 arrived for Dialogue",
                "+0.00 openrouter asked with OPENROUTER_API_KEY",
                "+0.31 openrouter: 401 “User not found.”; there is no other key",
                "+0.32 401 sent",
            ],
            "key_refused",
            "openrouter refuses your key.",
            "Check OPENROUTER_API_KEY; give Dialogue a fallback.",
        )
        with_fallback = facts._replace(deployments=(OPENROUTER, OLLAMA))
        self.assertEqual(conclusion_of(with_fallback).advice, "Check OPENROUTER_API_KEY.")

    def test_a_model_that_is_there_and_not_served(self) -> None:
        said = "No endpoints found matching your data policy (Free model publication)."
        facts = FACTS._replace(
            outcome="client_error", status=404, seconds=0.32, first_token=None, first_sentence=None,
            deployments=(OPENROUTER,), attempts=(sending(OPENROUTER, 0.0, 0.32, 404, won=True),),
            steps=(Step(0.31, "failed", 0, 0, "model_unknown", 404, said),),
        )  # fmt: skip
        self.assertIn(f"+0.31 openrouter: 404 “{said}”", told(facts))
        found = conclusion_of(facts)
        self.assertEqual(found.sentence, f"openrouter does not serve {facts.upstream_model}.")
        self.assertEqual(found.advice, "See what it says, and check the model of Dialogue.")

    def test_breaker(self) -> None:
        cause = "status 503: No instances available"
        facts = FACTS._replace(
            provider="ollama", upstream_model="llama3.1:8b", seconds=4.0, first_token=1.2, first_sentence=2.0,
            attempts=(sending(OLLAMA, 0.0, 4.0, won=True),),
            steps=(
                Step(0.0, "refused", 0, -1, "breaker_open", 5, cause, 12.0),
                Step(0.0, "fallback", 0, code="breaker_open"),
            ),
        )  # fmt: skip
        self.check(
            facts,
            [
                "+0.00 arrived for Dialogue",
                "+0.00 openrouter:mistral-small not asked: left alone for 12 s, after 5 failures, the last: status "
                "503: No instances available",
                "+0.00 ollama asked",
                "+1.20 first token",
                "+2.00 first sentence",
                "+4.00 done",
            ],
            "breaker",
            "Answered by ollama after 4 s; openrouter's model was left alone.",
        )
        self.assertEqual(way(facts), "openrouter ✕left alone → ollama ✓")

    def hedge(self, winner: int, **fields: Any) -> Facts:
        ends = (2.9, 6.0) if winner else (5.0, 2.2)
        return FACTS._replace(
            provider=(OPENROUTER, OLLAMA)[winner][0], first_sentence=3.4, hedge_cost=0.0002,
            attempts=(
                sending(OPENROUTER, 0.0, ends[0], None if winner else 200, won=not winner),
                sending(OLLAMA, 2.0, ends[1], 200 if winner else None, won=bool(winner)),
            ),
            steps=(Step(2.0, "hedge", 0, seconds=2.0),),
            **fields,
        )  # fmt: skip

    def test_hedge_won(self) -> None:
        self.check(
            self.hedge(1, seconds=6.0, first_token=2.9),
            [
                "+0.00 arrived for Dialogue",
                "+0.00 openrouter asked",
                "+2.00 still silent: ollama asked too (hedge_after 2 s)",
                "+2.90 ollama: first token",
                "+2.90 openrouter cancelled after 2.9 s",
                "+3.40 first sentence",
                "+6.00 done",
            ],
            "hedge_won",
            "The second one was quicker: openrouter had said nothing for 2.9 s. It cost $0.00020 extra.",
        )

    def test_hedge_lost(self) -> None:
        lines = [
            "+0.00 arrived for Dialogue",
            "+0.00 openrouter asked",
            "+2.00 still silent: ollama asked too (hedge_after 2 s)",
            "+2.20 openrouter: first token",
            "+2.20 ollama cancelled after 0.2 s",
            "+3.40 first sentence",
            "+5.00 done",
        ]
        facts = self.hedge(0, seconds=5.0, first_token=2.2)._replace(hedge_cost=0.0)
        self.check(facts, lines, "hedge_lost", "The second one was not needed. It cost nothing.")
        self.check(
            facts,
            lines,
            "hedge_lost",
            "The second one was not needed. It cost nothing.",
            "9 of 10 were not needed: raise hedge_after of Dialogue to 3.1 s.",
            History(hedges=10, lost=9, first_token_p90=3.1),
        )
        self.assertEqual(way(facts), "openrouter ✓ → ollama ⊘")

    def test_late_first_token(self) -> None:
        said = "Provider 'openrouter' did not answer within 4 s (first_token_timeout)."
        facts = FACTS._replace(
            provider="ollama", seconds=8.0, first_token=5.3, first_sentence=6.0,
            attempts=(
                sending(OPENROUTER, 0.0, 4.0, 200, first_byte=0.4), sending(OLLAMA, 4.01, 8.0, won=True),
            ),
            steps=(
                Step(4.0, "failed", 0, 0, "first_token_timeout", None, said),
                Step(4.0, "fallback", 0, code="upstream_timeout"),
            ),
        )  # fmt: skip
        self.check(
            facts,
            [
                "+0.00 arrived for Dialogue",
                "+0.00 openrouter asked",
                "+0.40 openrouter: first byte",
                "+4.00 openrouter: no token within 4 s (first_token_timeout): given up",
                "+4.01 ollama asked",
                "+5.30 ollama: first token",
                "+6.00 first sentence",
                "+8.00 done",
            ],
            "late_first_token",
            "Answered by ollama after 8 s; openrouter said nothing for 4 s.",
            "19 of 20 begin within 5.2 s: try first_token_timeout 6 s, or hedge_after 2 s.",
            History(first_token_p95=5.2),
        )

    def test_an_error_under_200_is_told_by_its_kind(self) -> None:
        for kind, shown in (
            ("broken", "broken"),
            ("no_credit", "no credit"),
            ("rate", "429"),
            ("client", "wrong request"),
        ):
            facts = FACTS._replace(
                deployments=(OPENROUTER,),
                attempts=(sending(OPENROUTER, 0.0, 0.2), sending(OPENROUTER, 0.3, 3.1, won=True)),
                steps=(Step(0.2, "failed", 0, 0, kind, 200, "Oops."),),
            )
            self.assertEqual(way(facts), f"openrouter ✕{shown} → openrouter ✓")
            self.assertNotIn("200", conclusion_of(facts).sentence)

    def test_cut(self) -> None:
        facts = FACTS._replace(
            outcome="failed", error_code="upstream_broken", seconds=2.7, first_token=0.8, first_sentence=2.1,
            tokens=Tokens(100, 31, estimated=True), attempts=(sending(OPENROUTER, 0.0, 2.7, won=True),),
        )  # fmt: skip
        self.check(
            facts,
            [
                "+0.00 arrived for Dialogue",
                "+0.00 openrouter asked",
                "+0.80 first token",
                "+2.10 first sentence",
                "+2.70 the connection broke after about 31 tokens",
            ],
            "cut",
            "The answer was cut by openrouter; the client got about 31 tokens and an error.",
            "Nothing can be repeated after the first token; it happened 3 times among the last requests.",
            History(cuts=3),
        )
        self.assertEqual(way(facts), "openrouter ✕")
        one = conclusion_of(facts._replace(tokens=Tokens(100, 1)))
        self.assertIn("the client got 1 token and an error.", one.sentence)

    def test_client_left(self) -> None:
        facts = FACTS._replace(
            outcome="cancelled", status=None, seconds=1.4, first_token=None, first_sentence=None, cost=0.0003,
            attempts=(sending(OPENROUTER, 0.0, 1.4, None),),
        )  # fmt: skip
        self.check(
            facts,
            [
                "+0.00 arrived for Dialogue",
                "+0.00 openrouter asked",
                "+1.40 the client closed the connection before the first token; openrouter cancelled",
            ],
            "client_left",
            "The game did not wait (1.4 s). Not counted as a failure; about $0.00030 may be billed.",
        )

    def test_queue_full(self) -> None:
        said = "100 requests already wait for this provider (max_pending)."
        facts = FACTS._replace(
            outcome="refused", status=503, error_code="backlog_full", seconds=0.0, first_token=None,
            first_sentence=None, deployments=(OPENROUTER,),
            steps=(Step(0.0, "refused", 0, -1, "backlog_full", None, said, 2.0),),
        )  # fmt: skip
        self.check(
            facts,
            [
                "+0.00 arrived for Dialogue",
                "+0.00 openrouter not asked: 100 requests already wait for this provider (max_pending).",
                "+0.00 503 backlog_full sent",
            ],
            "queue_full",
            "Too busy: refused at once.",
            "Give Dialogue a fallback, or raise max_concurrent if the provider allows more.",
        )

    def test_cache(self) -> None:
        facts = FACTS._replace(cache="hit", age=41.0, seconds=0.01, first_token=0.0, first_sentence=0.01)
        self.check(
            facts,
            [
                "+0.00 arrived for Dialogue",
                "+0.00 kept answer, 41 s old",
                "+0.00 first token",
                "+0.01 first sentence",
                "+0.01 done",
            ],
            "cache",
            "Answered from memory; saved about 2.4 s and $0.0011.",
            history=History(usual_seconds=2.4, usual_cost=0.0011),
        )
        shared = FACTS._replace(cache="coalesced", follows="r-17", first_sentence=None, seconds=2.0)
        self.assertEqual(
            [f"+{line.at:.2f} {line.text}" for line in lines_of(shared, 0.3)],
            [
                "+0.00 arrived for Dialogue",
                "+0.00 follows r-17, which was asked 0.3 s before",
                "+0.98 first token",
                "+2.00 done",
            ],
        )
        self.assertEqual(conclusion_of(shared).sentence, "Answered together with r-17.")


class OtherTests(SynchronousTestCase):
    def test_all_is_well(self) -> None:
        facts = FACTS._replace(attempts=(sending(OPENROUTER, 0.5, 3.1, won=True, waited=0.5),))
        self.assertEqual(told(facts)[1:3], ["+0.00 waits for a place at openrouter: 0.5 s", "+0.50 openrouter asked"])
        conclusion = conclusion_of(facts)
        self.assertEqual((conclusion.sentence, conclusion.advice), ("Answered by openrouter after 3.1 s.", ""))
        self.assertFalse(conclusion.rescued)

    def test_under_way(self) -> None:
        facts = FACTS._replace(outcome=None, first_token=None, first_sentence=None, seconds=1.0)
        self.assertEqual(phase(facts), "waits for a place at openrouter")
        facts = facts._replace(attempts=(sending(OPENROUTER, 0.0, None, None),))
        self.assertEqual((phase(facts), way(facts)), ("openrouter was asked", "openrouter …"))
        facts = facts._replace(attempts=(sending(OPENROUTER, 0.0, None, first_byte=0.5),))
        self.assertEqual(phase(facts), "openrouter thinks")
        self.assertEqual(phase(facts._replace(first_token=0.9)), "openrouter talks")
        self.assertEqual(told(facts)[-1], "+1.00 openrouter thinks")
        self.assertEqual(conclusion_of(facts).sentence, "Under way.")

    def test_who_cannot_be_reached(self) -> None:
        said = "Provider 'ollama' does not accept connections; check base_url, and that its server runs."
        facts = FACTS._replace(
            outcome="failed", status=502, error_code="upstream_unreachable", provider="ollama", seconds=0.1,
            first_token=None, first_sentence=None, deployments=(OLLAMA,),
            attempts=(sending(OLLAMA, 0.0, 0.1, None),),
            steps=(Step(0.1, "failed", 0, 0, "upstream_unreachable", None, said),),
        )  # fmt: skip
        self.assertEqual(
            told(facts)[-2:], [f"+0.10 ollama could not be reached: {said}", "+0.10 502 upstream_unreachable sent"]
        )
        self.assertEqual(conclusion_of(facts).sentence, "ollama cannot be reached.")
        self.assertEqual(
            conclusion_of(facts).advice, "Start it, or check base_url and the network; give Dialogue a fallback."
        )

    def test_every_kind_of_error_has_a_reason(self) -> None:
        for kind in ErrorKind:
            self.assertIn(kind.value, REASONS)
        values = dict.fromkeys(("provider", "model", "key", "slot", "seconds"), "x")
        for reason in REASONS.values():
            for text in reason:
                self.assertNotIn("{", text.format(**values))

    def test_who_may_not_ask_is_told_from_what_nobody_knows(self) -> None:
        for status, sentence in (
            (400, "Nobody knows this model."),
            (404, "The client may not ask for this model, or nobody knows it."),
        ):
            facts = FACTS._replace(
                outcome="client_error", status=status, error_code="model_not_found", provider=None, deployments=(),
                first_token=None,
            )  # fmt: skip
            self.assertEqual(conclusion_of(facts).sentence, sentence)
            self.assertEqual(way(facts), "✕unknown model")

    def test_what_went_to_nobody_says_why(self) -> None:
        nobody = FACTS._replace(outcome="client_error", provider=None, deployments=(), first_token=None)
        for code, shown in (("body_too_large", "✕body too large"), ("shutting_down", "✕shutting down"), (None, "")):
            self.assertEqual(way(nobody._replace(error_code=code)), shown)

    def test_every_outcome_has_a_sentence(self) -> None:
        for outcome in ("ok", "client_error", "upstream_error", "failed", "refused", "cancelled", None):
            for code in (None, "upstream_broken", "backlog_full", "what_nobody_knows", "shutting_down"):
                for candidates in ((), (OPENROUTER,)):
                    facts = FACTS._replace(
                        outcome=outcome, error_code=code, deployments=candidates, provider=None, slot=None, model="",
                        first_token=None,
                    )  # fmt: skip
                    self.assertTrue(conclusion_of(facts).sentence.endswith((".", ")")))
                    self.assertTrue(lines_of(facts))
                    way(facts)

    def test_times_and_money(self) -> None:
        self.assertEqual([duration(each) for each in (0.0, 0.04, 0.44, 2.0, 12.3, 119, 7200)], [
            "0 s", "< 0.1 s", "0.4 s", "2 s", "12 s", "2 min", "2 h",
        ])  # fmt: skip
        self.assertEqual([money(each) for each in (0.0, 0.31, 0.0011, 0.00002, 12.5)], [
            "$0", "$0.31", "$0.0011", "$0.000020", "$12.50",
        ])  # fmt: skip
        self.assertEqual(money(1.5, "CHF"), "CHF 1.50")
        self.assertEqual([job("default"), job("DiaryGeneration"), job("my_mod")], ["Dialogue", "Diary", "my_mod"])
        # Whatever SkyrimNet asks for has words for people.
        self.assertEqual([each for each in SLOTS if job(each) == each], [])
