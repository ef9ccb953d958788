"""The rows of the table of what errors mean that are about who asks, and from where: credit, the key, the place."""

from __future__ import annotations

from skyproxy.errors import ErrorKind
from skyproxy.formats.error_row import Row, text

_OPENAI = "https://platform.openai.com/docs/guides/error-codes"
_ANTHROPIC = "https://docs.anthropic.com/en/api/errors"
_GOOGLE = "https://ai.google.dev/gemini-api/docs/troubleshooting"
_OPENROUTER = "https://openrouter.ai/docs/api-reference/errors"
_OPENROUTER_TYPES = "https://openrouter.ai/docs/client-sdks/python/components/apierrortype"
_ZAI = "https://docs.z.ai/api-reference/api-code"
_DEEPSEEK = "https://api-docs.deepseek.com/quick_start/error_codes"
_MINIMAX = "https://platform.minimax.io/docs/api-reference/errorcode"
_OPENCODE = "https://github.com/anomalyco/opencode/blob/dev/packages/console/app/src/routes/zen/util/handler.ts"
_CLOUDFLARE = "https://developers.cloudflare.com/changelog/post/2026-03-11-json-rfc9457-responses-for-1xxx-errors/"

NO_CREDIT: tuple[Row, ...] = (
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
    Row(
        ErrorKind.NO_CREDIT,
        "https://github.com/popjane/free_chatgpt_api/issues/78",
        code=("insufficient_user_quota", "not_enough_balance", "insufficient_balance", "budget_exceeded"),
    ),
    Row(
        ErrorKind.NO_CREDIT,
        "https://github.com/pollinations/pollinations/issues/12136",
        status=412,
        pattern=text(r"reaching the monthly spending limit|failure to pay past invoices"),
    ),
    Row(
        ErrorKind.NO_CREDIT,
        "https://platform.claude.com/docs/en/api/rate-limits",
        status=(400, 403, 429),
        pattern=text(r"reached your (?:specified (?:workspace )?(?:api )?|api )usage limits"),
    ),
    Row(
        ErrorKind.NO_CREDIT,
        "https://github.com/earendil-works/pi/issues/2943",
        status=400,
        pattern=text(r"\bout of extra usage\b|\bdraw from your extra usage\b"),
    ),
    Row(
        ErrorKind.NO_CREDIT,
        "https://help.apiyi.com/en/ai-studio-monthly-spending-cap-429-solution-en.html",
        status=429,
        pattern=text(r"exceeded its monthly spending cap"),
    ),
    Row(
        ErrorKind.NO_CREDIT,
        "https://developers.cloudflare.com/workers-ai/platform/errors/",
        status=429,
        pattern=text(r"used up your daily free allocation"),
    ),
    Row(
        ErrorKind.NO_CREDIT,
        "https://developers.openai.com/api/docs/guides/spend-limits",
        code=("organization_spend_limit_exceeded", "project_spend_limit_exceeded", "organization_usage_limit_exceeded"),
    ),
    # Its documentation names the first code, and its answers the second.
    Row(
        ErrorKind.NO_CREDIT,
        "https://console.groq.com/docs/spend-limits",
        code=("blocked_api_access", "spend_limit_reached"),
    ),
    Row(
        ErrorKind.NO_CREDIT,
        "https://openrouter.ai/docs/guides/features/workspaces/workspace-budgets",
        "openrouter",
        403,
        pattern=text(r"^workspace (?:daily |weekly |monthly |lifetime )?budget of .{1,40} exceeded"),
    ),
    Row(
        ErrorKind.NO_CREDIT,
        "https://www.developersdigest.tech/errors/api/openrouter/403-budget-limit-exceeded",
        code=(
            "limit_source.openrouter_guardrail_budget",
            "limit_source.openrouter_workspace_budget",
            "limit_source.openrouter_key_limit",
        ),
    ),
    # By what it is called: its words are in the language of who asks, and its status is a bad key's.
    Row(ErrorKind.NO_CREDIT, _OPENCODE, status=401, type=("creditserror", "monthlylimiterror", "userlimiterror")),
    Row(
        ErrorKind.NO_CREDIT,
        "https://github.com/proxysoul/Empryo/issues/132",
        status=(403, 429),
        pattern=text(r"credit balance is exhausted"),
    ),
    Row(
        ErrorKind.NO_CREDIT,
        "https://github.com/NanmiCoder/cc-haha/issues/1208",
        status=(402, 403),
        pattern=text(r"reached your usage limit for this billing cycle"),
    ),
    Row(ErrorKind.NO_CREDIT, "https://www.volcengine.com/docs/82379/1099476", code=("accountoverdueerror",)),
    Row(
        ErrorKind.NO_CREDIT,
        "https://github.com/NousResearch/hermes-agent/blob/main/agent/error_classifier.py",
        code=("personal-team-blocked:spending-limit",),
    ),
    Row(
        ErrorKind.NO_CREDIT,
        "https://docs.siliconflow.cn/en/faqs/error-code",
        status=(400, 403),
        pattern=text(r"balance is (?:insufficient|not enough)|not enough (?:balance|credits)|have any credits\b"),
    ),
    Row(ErrorKind.NO_CREDIT, _OPENROUTER, status=402),
    Row(ErrorKind.NO_CREDIT, _OPENROUTER_TYPES, code=("error_type.payment_required",)),
)

REGION: tuple[Row, ...] = (
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
    Row(
        ErrorKind.REGION,
        "https://github.com/Davidvandijcke/coarse/issues/183",
        status=(400, 403),
        pattern=text(r"prohibited due to a violation of provider terms of service"),
    ),
    # What stands before the provider lets nobody through who comes from here, or as skyproxy does.
    Row(ErrorKind.REGION, _CLOUDFLARE, status=403, code=("cloudflare_error",)),
    Row(
        ErrorKind.REGION,
        "https://github.com/lobehub/lobehub/issues/2147",
        status=403,
        pattern=text(
            r"sorry, you have been blocked|attention required! \| cloudflare|^just a moment\.\.\.|^error code: 10\d\d$"
            r"|check your network settings"
        ),
    ),
)

KEY_INVALID: tuple[Row, ...] = (
    Row(
        ErrorKind.KEY_INVALID,
        _GOOGLE,
        code=("api_key_invalid", "api_key_service_blocked", "consumer_suspended", "service_disabled"),
    ),
    Row(ErrorKind.KEY_INVALID, _OPENAI, code=("invalid_api_key", "account_deactivated", "invalid_organization")),
    Row(ErrorKind.KEY_INVALID, _ANTHROPIC, type=("authentication_error",)),
    Row(ErrorKind.KEY_INVALID, _OPENROUTER_TYPES, code=("error_type.authentication",)),
    Row(ErrorKind.KEY_INVALID, _MINIMAX, code=("1004", "2049"), pattern=text(r"login fail|invalid api key")),
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
    Row(
        ErrorKind.KEY_INVALID,
        "https://github.com/NVIDIA-NeMo/Guardrails/issues/563",
        code=("organization_restricted",),
    ),
    Row(
        ErrorKind.KEY_INVALID,
        "https://github.com/anthropics/claude-code/issues/19028",
        status=(400, 403),
        pattern=text(r"\b(?:organization|account) has been (?:disabled|deactivated|suspended)"),
    ),
)
