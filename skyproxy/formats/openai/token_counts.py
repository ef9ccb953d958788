"""What an answer says of the tokens that it took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skyproxy.formats.openai.bodies import choices_of

_MOST_TOKENS = 10**9
"""That an answer may be said to have taken; a provider that says more is not believed."""


def usage_of(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """The token counts of a chunk, of a whole answer, within a Responses event; in a choice, where Moonshot has them
    (https://github.com/earendil-works/pi/issues/2017); or in ``x_groq``, as in the last chunk of Groq's streams."""
    usage = event.get("usage")
    if isinstance(usage, dict):
        return usage
    response = event.get("response") or event.get("x_groq")
    holders = [response] if isinstance(response, dict) else choices_of(event)
    return next((usage for each in holders if isinstance(usage := each.get("usage"), dict)), None)


def token_count(said: Any) -> int | None:
    """The number of tokens that *said*, a field of a usage object, is; None if it is none. Some servers write 12.0."""
    if type(said) is float and said.is_integer():
        said = int(said)
    return said if type(said) is int and 0 <= said <= _MOST_TOKENS else None


def counts_completion(usage: Mapping[str, Any]) -> bool:
    """Whether *usage*, a usage object, says how many tokens were generated."""
    return any_count(usage, "completion_tokens", "output_tokens") is not None


def any_count(usage: Mapping[str, Any], name: str, other: str) -> int | None:
    """The number of tokens under *name* of *usage*, a usage object, or else under the *other* one; None: under none."""
    said = usage.get(name)
    # As nearly all say it.
    if type(said) is int and 0 <= said <= _MOST_TOKENS:
        return said
    count = token_count(said)
    return token_count(usage.get(other)) if count is None else count
