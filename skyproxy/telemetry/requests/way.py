"""The way of a request from one candidate to the next, in one line for a list."""

from __future__ import annotations

from skyproxy.telemetry.requests.facts import AttemptFacts, Facts, Step


def way(facts: Facts) -> str:
    """The chain of sendings in one line: ``openrouter ✕429 → ollama ✓``; without any, why there is none."""
    if facts.cache == "hit":
        return "● memory"
    if facts.follows or facts.cache == "coalesced":
        mark = {"ok": "", None: "", "cancelled": " ⊘"}.get(facts.outcome, " ✕")
        return f"● with {facts.follows}{mark}" if facts.follows else "● shared"
    parts = []
    failed = {step.attempt: step for step in facts.steps if step.kind == "failed"}
    for step in facts.steps:
        if step.kind == "refused" and step.attempt < 0:
            parts.append((step.at, f"{facts.deployments[step.candidate][0]} ✕{_short(step)}"))
    for number, each in enumerate(facts.attempts):
        parts.append((each.sent, f"{each.provider} {_mark(facts, each, failed.get(number))}".rstrip()))
    if not parts:
        code = facts.error_code
        return facts.provider or (f"✕{_SHORT.get(code, code.replace('_', ' '))}" if code else "")
    return " → ".join(text for _, text in sorted(parts, key=lambda part: part[0]))


def _mark(facts: Facts, attempt: AttemptFacts, failed: Step | None) -> str:
    if failed is not None:
        return f"✕{_short(failed)}"
    if attempt.won:
        return {"ok": "✓", None: "…", "cancelled": "⊘"}.get(facts.outcome, "✕")
    return "…" if facts.outcome is None else "⊘"


_SHORT = {
    "client": "wrong request",
    "rate": "429",
    "first_token_timeout": "late",
    "default_timeout": "late",
    "connect_timeout": "no connection",
    "upstream_unreachable": "no connection",
    "upstream_broken": "broken",
    "breaker_open": "left alone",
    "keys_resting": "429",
    "backlog_full": "full",
    "queue_timeout": "full",
    "provider_not_configured": "no key",
    "model_not_found": "unknown model",
}
"""In place of a code: what a player has a word for."""


def _short(step: Step) -> str:
    if step.kind == "failed" and (step.status or 0) >= 400:
        return str(step.status)
    return _SHORT.get(step.code, step.code.replace("_", " "))
