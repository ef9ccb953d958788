"""The table of reasons: what each code means in plain words, and what can be done. Timelines, sentences and whatever
shows them read this one.

A code is that of an error of skyproxy's, the name of a kind of provider's error, or the name of a timer.
"""

from __future__ import annotations

from typing import NamedTuple

from skyproxy.errors import ErrorKind


class Reason(NamedTuple):
    """What one code means. Each text may have ``{provider}``, ``{model}``, ``{key}``, ``{slot}`` and ``{seconds}``.

    :ivar happened: what the provider did, behind its name: ``was at its rate limit``.
    :ivar sentence: what it came to, of a request that failed by it.
    :ivar advice: what to change then; empty if nothing can be.
    """

    happened: str
    sentence: str
    advice: str = ""


_FALLBACK = "give {slot} a fallback"

REASONS: dict[str, Reason] = {
    ErrorKind.RATE.value: Reason(
        "was at its rate limit",
        "{provider} is at its rate limit.",
        "Add a second key of {provider}, ask for less at once (max_concurrent), or " + _FALLBACK + ".",
    ),
    ErrorKind.OVERLOADED.value: Reason(
        "was overloaded", "{provider} is overloaded.", "It passes by itself; " + _FALLBACK + "."
    ),
    ErrorKind.KEY_INVALID.value: Reason(
        "refused your key", "{provider} refuses your key.", "Check {key}; " + _FALLBACK + "."
    ),
    ErrorKind.NO_CREDIT.value: Reason(
        "had no credits left", "{provider}: no credits left.", "Add credits at {provider}, or " + _FALLBACK + "."
    ),
    ErrorKind.CONTEXT_LENGTH.value: Reason(
        "takes no request of this length",
        "The request is longer than {model} takes.",
        "Choose a model that takes more for {slot}, or have the game send less.",
    ),
    ErrorKind.CONTENT.value: Reason(
        "did not want to answer this",
        "{provider} does not want to answer this content.",
        "Choose another model for {slot}, or " + _FALLBACK + ".",
    ),
    ErrorKind.REGION.value: Reason(
        "does not serve this region", "{provider} does not serve this region.", "Choose another provider for {slot}."
    ),
    ErrorKind.MODEL_UNKNOWN.value: Reason(
        "does not serve the model",
        "{provider} does not serve {model}.",
        "See what it says, and check the model of {slot}.",
    ),
    ErrorKind.PARAMETER.value: Reason(
        "did not take a field",
        "{model} does not take a field of the request.",
        "Take it out of params of {slot}, or choose another model.",
    ),
    ErrorKind.CLIENT.value: Reason(
        "did not take the request", "{provider} does not take the request.", "Look at what the client sends."
    ),
    ErrorKind.BROKEN.value: Reason("failed", "{provider} failed.", "It passes by itself, mostly; " + _FALLBACK + "."),
    "first_token_timeout": Reason(
        "said nothing for {seconds}",
        "{provider} said nothing for {seconds}.",
        "Raise first_token_timeout of {slot}, or set hedge_after.",
    ),
    "default_timeout": Reason(
        "did not answer in time",
        "{provider} did not answer in time.",
        "Choose a quicker model, raise default_timeout, or " + _FALLBACK + ".",
    ),
    "idle_timeout": Reason(
        "fell silent in the middle of its answer",
        "{provider} fell silent in the middle of its answer.",
        "Raise idle_timeout if it does so often.",
    ),
    "connect_timeout": Reason(
        "could not be reached", "{provider} cannot be reached.", "Check base_url and the network; " + _FALLBACK + "."
    ),
    "upstream_unreachable": Reason(
        "could not be reached",
        "{provider} cannot be reached.",
        "Start it, or check base_url and the network; " + _FALLBACK + ".",
    ),
    "upstream_broken": Reason(
        "gave no proper answer",
        "{provider} gave no proper answer.",
        "It passes by itself, mostly; " + _FALLBACK + ".",
    ),
    "upstream_error": Reason("failed", "{provider} failed.", "It passes by itself, mostly; " + _FALLBACK + "."),
    "upstream_timeout": Reason(
        "did not answer in time", "{provider} did not answer in time.", "Choose a quicker model, or " + _FALLBACK + "."
    ),
    "proxy_refused": Reason(
        "could not be reached through the proxy",
        "The proxy on the way to {provider} makes no connection.",
        "Check proxy_url, or say proxy_url: off.",
    ),
    "breaker_open": Reason(
        "was left alone", "{provider} is left alone after many failures.", "Wait, or " + _FALLBACK + "."
    ),
    "backlog_full": Reason(
        "had no place free",
        "Too busy: refused at once.",
        "Give {slot} a fallback, or raise max_concurrent if the provider allows more.",
    ),
    "queue_timeout": Reason(
        "had no place free in time",
        "Too busy: no place came free in time.",
        "Give {slot} a fallback, or raise max_concurrent if the provider allows more.",
    ),
    "keys_resting": Reason(
        "was at its rate limit",
        "{provider} is at its rate limit: every key rests.",
        "Add a second key of {provider}, or " + _FALLBACK + ".",
    ),
    "provider_not_configured": Reason(
        "has no key", "{provider} has no key.", "Put the key into .env, as the message says."
    ),
    "out_of_sockets": Reason(
        "got no socket", "The system has no socket left.", "Raise the limit of open files (ulimit -Hn)."
    ),
    "ended_by_hand": Reason("was ended by you", "Ended by you."),
    "paused": Reason("was paused by you", "Paused by you.", "Resume {slot}, or what serves it: `skyproxy resume`."),
    "insufficient_quota": Reason(
        "would have cost more than is left of a budget",
        "A budget has not enough left.",
        "Raise the budget, wait until it begins anew, or let on_budget lead to a slot with a local model.",
    ),
    "rate_limit_exceeded": Reason(
        "was not asked",
        "The client asks for more than its limits allow.",
        "Raise requests_per_minute, tokens_per_minute or concurrent of the client, or have it ask for less.",
    ),
    "no_price": Reason(
        "has no price that is known",
        "No price of {model} is known, so that no budget can be kept to.",
        "Write its price under prices:, or choose another model.",
    ),
    "budget_store_unavailable": Reason(
        "was not asked",
        "What is spent cannot be written down, so that nothing may be spent.",
        "See what the log says of the file of budgets: the disk may be full.",
    ),
    "shutting_down": Reason("was not asked", "skyproxy was being stopped."),
    "model_not_found": Reason(
        "was not asked", "Nobody knows this model.", "Type the name of a slot; GET /v1/models lists them."
    ),
    "model_not_allowed": Reason(
        "was not asked",
        "The client may not ask for this model, or nobody knows it.",
        "Add it to slots: of the client, or have it ask for what GET /v1/models lists.",
    ),
    "invalid_request": Reason(
        "was not asked", "The request cannot be understood.", "Look at what the client sends: the error says what."
    ),
    "body_too_large": Reason("was not asked", "The request is too large.", "Raise max_body."),
    "internal_error": Reason(
        "was not asked", "skyproxy failed by a fault of its own.", "`skyproxy bug-report` packs what helps to mend it."
    ),
    "client_stalled": Reason("was given up", "The game did not read its answer.", ""),
    "client_too_slow": Reason("was given up", "The game read its answer too slowly.", ""),
}

UNKNOWN = Reason("failed", "{provider} failed.", "")
"""Stands for what has no row."""


def reason_of(code: str) -> Reason:
    """The row of *code*."""
    return REASONS.get(code, UNKNOWN)
