"""Which answer means what, by provider: one row for each quirk, with the page or thread that shows it.

To add a quirk, add a row here, or where those of its kind are (``length_rows``, ``account_rows``, ``model_rows``), and
its body to ``tests/unit/formats/test_error_kinds.py``. The first row that fits counts.
"""

from __future__ import annotations

from skyproxy.errors import ErrorKind
from skyproxy.formats.account_rows import KEY_INVALID, NO_CREDIT, REGION
from skyproxy.formats.error_row import Row, text
from skyproxy.formats.length_rows import TOO_LONG
from skyproxy.formats.model_rows import CONTENT, MODEL_UNKNOWN

_OPENAI = "https://platform.openai.com/docs/guides/error-codes"
_ANTHROPIC = "https://docs.anthropic.com/en/api/errors"
_GOOGLE = "https://ai.google.dev/gemini-api/docs/troubleshooting"
_GROQ = "https://console.groq.com/docs/errors"
_OPENROUTER = "https://openrouter.ai/docs/client-sdks/python/components/apierrortype"
_OPENROUTER_LIMITS = "https://github.com/OpenRouterTeam/docs/blob/main/api_reference/limits.mdx"
_ZAI = "https://docs.z.ai/api-reference/api-code"
_MINIMAX = "https://platform.minimax.io/docs/api-reference/errorcode"

ROWS: tuple[Row, ...] = (
    # Too long. First, since it comes under 400, 413, 429 and 500, and never helps to send again.
    *TOO_LONG,
    # What is asked at the same time may cost more than there is, though all of it one after another does not.
    Row(ErrorKind.RATE, _OPENROUTER_LIMITS, code=("limit_source.openrouter_in_flight_budget",)),
    # No money. Much of it comes as 429, and asking again costs three requests for nothing.
    *NO_CREDIT,
    *REGION,
    *CONTENT,
    *MODEL_UNKNOWN,
    *KEY_INVALID,
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
        pattern=text(r"only works in thinking mode|thinking (?:mode )?(?:can't|cannot) be (?:disabled|turned off)"),
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
        "https://github.com/open-webui/open-webui/issues/21266",
        status=400,
        pattern=text(r"does not support parameter \w|^argument not supported on this model"),
    ),
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
    Row(ErrorKind.OVERLOADED, _OPENROUTER, code=("error_type.provider_overloaded",)),
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
    Row(
        ErrorKind.RATE,
        "https://github.com/NousResearch/hermes-agent/blob/main/tests/agent/test_error_classifier.py",
        status=(400, 429),
        pattern=text(r"request rate increased too quickly"),
    ),
    Row(ErrorKind.RATE, _OPENROUTER, code=("error_type.rate_limit_exceeded",)),
    # iFlow's, by 200.
    Row(
        ErrorKind.RATE,
        "https://github.com/router-for-me/CLIProxyAPI/blob/main/internal/runtime/executor/iflow_executor_test.go",
        status=449,
    ),
    Row(ErrorKind.RATE, _MINIMAX, code=("1002", "1039"), pattern=text(r"rate limit|token limit")),
    # What the model made is not what was asked for, which it says by 400.
    Row(
        ErrorKind.BROKEN,
        "https://github.com/thepersonalaicompany/amurex-backend/issues/38",
        status=400,
        code=("json_validate_failed", "tool_use_failed", "output_parse_failed"),
    ),
    Row(
        ErrorKind.BROKEN,
        _OPENROUTER,
        code=("error_type.provider_unavailable", "error_type.server", "error_type.timeout"),
    ),
    # LiteLLM's, of a model whose providers have all failed.
    Row(
        ErrorKind.BROKEN,
        "https://github.com/continuedev/continue/issues/10976",
        status=400,
        pattern=text(r"there are no healthy deployments for this model"),
    ),
    # A server on this machine that has no model at hand, which it says by 400.
    Row(
        ErrorKind.BROKEN,
        "https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/1050",
        status=400,
        pattern=text(
            r"^the model has crashed|^failed to load model|^no models loaded|^model (?:is )?(?:un|re)loaded\b"
            r"|^channel error"
        ),
    ),
)
