"""Which answer means what, by provider: one row for each quirk, with the page or thread that shows it.

To add a quirk, add a row here and its body to ``tests/unit/formats/test_error_kinds.py``. The first row that fits
counts.
"""

from __future__ import annotations

from skyproxy.errors import ErrorKind
from skyproxy.formats.error_row import Row, text
from skyproxy.formats.length_rows import TOO_LONG

_OPENAI = "https://platform.openai.com/docs/guides/error-codes"
_ANTHROPIC = "https://docs.anthropic.com/en/api/errors"
_GOOGLE = "https://ai.google.dev/gemini-api/docs/troubleshooting"
_OPENROUTER = "https://openrouter.ai/docs/api-reference/errors"
_GROQ = "https://console.groq.com/docs/errors"
_ZAI = "https://docs.z.ai/api-reference/api-code"
_DEEPSEEK = "https://api-docs.deepseek.com/quick_start/error_codes"
_AZURE = "https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter"

ROWS: tuple[Row, ...] = (
    # Too long. First, since it comes under 400, 413, 429 and 500, and never helps to send again.
    *TOO_LONG,
    # No money. Much of it comes as 429, and asking again costs three requests for nothing.
    Row(
        ErrorKind.NO_CREDIT,
        _OPENAI,
        code=("insufficient_quota", "billing_not_active", "billing_hard_limit_reached", "credit_balance_exhausted"),
    ),
    Row(ErrorKind.NO_CREDIT, _OPENAI, type=("insufficient_quota", "billing_not_active")),
    Row(ErrorKind.NO_CREDIT, _ANTHROPIC, type=("billing_error",)),
    Row(
        ErrorKind.NO_CREDIT,
        "https://github.com/anthropics/claude-code/issues/4684",
        status=(400, 403),
        pattern=text(r"credit balance is too low"),
    ),
    Row(
        ErrorKind.NO_CREDIT,
        _OPENROUTER,
        "openrouter",
        (402, 403, 429),
        pattern=text(r"insufficient credits|requires more credits|key limit exceeded"),
    ),
    Row(ErrorKind.NO_CREDIT, _ZAI, "zai", code=("1113", "1304", "1308", "1309", "1310")),
    Row(ErrorKind.NO_CREDIT, "https://github.com/666ghj/BettaFish/issues/524", type=("exceeded_current_quota_error",)),
    Row(ErrorKind.NO_CREDIT, "https://github.com/hsliuping/TradingAgents-CN/issues/170", code=("arrearage",)),
    Row(
        ErrorKind.NO_CREDIT,
        "https://github.com/continuedev/continue/issues/10373",
        status=(403, 429),
        pattern=text(r"used all available credits|run out of credits|credits are depleted"),
    ),
    Row(ErrorKind.NO_CREDIT, _DEEPSEEK, pattern=text(r"^insufficient (?:account )?balance")),
    Row(ErrorKind.NO_CREDIT, _OPENROUTER, status=402),
    # The place.
    Row(
        ErrorKind.REGION,
        "https://github.com/home-assistant/core/issues/120072",
        code=("unsupported_country_region_territory",),
    ),
    Row(
        ErrorKind.REGION,
        "https://github.com/google-gemini/gemini-cli/issues/24641",
        status=(400, 403),
        pattern=text(r"user location is not supported"),
    ),
    Row(
        ErrorKind.REGION,
        "https://docs.anthropic.com/en/api/supported-regions",
        status=(400, 403),
        pattern=text(r"not (?:supported|available|allowed) in your (?:country|region|location)"),
    ),
    Row(ErrorKind.REGION, "https://www.rfc-editor.org/rfc/rfc7725", status=451),
    # The content.
    Row(ErrorKind.CONTENT, _AZURE, code=("content_filter", "responsibleaipolicyviolation")),
    Row(
        ErrorKind.CONTENT,
        "https://platform.openai.com/docs/guides/image-generation",
        code=("content_policy_violation", "moderation_blocked", "invalid_prompt"),
    ),
    Row(ErrorKind.CONTENT, _ZAI, "zai", code=("1301",)),
    Row(
        ErrorKind.CONTENT,
        _OPENROUTER,
        "openrouter",
        403,
        pattern=text(r"requires moderation|was flagged|flagged for"),
    ),
    Row(
        ErrorKind.CONTENT,
        "https://github.com/anthropics/claude-code/issues/6195",
        status=400,
        pattern=text(r"blocked by (?:our )?content filter|content filtering policy|content management policy"),
    ),
    Row(
        ErrorKind.CONTENT,
        "https://github.com/deepseek-ai/awesome-deepseek-integration/issues/13",
        status=400,
        pattern=text(r"^content exists risk"),
    ),
    Row(
        ErrorKind.CONTENT,
        "https://github.com/theopenco/llmgateway/pull/1785",
        status=403,
        pattern=text(r"^content violates usage guidelines"),
    ),
    Row(
        ErrorKind.CONTENT,
        "https://github.com/QwenLM/qwen-code/issues/3145",
        status=400,
        pattern=text(r"may contain inappropriate content"),
    ),
    # The model.
    Row(ErrorKind.MODEL_UNKNOWN, _OPENAI, code=("model_not_found", "model_not_available", "unknown_model")),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://console.groq.com/docs/deprecations",
        code=("model_decommissioned", "model_terms_required", "model_permission_blocked_project"),
    ),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/mistralai/mistral-vibe/issues/617",
        "mistral",
        type=("invalid_model",),
    ),
    Row(ErrorKind.MODEL_UNKNOWN, _ZAI, "zai", code=("1211", "1311")),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        _OPENROUTER,
        "openrouter",
        (400, 404),
        pattern=text(r"is not a valid model id|no (?:allowed )?(?:providers|endpoints)\b.{0,30}(?:available|found)"),
    ),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/ollama/ollama/issues/15027",
        status=(400, 403, 404, 500),
        pattern=text(r"\bmodel\b.{0,200}\b(?:not found|does not exist|not exist\b|is not supported for)"),
    ),
    # The key.
    Row(
        ErrorKind.KEY_INVALID,
        _GOOGLE,
        code=("api_key_invalid", "api_key_service_blocked", "consumer_suspended", "service_disabled"),
    ),
    Row(ErrorKind.KEY_INVALID, _OPENAI, code=("invalid_api_key", "account_deactivated", "invalid_organization")),
    Row(ErrorKind.KEY_INVALID, _ANTHROPIC, type=("authentication_error",)),
    Row(
        ErrorKind.KEY_INVALID,
        _ZAI,
        "zai",
        code=("1000", "1001", "1002", "1003", "1004", "1110", "1111", "1112", "1121"),
    ),
    Row(
        ErrorKind.KEY_INVALID,
        _GOOGLE,
        status=(400, 403),
        pattern=text(
            r"api[ _]key (?:is )?(?:not valid|not found|expired|invalid|missing)|(?:incorrect|invalid) api[ _-]?key"
        ),
    ),
    # A field that is not taken.
    Row(
        ErrorKind.PARAMETER,
        "https://github.com/musistudio/claude-code-router/issues/1215",
        status=400,
        pattern=text(r"reasoning is mandatory for this endpoint"),
    ),
    Row(
        ErrorKind.PARAMETER,
        "https://github.com/vercel/ai/issues/8027",
        status=400,
        pattern=text(r"only works in thinking mode|thinking (?:can't|cannot) be (?:disabled|turned off)"),
    ),
    Row(
        ErrorKind.PARAMETER,
        "https://github.com/RooCodeInc/Roo-Code/issues/10700",
        status=400,
        pattern=text(r"\bthinking (?:level |budget )?is not (?:supported|enabled)\b"),
    ),
    Row(
        ErrorKind.PARAMETER,
        "https://github.com/ollama/ollama/issues/12561",
        status=400,
        pattern=text(r"does not support thinking|^think value .{1,40} is not supported"),
    ),
    Row(
        ErrorKind.PARAMETER,
        "https://github.com/appatalks/eva-agent/issues/83",
        status=(400, 422),
        code=("unsupported_parameter", "unsupported_value", "unknown_parameter"),
    ),
    Row(
        ErrorKind.PARAMETER,
        "https://github.com/OpenHands/software-agent-sdk/issues/1837",
        status=(400, 422),
        pattern=text(r"^un(?:supported|known|recognized) (?:parameter|value|request argument)"),
    ),
    Row(
        ErrorKind.PARAMETER,
        "https://docs.pydantic.dev/latest/errors/validation_errors/#extra_forbidden",
        status=(400, 422),
        pattern=text(r"extra inputs are not permitted|extra_forbidden"),
    ),
    Row(ErrorKind.PARAMETER, _GROQ, status=400, pattern=text(r"property '[^']{1,100}' is unsupported")),
    Row(
        ErrorKind.PARAMETER,
        _GOOGLE,
        status=400,
        pattern=text(r"unknown name \"[^\"]{1,100}\".{0,80}cannot find field"),
    ),
    # Too much, of this key or of all.
    Row(ErrorKind.OVERLOADED, _ANTHROPIC, type=("overloaded_error",)),
    Row(ErrorKind.OVERLOADED, _ANTHROPIC, status=529),
    Row(ErrorKind.OVERLOADED, _OPENAI, code=("server_is_overloaded", "slow_down", "engine_overloaded")),
    Row(ErrorKind.OVERLOADED, "https://github.com/MoonshotAI/kimi-cli/issues/2209", type=("engine_overloaded_error",)),
    Row(ErrorKind.OVERLOADED, "https://console.groq.com/docs/flex-processing", code=("capacity_exceeded",)),
    Row(ErrorKind.OVERLOADED, _GROQ, status=498),
    Row(ErrorKind.OVERLOADED, _ZAI, "zai", code=("1312",)),
    Row(
        ErrorKind.OVERLOADED,
        "https://github.com/google-gemini/gemini-cli/issues/23520",
        status=(429, 503),
        code=("model_capacity_exhausted",),
    ),
    Row(
        ErrorKind.OVERLOADED,
        "https://github.com/ggml-org/llama.cpp/tree/master/tools/server",
        type=("unavailable_error",),
    ),
    Row(
        ErrorKind.OVERLOADED,
        "https://github.com/ollama/ollama/issues/15934",
        status=503,
        pattern=text(r"overloaded|server busy|loading model|no capacity|too many requests"),
    ),
    Row(ErrorKind.RATE, _ZAI, "zai", code=("1302", "1303", "1305", "1313")),
    Row(ErrorKind.RATE, _OPENAI, code=("rate_limit_exceeded", "resource_exhausted")),
    Row(ErrorKind.RATE, _ANTHROPIC, type=("rate_limit_error", "rate_limited")),
    # A server on this machine that has no model at hand, which it says by 400.
    Row(
        ErrorKind.BROKEN,
        "https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/1050",
        status=400,
        pattern=text(r"^the model has crashed|^failed to load model|^no models loaded"),
    ),
)
