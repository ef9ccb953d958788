"""The most tokens that a request may take, before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, isfinite
from typing import Any, NamedTuple

from skyproxy.telemetry.usage import Tokens, estimate

UNSAID_COMPLETION = 4096
"""Tokens that an answer is taken to have at most, where the request sets no limit."""

_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""Fields of a body that limit the tokens of an answer: of chat, in both of its forms, and of the Responses API."""

_MOST = 10**9
_MOST_CHOICES = 10_000

_BYTES_PER_TOKEN_OF_SOUND = 200
"""Speech at 16 kbit/s, of which models make some ten tokens a second. What is less dense has fewer."""


class Most(NamedTuple):
    """The most tokens that a request and its answer may take.

    :ivar said: whether the request itself limits its answer.
    """

    prompt: int
    completion: int
    said: bool = True

    def tokens(self) -> Tokens:
        """As tokens that can be priced."""
        return Tokens(self.prompt, self.completion, estimated=True)


def most_of_json(path: str, fields: Mapping[str, Any], body: bytes) -> Most:
    """What the request with *body*, which says *fields*, may take.

    :param path: of its endpoint.
    """
    prompt = estimate(body, 0).prompt
    if path == "/embeddings":
        return Most(prompt, 0)
    limit, said = _limit(fields)
    choices = _count(fields.get("n")) or 1
    if path == "/completions":
        asked = fields.get("prompt")
        prompts = len(asked) if type(asked) is list and asked and type(asked[0]) is not int else 1
        choices = max(choices, _count(fields.get("best_of")) or 1) * prompts
    return Most(prompt, limit * min(choices, _MOST_CHOICES), said)


def most_of_form(body: bytes) -> Most:
    """What a form with a recording may take."""
    return Most(-(-len(body) // _BYTES_PER_TOKEN_OF_SOUND), UNSAID_COMPLETION, said=False)


def _limit(fields: Mapping[str, Any]) -> tuple[int, bool]:
    """The most tokens of one answer, and whether *fields* limit it. Of several limits, the one that allows most."""
    found = [number for name in _LIMITS if name in fields and (number := _count(fields[name])) is not None]
    return (max(found), True) if found else (UNSAID_COMPLETION, False)


def _count(said: Any) -> int | None:
    """*said* as a number that a provider may take it for; None if it is none."""
    if type(said) is int:
        return min(said, _MOST) if said > 0 else None
    if type(said) is float and isfinite(said):
        return min(ceil(said), _MOST) if said > 0 else None
    if type(said) is str and said.isascii() and said.isdigit():
        return min(int(said[:10]), _MOST) or None
    return None
