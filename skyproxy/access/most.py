"""The most tokens that a request may take, before it is sent.

They are :class:`~skyproxy.telemetry.usage.Tokens` that are ``estimated`` where the request itself does not limit its
answer, but skyproxy supposes a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, isfinite
from typing import Any

from skyproxy.telemetry.usage import Tokens, prompt_estimate

UNSAID_COMPLETION = 4096
"""Tokens that an answer is taken to have at most, where the request sets no limit."""

_MOST = 10**9
_MOST_CHOICES = 10_000

_BYTES_PER_TOKEN_OF_SOUND = 200
"""Speech at 16 kbit/s, of which models make some ten tokens a second. What is less dense has fewer."""


def most_of_json(path: str, fields: Mapping[str, Any], body: bytes) -> Tokens:
    """What the request with *body*, which says *fields*, may take.

    :param path: of its endpoint.
    """
    prompt = prompt_estimate(body)
    if path == "/embeddings":
        return Tokens(prompt, 0)
    # Of chat, in both of its forms, and of the Responses API. Of several limits, the one that allows most counts.
    limit = 0
    for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        if name in fields:
            said = fields[name]
            limit = max(limit, said if type(said) is int and said < _MOST else _count(said) or 0)
    estimated = not limit
    if estimated:
        limit = UNSAID_COMPLETION
    if "n" in fields or path == "/completions":
        limit *= _answers(path, fields)
    return Tokens(prompt, limit, 0, 0, estimated)


def most_of_form(body: bytes) -> Tokens:
    """What a form with a recording may take."""
    return Tokens(-(-len(body) // _BYTES_PER_TOKEN_OF_SOUND), UNSAID_COMPLETION, estimated=True)


def within(most: Tokens, max_output: int | None) -> Tokens:
    """*most*, of a model that generates *max_output* tokens for an answer at most, if that is known."""
    if max_output is None or max_output >= UNSAID_COMPLETION or not most.estimated:
        return most
    return most._replace(completion=most.completion // UNSAID_COMPLETION * max_output)


def _answers(path: str, fields: Mapping[str, Any]) -> int:
    """How many answers are asked for."""
    choices = _count(fields.get("n")) or 1
    if path == "/completions":
        asked = fields.get("prompt")
        prompts = len(asked) if type(asked) is list and asked and type(asked[0]) is not int else 1
        choices = max(choices, _count(fields.get("best_of")) or 1) * prompts
    return min(choices, _MOST_CHOICES)


def _count(said: Any) -> int | None:
    """*said* as a number that a provider may take it for; None if it is none."""
    if type(said) is int:
        return min(said, _MOST) if said > 0 else None
    if type(said) is float and isfinite(said):
        return min(ceil(said), _MOST) if said > 0 else None
    if type(said) is str and said.isascii() and said.isdigit():
        return min(int(said[:10]), _MOST) or None
    return None
