"""Which answer means what, by provider: one row for each quirk, with the page or thread that shows it.

To add a quirk, add a row here and its body to ``tests/unit/test_error_kinds.py``. The first row that fits counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What an error means for the request, and for those that come after it."""

    RATE = "rate"
    """Too many requests, or too much at once; later it would have been answered."""
    OVERLOADED = "overloaded"
    """The provider has more to do than it can, whoever asks."""
    KEY_INVALID = "key_invalid"
    """The key is refused."""
    NO_CREDIT = "no_credit"
    """The account of the key has nothing left."""
    CONTEXT_LENGTH = "context_length"
    """The request is longer than this model, or this account, takes at all."""
    CONTENT = "content"
    """The provider does not want to answer this content."""
    REGION = "region"
    """The provider does not serve this place."""
    MODEL_UNKNOWN = "model_unknown"
    """There is no such model, or not for this account."""
    PARAMETER = "parameter"
    """A field of the body is one that this model does not take."""
    CLIENT = "client"
    """The request is wrong, whoever is asked."""
    BROKEN = "broken"
    """The provider failed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that providers answer. Whatever is None fits anything; all that is given must fit.

    :ivar kind: what it means.
    :ivar source: where it is documented, or was seen.
    :ivar dialect: whose it is; None: of several.
    :ivar status: of HTTP.
    :ivar code: in lower case: the error's ``code``, Google's ``status`` or one of its reasons is among these.
    :ivar type: likewise, its ``type``.
    :ivar pattern: found in its message, or in what another provider told this one.
    """

    kind: Kind
    source: str
    dialect: str | None = None
    status: int | tuple[int, ...] | None = None
    code: tuple[str, ...] | None = None
    type: tuple[str, ...] | None = None
    pattern: re.Pattern[str] | None = None


def _text(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_OPENAI = "https://platform.openai.com/docs/guides/error-codes"
_ANTHROPIC = "https://docs.anthropic.com/en/api/errors"
_GOOGLE = "https://ai.google.dev/gemini-api/docs/troubleshooting"
_OPENROUTER = "https://openrouter.ai/docs/api-reference/errors"
_GROQ = "https://console.groq.com/docs/errors"
_ZAI = "https://docs.z.ai/api-reference/api-code"
_BIGMODEL = "https://docs.bigmodel.cn/cn/api/api-code"
_DEEPSEEK = "https://api-docs.deepseek.com/quick_start/error_codes"
_AZURE = "https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter"

ROWS: tuple[Row, ...] = (
    # Too long. First, since it comes under 400, 413, 429 and 500, and never helps to send again.
    Row(Kind.CONTEXT_LENGTH, _OPENAI, code=("context_length_exceeded", "string_above_max_length")),
    Row(
        Kind.CONTEXT_LENGTH,
        "https://kerlig.com/help/open-ai/troubleshooting",
        status=(413, 429),
        pattern=_text(r"^request too large for (?:model|gpt|organization)"),
    ),
    Row(Kind.CONTEXT_LENGTH, "https://github.com/ggml-org/llama.cpp/pull/15780", type=("exceed_context_size_error",)),
    Row(
        Kind.CONTEXT_LENGTH,
        "https://github.com/vllm-project/vllm/issues/20409",
        pattern=_text(
            r"maximum context length (?:is|of) \d|longer than the (?:maximum )?model'?s? (?:context )?length"
        ),
    ),
    Row(Kind.CONTEXT_LENGTH, _ANTHROPIC, status=400, pattern=_text(r"prompt is too long|exceed context limit")),
    Row(
        Kind.CONTEXT_LENGTH,
        "https://github.com/google-gemini/gemini-cli/issues/6678",
        status=400,
        pattern=_text(r"input (?:token count|or output tokens).{0,40}exceeds the maximum number of tokens"),
    ),
    Row(
        Kind.CONTEXT_LENGTH,
        "https://docs.mistral.ai/api/",
        "mistral",
        (400, 422),
        pattern=_text(r"too large for model with \d+ maximum context|prompt contains \d+ tokens"),
    ),
    Row(
        Kind.CONTEXT_LENGTH,
        "https://docs.together.ai/docs/error-codes",
        pattern=_text(r"input.{0,60}max_(?:new_)?tokens.{0,40}must be (?:<=|less than)"),
    ),
    Row(
        Kind.CONTEXT_LENGTH,
        "https://github.com/abetlen/llama-cpp-python/issues/416",
        pattern=_text(r"requested tokens \(\d+\) exceed context window|exceeds? the available context size"),
    ),
    Row(
        Kind.CONTEXT_LENGTH,
        "https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/2339",
        pattern=_text(r"context size has been exceeded|greater than the context length"),
    ),
    Row(Kind.CONTEXT_LENGTH, _BIGMODEL, "zai", code=("1261",)),
    Row(Kind.CONTEXT_LENGTH, _ANTHROPIC, type=("request_too_large",)),
    # No money. Much of it comes as 429, and asking again costs three requests for nothing.
    Row(
        Kind.NO_CREDIT,
        _OPENAI,
        code=("insufficient_quota", "billing_not_active", "billing_hard_limit_reached", "credit_balance_exhausted"),
    ),
    Row(Kind.NO_CREDIT, _OPENAI, type=("insufficient_quota", "billing_not_active")),
    Row(Kind.NO_CREDIT, _ANTHROPIC, type=("billing_error",)),
    Row(
        Kind.NO_CREDIT,
        "https://github.com/anthropics/claude-code/issues/4684",
        status=(400, 403),
        pattern=_text(r"credit balance is too low"),
    ),
    Row(
        Kind.NO_CREDIT,
        _OPENROUTER,
        "openrouter",
        (402, 403, 429),
        pattern=_text(r"insufficient credits|requires more credits|key limit exceeded"),
    ),
    Row(Kind.NO_CREDIT, _ZAI, "zai", code=("1113", "1304", "1308", "1309", "1310")),
    Row(Kind.NO_CREDIT, _DEEPSEEK, pattern=_text(r"^insufficient balance")),
    Row(Kind.NO_CREDIT, _OPENROUTER, status=402),
    # The place.
    Row(
        Kind.REGION,
        "https://github.com/home-assistant/core/issues/120072",
        code=("unsupported_country_region_territory",),
    ),
    Row(
        Kind.REGION,
        "https://github.com/google-gemini/gemini-cli/issues/24641",
        status=(400, 403),
        pattern=_text(r"user location is not supported"),
    ),
    Row(
        Kind.REGION,
        "https://docs.anthropic.com/en/api/supported-regions",
        status=(400, 403),
        pattern=_text(r"not (?:supported|available|allowed) in your (?:country|region|location)"),
    ),
    Row(Kind.REGION, "https://www.rfc-editor.org/rfc/rfc7725", status=451),
    # The content.
    Row(Kind.CONTENT, _AZURE, code=("content_filter", "responsibleaipolicyviolation")),
    Row(
        Kind.CONTENT,
        "https://platform.openai.com/docs/guides/image-generation",
        code=("content_policy_violation", "moderation_blocked", "invalid_prompt"),
    ),
    Row(Kind.CONTENT, _ZAI, "zai", code=("1301",)),
    Row(
        Kind.CONTENT,
        _OPENROUTER,
        "openrouter",
        403,
        pattern=_text(r"requires moderation|was flagged|flagged for"),
    ),
    Row(
        Kind.CONTENT,
        "https://github.com/anthropics/claude-code/issues/6195",
        status=400,
        pattern=_text(r"blocked by (?:our )?content filter|content filtering policy|content management policy"),
    ),
    Row(
        Kind.CONTENT,
        "https://github.com/deepseek-ai/awesome-deepseek-integration/issues/13",
        status=400,
        pattern=_text(r"^content exists risk"),
    ),
    # The model.
    Row(Kind.MODEL_UNKNOWN, _OPENAI, code=("model_not_found", "model_not_available", "unknown_model")),
    Row(
        Kind.MODEL_UNKNOWN,
        "https://console.groq.com/docs/deprecations",
        code=("model_decommissioned", "model_terms_required", "model_permission_blocked_project"),
    ),
    Row(Kind.MODEL_UNKNOWN, "https://github.com/mistralai/mistral-vibe/issues/617", "mistral", type=("invalid_model",)),
    Row(Kind.MODEL_UNKNOWN, _ZAI, "zai", code=("1211", "1311")),
    Row(
        Kind.MODEL_UNKNOWN,
        _OPENROUTER,
        "openrouter",
        (400, 404),
        pattern=_text(r"is not a valid model id|no (?:allowed )?(?:providers|endpoints)\b.{0,30}(?:available|found)"),
    ),
    Row(
        Kind.MODEL_UNKNOWN,
        "https://github.com/ollama/ollama/issues/15027",
        status=(400, 403, 404, 500),
        pattern=_text(r"\bmodel\b.{0,200}\b(?:not found|does not exist|not exist\b|is not supported for)"),
    ),
    # The key.
    Row(
        Kind.KEY_INVALID,
        _GOOGLE,
        code=("api_key_invalid", "api_key_service_blocked", "consumer_suspended", "service_disabled"),
    ),
    Row(Kind.KEY_INVALID, _OPENAI, code=("invalid_api_key", "account_deactivated", "invalid_organization")),
    Row(Kind.KEY_INVALID, _ANTHROPIC, type=("authentication_error",)),
    Row(
        Kind.KEY_INVALID,
        _ZAI,
        "zai",
        code=("1000", "1001", "1002", "1003", "1004", "1110", "1111", "1112", "1121"),
    ),
    Row(
        Kind.KEY_INVALID,
        _GOOGLE,
        status=(400, 403),
        pattern=_text(r"api key (?:not valid|not found|expired)|incorrect api key|invalid api[ _-]?key"),
    ),
    # A field that is not taken.
    Row(
        Kind.PARAMETER,
        "https://github.com/musistudio/claude-code-router/issues/1215",
        status=400,
        pattern=_text(r"reasoning is mandatory for this endpoint"),
    ),
    Row(
        Kind.PARAMETER,
        "https://github.com/appatalks/eva-agent/issues/83",
        status=(400, 422),
        code=("unsupported_parameter", "unsupported_value", "unknown_parameter"),
    ),
    Row(
        Kind.PARAMETER,
        "https://github.com/OpenHands/software-agent-sdk/issues/1837",
        status=(400, 422),
        pattern=_text(r"^un(?:supported|known|recognized) (?:parameter|value|request argument)"),
    ),
    Row(
        Kind.PARAMETER,
        "https://docs.pydantic.dev/latest/errors/validation_errors/#extra_forbidden",
        status=(400, 422),
        pattern=_text(r"extra inputs are not permitted|extra_forbidden"),
    ),
    Row(Kind.PARAMETER, _GROQ, status=400, pattern=_text(r"property '[^']{1,100}' is unsupported")),
    Row(Kind.PARAMETER, _GOOGLE, status=400, pattern=_text(r"unknown name \"[^\"]{1,100}\".{0,80}cannot find field")),
    # Too much, of this key or of all.
    Row(Kind.OVERLOADED, _ANTHROPIC, type=("overloaded_error",)),
    Row(Kind.OVERLOADED, _ANTHROPIC, status=529),
    Row(Kind.OVERLOADED, _OPENAI, code=("server_is_overloaded", "slow_down", "engine_overloaded")),
    Row(Kind.OVERLOADED, "https://console.groq.com/docs/flex-processing", code=("capacity_exceeded",)),
    Row(Kind.OVERLOADED, _GROQ, status=498),
    Row(Kind.OVERLOADED, _ZAI, "zai", code=("1312",)),
    Row(
        Kind.OVERLOADED,
        "https://github.com/google-gemini/gemini-cli/issues/23520",
        status=(429, 503),
        code=("model_capacity_exhausted",),
    ),
    Row(Kind.OVERLOADED, "https://github.com/ggml-org/llama.cpp/tree/master/tools/server", type=("unavailable_error",)),
    Row(
        Kind.OVERLOADED,
        "https://github.com/ollama/ollama/issues/15934",
        status=503,
        pattern=_text(r"overloaded|server busy|loading model|no capacity|too many requests"),
    ),
    Row(Kind.RATE, _ZAI, "zai", code=("1302", "1303", "1305", "1313")),
    Row(Kind.RATE, _OPENAI, code=("rate_limit_exceeded", "resource_exhausted")),
    Row(Kind.RATE, _ANTHROPIC, type=("rate_limit_error", "rate_limited")),
)
