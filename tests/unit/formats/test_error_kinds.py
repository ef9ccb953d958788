"""What errors of real providers mean: for each row of the table a body that was seen, or is documented."""

from __future__ import annotations

from typing import Any

import orjson
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import ErrorKind
from skyproxy.formats.error_body import read_error
from skyproxy.formats.error_kinds import ACTIONS, ROWS, kind_of, parameter_of


def _error(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


def _google(code: int, message: str, status: str, **detail: Any) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if detail:
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", **detail}]
    return {"error": error}


def _zai(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _anthropic(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def _passed_on(code: int, raw: str) -> dict[str, Any]:
    return _error("Provider returned error", code=code, metadata={"raw": raw, "provider_name": "X"})


REASONING = "Reasoning is mandatory for this endpoint and cannot be disabled."

BODIES: list[tuple[str, int, Any, ErrorKind]] = [
    # Too long.
    ("openai", 400, _error("This model's maximum context length is 128000 tokens. However, your messages resulted in "
        "130000 tokens.", type="invalid_request_error", param="messages", code="context_length_exceeded"),
        ErrorKind.CONTEXT_LENGTH),
    ("openai", 429, _error("Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, "
        "Requested 40000.", type="tokens", code="rate_limit_exceeded"), ErrorKind.CONTEXT_LENGTH),
    ("groq", 413, _error("Request too large for model `llama-3.1-8b-instant` in organization `org_x`", type="tokens",
        code="rate_limit_exceeded"), ErrorKind.CONTEXT_LENGTH),
    ("local", 400, {"error": {"code": 400, "message": "the request exceeds the available context size. try increasing "
        "the context size or enable context shift", "type": "exceed_context_size_error", "n_prompt_tokens": 14429,
        "n_ctx": 8192}}, ErrorKind.CONTEXT_LENGTH),
    ("local", 500, {"error": {"code": 500, "message": "the request exceeds the available context size.", "type":
        "exceed_context_size_error"}}, ErrorKind.CONTEXT_LENGTH),
    ("local", 400, {"object": "error", "message": "This model's maximum context length is 16384 tokens. However, you "
        "requested 122946 tokens.", "type": "BadRequestError", "param": None, "code": 400}, ErrorKind.CONTEXT_LENGTH),
    ("openai", 400, _anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
        ErrorKind.CONTEXT_LENGTH),
    ("google", 400, _google(400, "The input token count (1200000) exceeds the maximum number of tokens allowed "
        "(1048576).", "INVALID_ARGUMENT"), ErrorKind.CONTEXT_LENGTH),
    ("mistral", 400, {"object": "error", "message": "Prompt contains 40000 tokens and 0 draft tokens, too large for "
        "model with 32768 maximum context length", "type": "invalid_request_error", "code": "3051"},
        ErrorKind.CONTEXT_LENGTH),
    ("openai", 422, _error("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8192. Given: 9000",
        type="invalid_request_error"), ErrorKind.CONTEXT_LENGTH),
    ("local", 500, _error("Requested tokens (2285) exceed context window of 2048", type="internal_server_error"),
        ErrorKind.CONTEXT_LENGTH),
    ("local", 400, {"error": "Context size has been exceeded."}, ErrorKind.CONTEXT_LENGTH),
    ("zai", 400, _zai("1261", "Prompt exceeds max length"), ErrorKind.CONTEXT_LENGTH),
    ("openai", 400, _error("Your input exceeds the context window of this model. Please adjust your input and try "
        "again.", type="invalid_request_error", param="input"), ErrorKind.CONTEXT_LENGTH),
    ("openai", 400, _error("invalid params, context window exceeds limit (2013)"), ErrorKind.CONTEXT_LENGTH),
    ("local", 400, {"error": "the input length exceeds the context length"}, ErrorKind.CONTEXT_LENGTH),
    ("openai", 400, {"message": "Please reduce the length of the messages or completion. Current length is 42328 while "
        "limit is 40000", "type": "invalid_request_error"}, ErrorKind.CONTEXT_LENGTH),
    ("local", 400, {"object": "error", "message": "You passed 4097 input tokens and requested 100 output tokens. "
        "However, the model's context length is only 4096 tokens.", "type": "BadRequestError", "code": 400},
        ErrorKind.CONTEXT_LENGTH),
    ("local", 400, {"error": "Trying to keep the first 111490 tokens when context the overflows. However, the model is "
        "loaded with context length of only 32768 tokens, which is not enough."}, ErrorKind.CONTEXT_LENGTH),
    ("local", 200, {"error": "Reached context length of 4096 tokens with model (arch: qwen3vlmoe) that does not "
        "currently support mid-generation context overflow."}, ErrorKind.CONTEXT_LENGTH),
    ("openai", 400, {"code": "Client specified an invalid argument", "error": "This model's maximum prompt length is "
        "131072 but the request contains 136973 tokens."}, ErrorKind.CONTEXT_LENGTH),
    ("openai", 400, _error("Invalid request: Your request exceeded model token limit: 8192 (requested: 9000)",
        type="invalid_request_error"), ErrorKind.CONTEXT_LENGTH),
    ("openai", 400, _error("Input is too long for requested model."), ErrorKind.CONTEXT_LENGTH),
    ("openai", 400, _error("<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 98304]",
        type="invalid_request_error", code="invalid_parameter_error"), ErrorKind.CONTEXT_LENGTH),
    ("openai", 413, _anthropic("request_too_large", "Request exceeds the maximum size"), ErrorKind.CONTEXT_LENGTH),
    ("openai", 413, "", ErrorKind.CONTEXT_LENGTH),
    ("openrouter", 400, _error("Provider returned error", code=400, metadata={"provider_name": "X", "raw":
        '{"error":{"message":"This model\'s maximum context length is 32768 tokens."}}'}), ErrorKind.CONTEXT_LENGTH),
    ("openrouter", 400, _passed_on(400, '{"object":"error","message":"Prompt contains 40000 tokens and 0 draft tokens, '
        'too large for model with 32768 maximum context length","code":"3051"}'), ErrorKind.CONTEXT_LENGTH),
    ("openrouter", 400, _passed_on(400, '{"error":{"code":"1261","message":"Prompt exceeds max length"}}'),
        ErrorKind.CONTEXT_LENGTH),
    ("local", 400, {"error": "prompt too long; exceeded max context length by 12 tokens"}, ErrorKind.CONTEXT_LENGTH),
    ("openai", 400, _error("Input length (265330) exceeds model's maximum context length (262144)."),
        ErrorKind.CONTEXT_LENGTH),
    ("openrouter", 400, _passed_on(400, "Input length 40000 exceeds the maximum allowed input length of 32768 tokens."),
        ErrorKind.CONTEXT_LENGTH),
    ("openai", 400, _error("prompt token count of 130000 exceeds the limit of 128000",
        code="model_max_prompt_tokens_exceeded"), ErrorKind.CONTEXT_LENGTH),
    ("openai", 400, {"message": "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received "
        "4500."}, ErrorKind.CONTEXT_LENGTH),
    # No money.
    ("openai", 429, _error("You exceeded your current quota, please check your plan and billing details.",
        type="insufficient_quota", code="insufficient_quota"), ErrorKind.NO_CREDIT),
    ("openai", 429, _error("Your account is not active.", type="billing_not_active"), ErrorKind.NO_CREDIT),
    ("openai", 402, _anthropic("billing_error", "There is an issue with your billing"), ErrorKind.NO_CREDIT),
    ("openai", 400, _anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API. "
        "Please go to Plans & Billing to upgrade or purchase credits."), ErrorKind.NO_CREDIT),
    ("openrouter", 403, _error("Key limit exceeded (total limit). Manage it using the settings.", code=403),
        ErrorKind.NO_CREDIT),
    (
        "openrouter", 402, _error("This request requires more credits, or fewer max_tokens.", code=402),
        ErrorKind.NO_CREDIT,
    ),
    ("zai", 429, _zai("1113", "Insufficient balance or no resource package. Please recharge."), ErrorKind.NO_CREDIT),
    ("openai", 400, _error("Insufficient Balance", type="unknown_error", code="invalid_request_error"),
        ErrorKind.NO_CREDIT),
    ("openai", 403, {"code": "INSUFFICIENT_BALANCE", "message": "Insufficient account balance"}, ErrorKind.NO_CREDIT),
    ("openai", 429, _error("Your account org-1 is suspended due to insufficient balance, please recharge your account",
        type="exceeded_current_quota_error"), ErrorKind.NO_CREDIT),
    ("openai", 400, _error("Access denied, please make sure your account is in good standing.", code="Arrearage",
        type="Arrearage"), ErrorKind.NO_CREDIT),
    ("openai", 429, {"code": "Some resource has been exhausted", "error": "Your team 16f2 has either used all "
        "available credits or reached its monthly spending limit."}, ErrorKind.NO_CREDIT),
    ("google", 429, _google(429, "Your prepayment credits are depleted. Please go to AI Studio.", "RESOURCE_EXHAUSTED"),
        ErrorKind.NO_CREDIT),
    ("openai", 402, "", ErrorKind.NO_CREDIT),
    # The place.
    ("openai", 403, _error("Country, region, or territory not supported", type="request_forbidden",
        code="unsupported_country_region_territory"), ErrorKind.REGION),
    ("google", 400, _google(400, "User location is not supported for the API use.", "FAILED_PRECONDITION"),
        ErrorKind.REGION),
    ("openai", 403, _error("This service is not available in your country."), ErrorKind.REGION),
    ("openai", 451, "", ErrorKind.REGION),
    # The content.
    ("openai", 400, _error("The response was filtered due to the prompt triggering Azure OpenAI's content management "
        "policy.", type=None, param="prompt", code="content_filter", status=400,
        innererror={"code": "ResponsibleAIPolicyViolation"}), ErrorKind.CONTENT),
    ("openai", 400, _error("Your request was rejected by the safety system.", code="content_policy_violation"),
        ErrorKind.CONTENT),
    ("zai", 400, _zai("1301", "System detected potentially unsafe or sensitive content"), ErrorKind.CONTENT),
    ("openrouter", 403, _error("openai/gpt-4o requires moderation on OpenAI. Your input was flagged for "
        '"sexual/minors".', code=403, metadata={"reasons": ["sexual/minors"]}), ErrorKind.CONTENT),
    (
        "openai", 400, _anthropic("invalid_request_error", "Output blocked by content filtering policy"),
        ErrorKind.CONTENT,
    ),
    ("openai", 400, _error("Content Exists Risk", type="invalid_request_error"), ErrorKind.CONTENT),
    ("openai", 403, {"code": "The caller does not have permission to execute the specified operation", "error":
        "Content violates usage guidelines. Team: x, Failed check: SAFETY_CHECK_TYPE_BIO"}, ErrorKind.CONTENT),
    ("openai", 400, _error("<400> InternalError.Algo.DataInspectionFailed: Input text data may contain inappropriate "
        "content.", code="data_inspection_failed"), ErrorKind.CONTENT),
    ("openai", 400, _error("no", type="content_policy_violation", code=400), ErrorKind.CONTENT),
    ("openai", 400, _error("later", type=None, code="rate_limit_error"), ErrorKind.RATE),
    # The model.
    ("openai", 404, _error("The model `gpt-9` does not exist or you do not have access to it.",
        type="invalid_request_error", code="model_not_found"), ErrorKind.MODEL_UNKNOWN),
    ("groq", 400, _error("The model `mixtral-8x7b-32768` has been decommissioned.", type="invalid_request_error",
        code="model_decommissioned"), ErrorKind.MODEL_UNKNOWN),
    ("mistral", 400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"},
        ErrorKind.MODEL_UNKNOWN),
    ("zai", 400, _zai("1211", "Unknown Model, please check the model code."), ErrorKind.MODEL_UNKNOWN),
    ("openrouter", 400, _error("x/y is not a valid model ID", code=400), ErrorKind.MODEL_UNKNOWN),
    ("openrouter", 404, _error("No endpoints found for x/y.", code=404), ErrorKind.MODEL_UNKNOWN),
    ("local", 404, {"error": {"message": 'model "qwen" not found, try pulling it first', "type": "api_error"}},
        ErrorKind.MODEL_UNKNOWN),
    ("openai", 400, _error("Model Not Exist", type="invalid_request_error"), ErrorKind.MODEL_UNKNOWN),
    ("google", 404, _google(404, "models/x is not found for API version v1main, or is not supported for "
        "generateContent.", "NOT_FOUND"), ErrorKind.MODEL_UNKNOWN),
    ("openai", 404, "404 page not found", ErrorKind.MODEL_UNKNOWN),
    # The key.
    ("google", 400, _google(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT",
        reason="API_KEY_INVALID"), ErrorKind.KEY_INVALID),
    ("google", 400, [_google(400, "API key expired. Please renew the API key.", "INVALID_ARGUMENT")],
        ErrorKind.KEY_INVALID),
    ("openai", 401, _error("Incorrect API key provided: sk-***abcd.", type="invalid_request_error",
        code="invalid_api_key"), ErrorKind.KEY_INVALID),
    ("openai", 401, _anthropic("authentication_error", "invalid x-api-key"), ErrorKind.KEY_INVALID),
    ("zai", 401, _zai("1002", "Authorization Token invalid"), ErrorKind.KEY_INVALID),
    ("openrouter", 401, _error("No auth credentials found", code=401), ErrorKind.KEY_INVALID),
    ("openai", 400, _error("The api_key is invalid"), ErrorKind.KEY_INVALID),
    ("openai", 403, "Forbidden", ErrorKind.KEY_INVALID),
    # A field that is not taken.
    ("openrouter", 400, _error(REASONING, code=400, metadata={"provider_name": None}), ErrorKind.PARAMETER),
    ("openai", 400, _error("Unsupported parameter: 'temperature' is not supported with this model.",
        type="invalid_request_error", param="temperature", code="unsupported_parameter"), ErrorKind.PARAMETER),
    ("openai", 400, _error("Unsupported value: 'temperature' does not support 0.1 with this model.",
        type="invalid_request_error", param="temperature"), ErrorKind.PARAMETER),
    ("mistral", 422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "cache"], "msg":
        "Extra inputs are not permitted"}]}, ErrorKind.PARAMETER),
    ("groq", 400, _error("property 'reasoning' is unsupported", type="invalid_request_error"), ErrorKind.PARAMETER),
    ("google", 400, _google(400, "Budget 0 is invalid. This model only works in thinking mode.", "INVALID_ARGUMENT"),
        ErrorKind.PARAMETER),
    ("google", 400, _google(400, "Thinking level is not supported for this model.", "INVALID_ARGUMENT"),
        ErrorKind.PARAMETER),
    ("local", 400, _error('"llama3.2:latest" does not support thinking', type="api_error"), ErrorKind.PARAMETER),
    ("local", 400, _error('think value "medium" is not supported for this model', type="api_error"),
        ErrorKind.PARAMETER),
    ("google", 400, _google(400, 'Invalid JSON payload received. Unknown name "cache": Cannot find field.',
        "INVALID_ARGUMENT"), ErrorKind.PARAMETER),
    # Too much.
    ("openai", 529, _anthropic("overloaded_error", "Overloaded"), ErrorKind.OVERLOADED),
    ("openai", 529, "", ErrorKind.OVERLOADED),
    ("openai", 503, _error("The engine is currently overloaded", code="server_is_overloaded"), ErrorKind.OVERLOADED),
    ("openai", 429, _error("The engine is currently overloaded, please try again later",
        type="engine_overloaded_error"), ErrorKind.OVERLOADED),
    ("groq", 498, _error("Flex tier at capacity", code="capacity_exceeded"), ErrorKind.OVERLOADED),
    ("groq", 498, "", ErrorKind.OVERLOADED),
    ("zai", 429, _zai("1312", "This model is overloaded right now"), ErrorKind.OVERLOADED),
    ("google", 429, _google(429, "No capacity available for model on the server", "RESOURCE_EXHAUSTED",
        reason="MODEL_CAPACITY_EXHAUSTED"), ErrorKind.OVERLOADED),
    ("local", 503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
        ErrorKind.OVERLOADED),
    (
        "local", 503, {"error": "server busy, please try again.  maximum pending requests exceeded"},
        ErrorKind.OVERLOADED,
    ),
    ("zai", 429, _zai("1302", "High concurrency usage of this API"), ErrorKind.RATE),
    ("groq", 429, _error("Rate limit reached for model `llama-3.3-70b-versatile`", type="tokens",
        code="rate_limit_exceeded"), ErrorKind.RATE),
    ("google", 429, _google(429, "You exceeded your current quota, please check your plan and billing details.",
        "RESOURCE_EXHAUSTED"), ErrorKind.RATE),
    ("mistral", 429, {"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "code": "1300"},
        ErrorKind.RATE),
    ("mistral", 429, {"object": "error", "message": "Service tier capacity exceeded for this model.", "type":
        "invalid_request_error", "code": None}, ErrorKind.RATE),
    ("openai", 429, "slow down", ErrorKind.RATE),
    # No model at hand.
    ("local", 400, {"error": "The model has crashed without additional information. (Exit code: null)"},
        ErrorKind.BROKEN),
    ("local", 400, {"error": 'Failed to load model "gpt-oss-20b". Error: Error loading model.'}, ErrorKind.BROKEN),
    ("local", 400, _error("No models loaded. Please load a model in the developer page or use the `lms load` command.",
        type="invalid_request_error", param="model"), ErrorKind.BROKEN),
    # Said otherwise: too long.
    ("local", 503, {"detail": {"error": {"message": "Request length 71599 + 2048 is greater than max_seq_len 65536",
        "trace": None}}}, ErrorKind.CONTEXT_LENGTH),
    ("local", 400, {"error": "Cannot truncate prompt with n_keep (14169) >= n_ctx (4096)"}, ErrorKind.CONTEXT_LENGTH),
    ("openai", 422, {"error": "Input validation error: `inputs` must have less than 4096 tokens. Given: 4545",
        "error_type": "validation"}, ErrorKind.CONTEXT_LENGTH),
    ("google", 400, _google(400, "Unable to submit request because the input token count is 1052193 but model only "
        "supports up to 1048576.", "INVALID_ARGUMENT"), ErrorKind.CONTEXT_LENGTH),
    ("openai", 400, _error("The input exceeds the model's maximum context limit of 8192 tokens."),
        ErrorKind.CONTEXT_LENGTH),
    ("openai", 400, _error("Input is too long."), ErrorKind.CONTEXT_LENGTH),
    ("groq", 429, _error("Rate limit reached for model `llama3-70b-8192` in organization `org_x` on tokens per minute "
        "(TPM): Limit 7000, Used 0, Requested ~12903. Please try again in 50.597142857s.", type="tokens",
        code="rate_limit_exceeded"), ErrorKind.CONTEXT_LENGTH),
    ("groq", 429, _error("Rate limit reached for model `x` in organization `org_x` on tokens per minute (TPM): Limit "
        "7000, Used 6000, Requested 1500.", type="tokens", code="rate_limit_exceeded"), ErrorKind.RATE),
    ("openai", 429, _anthropic("rate_limit_error", "Usage credits are required for long context requests."),
        ErrorKind.CONTEXT_LENGTH),
    # What one request may cost is not what is left for others.
    ("openrouter", 402, _error("Prompt tokens limit exceeded: 64128 > 6964. To increase, visit "
        "https://openrouter.ai/settings/credits and upgrade to a paid account", code=402), ErrorKind.CONTEXT_LENGTH),
    ("openrouter", 402, _error("This request requires more credits, or fewer max_tokens. You requested up to 65536 "
        "tokens, but can only afford 30104.", code=402), ErrorKind.CONTEXT_LENGTH),
    ("openrouter", 402, _error("This request requires more credits, or fewer max_tokens. You requested up to 32000 "
        "tokens, but can only afford 0.", code=402), ErrorKind.NO_CREDIT),
    # No money.
    ("openai", 403, _error("user quota is not enough", type="new_api_error", code="insufficient_user_quota"),
        ErrorKind.NO_CREDIT),
    ("openai", 400, _error("Budget has been exceeded! Current cost: 1.2, Max budget: 1.0", type="budget_exceeded",
        code="400"), ErrorKind.NO_CREDIT),
    ("openai", 412, {"error": {"message": "Account x is suspended, possibly due to reaching the monthly spending limit "
        "or failure to pay past invoices.", "param": None, "code": "PRECONDITION_FAILED", "type": "error"}},
        ErrorKind.NO_CREDIT),
    ("openai", 400, _anthropic("invalid_request_error", "You have reached your specified API usage limits. You will "
        "regain access on 2026-04-01 at 00:00 UTC."), ErrorKind.NO_CREDIT),
    ("openai", 400, _anthropic("invalid_request_error", "You have reached your specified workspace API usage limits. "
        "You will regain access on 2025-06-01 at 00:00 UTC."), ErrorKind.NO_CREDIT),
    ("openai", 429, _anthropic("rate_limit_error", "You have reached your API usage limits: your organization has "
        "crossed its monthly API usage threshold, set based on your organization's API tier. You will regain access "
        "on 2026-09-01 at 00:00 UTC."), ErrorKind.NO_CREDIT),
    *[
        ("openai", 429, _error("Limit reached.", type="rate_limit_error", code=code), ErrorKind.NO_CREDIT)
        for code in (
            "organization_spend_limit_exceeded", "project_spend_limit_exceeded", "organization_usage_limit_exceeded",
        )
    ],
    ("openai", 400, _error("API access blocked.", type="invalid_request_error", code="blocked_api_access"),
        ErrorKind.NO_CREDIT),
    ("openai", 400, _error("Organization has blocked API access because a spend alert threshold was met. Please visit "
        "https://console.groq.com/settings/billing to manage your spend alerts.", type="invalid_request_error",
        code="spend_limit_reached"), ErrorKind.NO_CREDIT),
    ("openrouter", 403, _error("Workspace monthly budget of $500.00 exceeded. Contact your workspace admin.",
        code=403), ErrorKind.NO_CREDIT),
    ("openrouter", 402, _error("This request would exceed your available credits given your current in-flight "
        "requests. Retry after in-flight requests settle, or add credits.", code=402, metadata={"reason":
        "in_flight_budget_exhausted", "limit_source": "openrouter_in_flight_budget"}), ErrorKind.RATE),
    ("openrouter", 402, _error("This request's maximum cost exceeds your available credits. Add credits, or lower "
        "max_tokens or prompt size.", code=402, metadata={"reason": "weight_exceeds_budget", "limit_source":
        "openrouter_credits"}), ErrorKind.CONTEXT_LENGTH),
    ("openrouter", 402, _error("Insufficient credits.", code=402, metadata={"limit_source": "openrouter_credits"}),
        ErrorKind.NO_CREDIT),
    *[
        ("openrouter", 403, _error("Budget limit exceeded", code=403, metadata={"limit_source": source, "resets_at":
            None}), ErrorKind.NO_CREDIT)
        for source in ("openrouter_guardrail_budget", "openrouter_workspace_budget", "openrouter_key_limit")
    ],
    ("openai", 401, _anthropic("MonthlyLimitError", "Your workspace has reached its monthly spending limit of $30. "
        "Manage your limits here: https://opencode.ai/workspace/x/billing"), ErrorKind.NO_CREDIT),
    ("openai", 401, _anthropic("CreditsError", "余额不足。请在此处管理您的计费"), ErrorKind.NO_CREDIT),
    ("openai", 400, _anthropic("invalid_request_error", "You're out of extra usage. Add more at claude.ai/settings/"
        "usage and keep going."), ErrorKind.NO_CREDIT),
    ("openai", 400, _anthropic("invalid_request_error", "Third-party apps now draw from your extra usage, not your "
        "plan limits. Add more at claude.ai/settings/usage and keep going."), ErrorKind.NO_CREDIT),
    ("google", 429, _google(429, "Your project has exceeded its monthly spending cap. Please go to AI Studio at "
        "https://ai.studio/spend to manage your project spend cap.", "RESOURCE_EXHAUSTED"), ErrorKind.NO_CREDIT),
    ("openai", 429, {"errors": [{"message": "AiError: AiError: you have used up your daily free allocation of 10,000 "
        "neurons, please upgrade to Cloudflare's Workers Paid plan if you would like to continue usage. (x)", "code":
        4006}], "success": False, "result": {}, "messages": []}, ErrorKind.NO_CREDIT),
    ("openai", 400, {"errors": [{"message": "AiError: No such model: No such model gpt-oss-120b or task (x)", "code":
        5007}], "success": False, "result": {}, "messages": []}, ErrorKind.MODEL_UNKNOWN),
    ("openai", 400, _error("Your organization must qualify for at least usage tier 5 to access 'o1-preview'.",
        type="invalid_request_error", param="model", code="below_usage_tier"), ErrorKind.MODEL_UNKNOWN),
    ("openai", 401, _anthropic("ModelError", "Model x is not supported"), ErrorKind.MODEL_UNKNOWN),
    ("openai", 401, {"error": "This model is only available to Pro users"}, ErrorKind.MODEL_UNKNOWN),
    ("openai", 401, _anthropic("AuthError", "Invalid API key."), ErrorKind.KEY_INVALID),
    ("openai", 429, _anthropic("rate_limit_error", "You have reached your usage limits for now."), ErrorKind.RATE),
    ("openai", 403, {"code": 30001, "message": "Sorry, your account balance is insufficient", "data": None},
        ErrorKind.NO_CREDIT),
    ("openai", 403, {"code": "The caller does not have permission to execute the specified operation", "error":
        "Your newly created team doesn't have any credits or licenses yet."}, ErrorKind.NO_CREDIT),
    # The place, or the way.
    ("openrouter", 403, _error("The request is prohibited due to a violation of provider Terms Of Service.", code=403,
        metadata={"provider_name": None}), ErrorKind.REGION),
    ("openrouter", 403, _passed_on(403, '{"error":{"code":"unsupported_country_region_territory","message":"No."}}'),
        ErrorKind.REGION),
    ("openai", 403, {"title": "Error 1010: Access denied", "status": 403, "detail": "The site owner has blocked access "
        "based on your browser's signature.", "error_code": 1010, "cloudflare_error": True}, ErrorKind.REGION),
    ("groq", 403, "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head><body><h1>Sorry, "
        "you have been blocked</h1></body></html>", ErrorKind.REGION),
    ("openai", 403, "error code: 1020", ErrorKind.REGION),
    # The content, and pictures.
    ("openai", 400, _error("The request failed because the input text may contain sensitive information.",
        code="SensitiveContentDetected", type="BadRequest"), ErrorKind.CONTENT),
    ("openai", 400, _error("This content was flagged for possible cybersecurity risk."), ErrorKind.CONTENT),
    ("openai", 403, _error("Your account was flagged by our systems."), ErrorKind.KEY_INVALID),
    ("openrouter", 400, _passed_on(400, '{"error":{"code":"content_filter","message":"No."}}'), ErrorKind.CONTENT),
    ("openrouter", 400, _error("Provider returned error", code=400, metadata={"raw": {"error": {"code":
        "content_filter"}}}), ErrorKind.CONTENT),
    ("openai", 200, {"code": 1026, "message": "input new_sensitive"}, ErrorKind.CONTENT),
    ("local", 400, _error("this model does not support image input (ref: b8bd)"), ErrorKind.CONTENT),
    ("local", 500, _error("image input is not supported by this server", code=500, type="server_error"),
        ErrorKind.CONTENT),
    # The model.
    ("groq", 403, _error("The model `groq/compound` is blocked at the organization level.", type="permissions_error",
        code="model_permission_blocked_org"), ErrorKind.MODEL_UNKNOWN),
    ("openai", 400, _error("The requested model 'x' is not supported by any provider you have enabled.",
        type="invalid_request_error", param="model", code="model_not_supported"), ErrorKind.MODEL_UNKNOWN),
    ("openai", 401, _error("key not allowed to access model.", type="key_model_access_denied", param="model",
        code="401"), ErrorKind.MODEL_UNKNOWN),
    ("openai", 403, _error("The free tier of the model has been exhausted.", type="AllocationQuota.FreeTierOnly",
        code="AllocationQuota.FreeTierOnly"), ErrorKind.MODEL_UNKNOWN),
    ("openai", 400, _error("Your organization must be verified to stream this model.", type="invalid_request_error",
        param="stream", code="unsupported_value"), ErrorKind.MODEL_UNKNOWN),
    ("local", 400, _error('"nomic-embed-text:latest" does not support chat'), ErrorKind.MODEL_UNKNOWN),
    ("openai", 410, {"title": "Gone", "status": 410, "detail": "The model 'x' has reached its end of life."},
        ErrorKind.MODEL_UNKNOWN),
    ("openai", 405, {"detail": "Method Not Allowed"}, ErrorKind.MODEL_UNKNOWN),
    # The key.
    ("groq", 400, _error("Organization has been restricted.", type="invalid_request_error",
        code="organization_restricted"), ErrorKind.KEY_INVALID),
    ("openai", 400, _anthropic("invalid_request_error", "This organization has been disabled."),
        ErrorKind.KEY_INVALID),
    ("openai", 200, {"code": 1004, "message": "login fail: Please carry the API secret key"}, ErrorKind.KEY_INVALID),
    # Too much.
    ("openrouter", 400, _error("Upstream error from Alibaba: Request rate increased too quickly.", code=400),
        ErrorKind.RATE),
    ("openai", 200, {"code": 1002, "message": "rate limit exceeded(RPM)"}, ErrorKind.RATE),
    ("openai", 400, _error("Thinking mode cannot be disabled for this model."), ErrorKind.PARAMETER),
    ("local", 400, {"error": "Model reloaded."}, ErrorKind.BROKEN),
    ("openai", 400, _error("Invalid API Key. account has been suspended"), ErrorKind.KEY_INVALID),
    ("openrouter", 402, _error("max_tokens limit exceeded: 100000 > 9577.", code=402), ErrorKind.CONTEXT_LENGTH),
    # It failed, though it says that the request did.
    ("groq", 400, _error("Failed to generate JSON. Please adjust your prompt.", type="invalid_request_error",
        code="json_validate_failed", failed_generation="{"), ErrorKind.BROKEN),
    ("local", 400, {"error": "Model unloaded."}, ErrorKind.BROKEN),
    ("openai", 424, {"error": "Request failed during generation: Server error", "error_type": "generation"},
        ErrorKind.BROKEN),
    ("google", 499, _google(499, "The operation was cancelled.", "CANCELLED"), ErrorKind.BROKEN),
    *[("openai", status, "", ErrorKind.BROKEN) for status in (418, 421, 423, 425)],
    # Seen at gateways, and at providers that speak OpenAI's language besides their own.
    ("openai", 400, {"code": 20015, "message": "length of prompt_tokens (68957) must be less than max_seq_len (65536).",
        "data": None}, ErrorKind.CONTEXT_LENGTH),
    ("openai", 400, "max_total_tokens (33802) must be less than or equal to max_seq_len (32768)",
        ErrorKind.CONTEXT_LENGTH),
    ("openai", 400, {"message": "Input token count exceeds the maximum number of input tokens"},
        ErrorKind.CONTEXT_LENGTH),
    ("openai", 403, _anthropic("permission_error", "You've reached your usage limit for this billing cycle. Your quota "
        "will be refreshed in the next cycle."), ErrorKind.NO_CREDIT),
    ("openai", 403, _error("The request failed because your account has an overdue balance.", type="Forbidden",
        code="AccountOverdueError"), ErrorKind.NO_CREDIT),
    ("openai", 403, {"code": "personal-team-blocked:spending-limit", "error": "You have reached your limit."},
        ErrorKind.NO_CREDIT),
    ("openai", 400, _error("The request could not be processed because the input text includes sensitive content.",
        code="InputTextRiskDetection", type="BadRequest"), ErrorKind.CONTENT),
    ("openai", 400, _error("Your request was rejected as a result of our safety system."), ErrorKind.CONTENT),
    ("openai", 400, _error("/chat/completions: Invalid model name passed in model=x. Call `/v1/models` to view "
        "available models for your key.", type="None", param="None", code="400"), ErrorKind.MODEL_UNKNOWN),
    ("openai", 400, _error("litellm.BadRequestError: PerplexityException - Invalid model 'perplexity/sonar'. Permitted "
        "models can be found in the documentation.", type=None, code="400"), ErrorKind.MODEL_UNKNOWN),
    ("openai", 400, _error("Invalid model.", type="invalid_model", code=400), ErrorKind.MODEL_UNKNOWN),
    ("openai", 400, _anthropic("bad_request_error", "invalid params, unknown model 'gpt-5.5' (2013)"),
        ErrorKind.MODEL_UNKNOWN),
    ("openai", 400, _anthropic("bad_request_error", "invalid params, invalid chat setting (2013)"), ErrorKind.CLIENT),
    ("openai", 400, {"message": "The provided model identifier is invalid."}, ErrorKind.MODEL_UNKNOWN),
    ("openai", 400, _error("InvokeModelWithResponseStream, https response error StatusCode: 400, ValidationException: "
        "Invocation of model ID x with on-demand throughput isn\u2019t supported. Retry your request with the ID or "
        "ARN of an inference profile that contains this model."), ErrorKind.MODEL_UNKNOWN),
    ("openai", 400, _error('model "gpt-5.4" is not accessible via the /chat/completions endpoint',
        code="unsupported_api_for_model"), ErrorKind.MODEL_UNKNOWN),
    ("openai", 400, _error("The chatCompletion operation does not work with the specified model, text-embedding-3.",
        code="OperationNotSupported"), ErrorKind.MODEL_UNKNOWN),
    ("local", 403, {"error": "this model requires a subscription, upgrade for access: https://ollama.com/upgrade"},
        ErrorKind.MODEL_UNKNOWN),
    ("openai", 403, {"message": "You don't have access to the model with the specified model ID."},
        ErrorKind.MODEL_UNKNOWN),
    ("openai", 403, {"success": False, "errors": [{"code": 5018, "message": "The account is not allowed to access this "
        "model"}]}, ErrorKind.MODEL_UNKNOWN),
    ("openai", 400, {"code": "invalid-argument", "error": "Model grok-4 does not support parameter presencePenalty."},
        ErrorKind.PARAMETER),
    ("openai", 400, {"code": "Client specified an invalid argument", "error": "Argument not supported on this model: "
        "presencePenalty"}, ErrorKind.PARAMETER),
    ("openai", 200, {"status": "449", "msg": "You exceeded your current rate limit", "body": None}, ErrorKind.RATE),
    ("openai", 400, _error("litellm.BadRequestError: You passed in model=x. There are no healthy deployments for this "
        "modelNo fallback model group found.", type=None, code="400"), ErrorKind.BROKEN),
    ("openai", 429, _error("Prepaid credit balance is exhausted. Add credits.", type="usage_limit_reached"),
        ErrorKind.NO_CREDIT),
    ("openai", 400, {"error": "Model not supported by provider fireworks-ai"}, ErrorKind.MODEL_UNKNOWN),
    # An order of messages that another model may take.
    *[
        ("openai", 400, _error(said), ErrorKind.CONTENT)
        for said in (
            "This model does not support assistant message prefill. The conversation must end with a user message.",
            'messages: roles must alternate between "user" and "assistant", but found multiple "user" roles in a row',
            "Conversation roles must alternate user/assistant/user/assistant/...",
            "A conversation must alternate between user and assistant roles.",
            "Only user, assistant and tool roles are supported, got system",
            "AiError: System message must be at the beginning.",
        )
    ],
    ("openrouter", 400, _passed_on(400, '{"message":"This model does not support assistant message prefill."}'),
        ErrorKind.CONTENT),
    ("local", 500, _error("\n------------\nError: Jinja Exception: Conversation roles must alternate.", code=500),
        ErrorKind.BROKEN),
    # A picture that another may take.
    ("openai", 400, _anthropic("invalid_request_error", "messages.0.content.1.image.source.base64: image exceeds 5 MB "
        "maximum: 6000000 bytes > 5242880 bytes"), ErrorKind.CONTENT),
    # As OpenRouter calls them itself.
    *[
        ("openrouter", status, _error("Provider returned error", code=status, metadata={"error_type": called}), kind)
        for status, called, kind in (
            (400, "context_length_exceeded", ErrorKind.CONTEXT_LENGTH),
            (400, "string_too_long", ErrorKind.CONTEXT_LENGTH),
            (402, "token_limit_exceeded", ErrorKind.CONTEXT_LENGTH),
            (400, "content_policy_violation", ErrorKind.CONTENT),
            (400, "refusal", ErrorKind.CONTENT),
            (400, "image_too_large", ErrorKind.CONTENT),
            (400, "invalid_image", ErrorKind.CLIENT),
            (400, "not_found", ErrorKind.MODEL_UNKNOWN),
            (400, "payment_required", ErrorKind.NO_CREDIT),
            (400, "authentication", ErrorKind.KEY_INVALID),
            (400, "rate_limit_exceeded", ErrorKind.RATE),
            (400, "provider_overloaded", ErrorKind.OVERLOADED),
            (400, "provider_unavailable", ErrorKind.BROKEN),
            (400, "timeout", ErrorKind.BROKEN),
            (400, "invalid_prompt", ErrorKind.CLIENT),
            (400, "invalid_request", ErrorKind.CLIENT),
            (429, "unmapped", ErrorKind.RATE),
            (403, "permission_denied", ErrorKind.KEY_INVALID),
        )
    ],
    ("openrouter", 400, {"error_type": "context_length_exceeded", "error": {"code": "invalid_prompt", "message": "x"}},
        ErrorKind.CONTEXT_LENGTH),
    ("openrouter", 400, _error("No.", code=400, metadata={"raw": "no", "error_type": "authentication"}),
        ErrorKind.BROKEN),
    *[
        ("openai", 400, _error(said), ErrorKind.CONTEXT_LENGTH)
        for said in (
            "The prompt is too large for the model's configured input limit.",
            "The number of input and maximum output tokens (34000) exceeded this model context window limit (24000).",
            "The number of input tokens exceeds maximum length.",
            "tokens in request more than max tokens allowed",
            "Requested input length 40000 exceeds maximum input length 32768",
            "The prompt has 9000 tokens, but the configured context size is 8192 tokens.",
        )
    ],
    # Of no row.
    ("openai", 400, _error("'messages' must contain the word 'json'", type="invalid_request_error"), ErrorKind.CLIENT),
    ("openai", 422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required", "type": "missing"}]},
        ErrorKind.CLIENT),
    ("openai", 409, "", ErrorKind.CLIENT),
    ("openai", 408, "", ErrorKind.BROKEN),
    ("openai", 500, _anthropic("api_error", "Internal server error"), ErrorKind.BROKEN),
    ("openai", 502, "<html><body><center><h1>502 Bad Gateway</h1></center></body></html>", ErrorKind.BROKEN),
    ("openai", 503, "", ErrorKind.BROKEN),
    ("openai", 523, "error code: 523", ErrorKind.BROKEN),
    # What another provider said to the one that passes it on.
    ("openrouter", 400, _passed_on(400, '{"error":{"message":"Your credit balance is too low to access the API."}}'),
        ErrorKind.BROKEN),
    ("openrouter", 400, _passed_on(400, '[{"error":{"message":"API key not valid. Please pass a valid API key."}}]'),
        ErrorKind.BROKEN),
    ("openrouter", 401, _passed_on(401, '{"error":{"message":"Incorrect API key provided"}}'), ErrorKind.BROKEN),
    ("openrouter", 402, _passed_on(402, '{"error":{"message":"Insufficient Balance"}}'), ErrorKind.BROKEN),
    ("openrouter", 429, _passed_on(429, "m:free is temporarily rate-limited upstream."), ErrorKind.RATE),
    ("openrouter", 403, _error("Key limit exceeded", code=403, metadata={"raw": "x"}), ErrorKind.NO_CREDIT),
    # Passed on as the message.
    ("openai", 400, _error('{"error":{"message":"No such thing.","code":"model_not_supported"}}\n', type="error"),
        ErrorKind.MODEL_UNKNOWN),
    ("openai", 400, {"error": '{"error":{"code":"context_length_exceeded"}}'}, ErrorKind.CONTEXT_LENGTH),
    ("openai", 500, _error(' {"error": {"code": 429, "message": "No.", "status": "RESOURCE_EXHAUSTED"}}'),
        ErrorKind.RATE),
    ("openai", 500, _error('{"error":{"code":"insufficient_quota","message":"No."}}'), ErrorKind.BROKEN),
    ("openai", 401, _error('{"error":{"code":"invalid_api_key","message":"No."}}'), ErrorKind.KEY_INVALID),
    ("openai", 400, _error('{"error":{"code":"context_length_exceeded"'), ErrorKind.CLIENT),
    ("openai", 400, _error('Bad messages: {"error":{"code":"rate_limit_exceeded"}}'), ErrorKind.CLIENT),
    # Under 200.
    ("openai", 200, _error("too long", type="invalid_request_error", param="messages", code="context_length_exceeded",
        metadata={"raw": "…"}), ErrorKind.CONTEXT_LENGTH),
    ("openrouter", 200, _error("Provider returned error", code="429"), ErrorKind.RATE),
    ("openrouter", 200, _error("Provider returned error", code=502), ErrorKind.BROKEN),
    ("openai", 200, _error("too many", status=429), ErrorKind.RATE),
    ("openai", 200, _error("too many", http_code="429", type="x"), ErrorKind.RATE),
    ("openai", 200, {"statusCode": 401, "message": "no"}, ErrorKind.KEY_INVALID),
    ("google", 200, _google(503, "full", "UNAVAILABLE"), ErrorKind.BROKEN),
    ("openrouter", 200, _error("no", code=402), ErrorKind.NO_CREDIT),
    ("openai", 200, _error("bad", type="invalid_request_error"), ErrorKind.CLIENT),
    ("openai", 200, _error("oops"), ErrorKind.BROKEN),
    ("openai", 200, {"error": "out of memory"}, ErrorKind.BROKEN),
]  # fmt: skip


def _read(body: Any) -> Any:
    if isinstance(body, str):
        return read_error(body.encode(), b"text/plain")
    return read_error(orjson.dumps(body), b"application/json")


class KindTests(SynchronousTestCase):
    def test_bodies(self) -> None:
        for dialect, status, body, kind in BODIES:
            self.assertIs(kind_of(status, _read(body), dialect), kind, (dialect, status, body))

    def test_every_row_has_a_body(self) -> None:
        """Without a row, something that was seen would be told otherwise."""
        from skyproxy.formats import error_kinds

        for row in ROWS:
            rest = tuple(each for each in ROWS if each is not row)
            alone = (row,)
            self.patch(error_kinds, "ROWS", alone)
            fit = [b for b in BODIES if b[3] is row.kind and kind_of(b[1], _read(b[2]), b[0]) is row.kind]
            self.patch(error_kinds, "ROWS", rest)
            self.assertTrue(fit, row)

    def test_row_of_another_dialect(self) -> None:
        self.assertIs(kind_of(400, _read(_zai("1301", "x")), "openai"), ErrorKind.CLIENT)

    def test_actions(self) -> None:
        self.assertEqual(set(ACTIONS), set(ErrorKind))
        for row in ROWS:
            self.assertTrue(row.source.startswith("https://"), row)
        self.assertFalse(ACTIONS[ErrorKind.CLIENT].next_candidate)
        self.assertEqual(ACTIONS[ErrorKind.RATE].rests, "key_and_model")

    def test_parameter(self) -> None:
        named = [parameter_of(_read(body)) for _, _, body, kind in BODIES if kind is ErrorKind.PARAMETER]
        self.assertEqual(
            named,
            [
                "reasoning",
                "temperature",
                "temperature",
                "cache",
                *["reasoning"] * 5,
                "cache",
                "reasoning",
                *["presencePenalty"] * 2,
            ],
        )
        self.assertIsNone(parameter_of(_read("no")))

    def test_parameter_that_is_ours(self) -> None:
        for name, said, found in (
            ("reasoning", "body.reasoning: Unexpected property", "reasoning"),
            ("reasoning", "reasoning.effort must be one of low, medium, high", "reasoning"),
            ("thinking", "thinking.type: Input should be 'enabled'", "thinking"),
            ("thinking", "invalid thinking: only type=enabled is allowed for this model", "reasoning"),
            ("reasoning", "Model x does not support reasoning configuration", "reasoning"),
            ("reasoning", "This model does not support disabling reasoning.", "reasoning"),
            ("reasoning", "Reasoning cannot be disabled for this model", "reasoning"),
            ("reasoning_effort", "reasoning effort none unsupported", "reasoning"),
            ("reasoning_effort", "reasoning_effort 'none' is not supported", "reasoning_effort"),
            ("enable_thinking", "parameter.enable_thinking must be set to true", "enable_thinking"),
            ("reasoning", "The reasoning of the user is wrong. role must be user", None),
            ("reasoning", "messages.3.content: field required", None),
        ):
            self.assertEqual(parameter_of(_read(_error(said)), frozenset({name})), found, said)
