"""How many tokens an answer took, and what they cost."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, NamedTuple, Protocol

from skyproxy.formats.openai.stream_state import StreamState
from skyproxy.formats.openai.token_counts import any_count, token_count

_BYTES_PER_TOKEN = 4
"""About, for estimates."""

_MOST_USD = 100_000
"""What an answer may be said to have cost; a provider that says more is not believed."""

_TICKS_PER_USD = 10**10
"""xAI's."""

# Pictures and sounds within a request are no text.
_EMBEDDED = re.compile(rb";base64,[A-Za-z0-9+/=_-]*")


class Tokens(NamedTuple):
    """The tokens of one request and its answer.

    :ivar prompt: all that were read.
    :ivar completion: all that were generated.
    :ivar cached: of the prompt's, those that the provider had in its cache.
    :ivar reasoning: of the completion's, those that the model only thought.
    :ivar estimated: whether skyproxy reckoned this, because the provider did not say.
    """

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0
    estimated: bool = False


def tokens_of(usage: Mapping[str, Any], dialect: str = "openai") -> Tokens | None:
    """What a ``usage`` object says, in the form of chat (https://platform.openai.com/docs/api-reference/chat/object) or
    of the Responses API; None if it says nothing that can be read.

    :param dialect: of the provider.
    """
    prompt_said, completion = _prompt_said(usage), any_count(usage, "completion_tokens", "output_tokens")
    if prompt_said is None and completion is None:
        return None
    read = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    written = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    prompt, completion = prompt_said or 0, completion or 0
    cached = (token_count(read.get("cached_tokens")) if type(read) is dict else None) or _cached_elsewhere(usage)
    reasoning = token_count(written.get("reasoning_tokens")) or 0 if type(written) is dict else 0
    if reasoning or (dialect == "google" and prompt_said is not None):
        # xAI's are none of the completion's (https://docs.x.ai/docs/guides/reasoning), and neither are Google's, of
        # which the total alone tells (https://discuss.ai.google.dev/t/127400).
        beside = (token_count(usage.get("total_tokens")) or 0) - prompt - completion
        if beside > 0 and (beside == reasoning or dialect == "google"):
            completion += beside
            reasoning = max(reasoning, beside)
    return Tokens(prompt, completion, min(cached, prompt), min(reasoning, completion))


def _prompt_said(usage: Mapping[str, Any]) -> int | None:
    return any_count(usage, "prompt_tokens", "input_tokens")


def _cached_elsewhere(usage: Mapping[str, Any]) -> int:
    """The cached tokens where DeepSeek (https://api-docs.deepseek.com/api/create-chat-completion) and Moonshot
    (https://platform.kimi.ai/docs/api/chat) have them.
    """
    return token_count(usage.get("prompt_cache_hit_tokens")) or token_count(usage.get("cached_tokens")) or 0


def cost_said(usage: Mapping[str, Any], dialect: str) -> float | None:
    """What a ``usage`` object says that an answer cost, in USD; None if it does not. Of one of OpenRouter's that was
    paid for with a key of the user's at another provider, that is what both ask for.

    https://openrouter.ai/docs/use-cases/usage-accounting, https://docs.x.ai/developers/cost-tracking,
    https://docs.perplexity.ai/api-reference/chat-completions-post

    :param dialect: of the provider. A number without a unit may be anything at those that are not known.
    """
    cost, ticks = usage.get("cost"), usage.get("cost_in_usd_ticks")
    if cost is None and ticks is None:
        return None
    if type(ticks) is int:
        return _amount(ticks / _TICKS_PER_USD) if 0 <= ticks <= _MOST_USD * _TICKS_PER_USD else None
    if type(cost) is dict:
        return _amount(cost.get("total_cost"))
    said = _amount(cost) if dialect == "openrouter" else None
    details = usage.get("cost_details")
    if said is not None and usage.get("is_byok") is True and type(details) is dict:
        said += _amount(details.get("upstream_inference_cost")) or 0.0
    return said


def estimate(prompt: int, generated: int) -> Tokens:
    """What a request of *prompt* tokens, as estimated, and *generated* bytes of text may have taken: a token for every
    four bytes.
    """
    return Tokens(prompt, -(-generated // _BYTES_PER_TOKEN), estimated=True)


def prompt_estimate(body: bytes) -> int:
    """The tokens that *body*, a request in JSON, may have: one for every four bytes."""
    size = len(body)
    if body.find(b";base64,") >= 0:
        size -= sum(map(len, _EMBEDDED.findall(body)))
    return -(-size // _BYTES_PER_TOKEN)


def tokens_used(state: StreamState, prompt: Callable[[], int]) -> Tokens:
    """What an answer took: as the provider says, or else estimated, with what *prompt* gives for its request; and so
    each half of it.
    """
    usage, guessed = state.usage, state.generated
    said = tokens_of(usage, state.dialect) if usage else None
    if said is None:
        return estimate(prompt(), guessed)
    if not said.prompt and _prompt_said(usage) is None:
        said = said._replace(prompt=prompt(), estimated=True)
    # What was generated is not counted where the provider says how much it was.
    return said._replace(completion=-(-guessed // _BYTES_PER_TOKEN), estimated=True) if guessed else said


class Rates(Protocol):
    """Prices for a million tokens of each kind.

    :ivar cached: of those of the prompt that the provider had in its cache; None: as of all others.
    """

    @property
    def prompt(self) -> float: ...
    @property
    def completion(self) -> float: ...
    @property
    def cached(self) -> float | None: ...


def cost_of(tokens: Tokens, price: Rates) -> float:
    """What *tokens* cost, in the currency of *price*."""
    cached = min(tokens.cached, tokens.prompt)
    for_cached = price.prompt if price.cached is None else price.cached
    millionths = (tokens.prompt - cached) * price.prompt + cached * for_cached + tokens.completion * price.completion
    return millionths / 1_000_000


def _amount(said: Any) -> float | None:
    if type(said) is float or type(said) is int:
        return float(said) if 0 <= said <= _MOST_USD and isfinite(said) else None
    return None
