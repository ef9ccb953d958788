"""The rows of the table of what errors mean that are about the content, and about the model."""

from __future__ import annotations

from skyproxy.errors import ErrorKind
from skyproxy.formats.error_row import Row, text

_OPENAI = "https://platform.openai.com/docs/guides/error-codes"
_OPENROUTER = "https://openrouter.ai/docs/api-reference/errors"
_OPENROUTER_TYPES = "https://openrouter.ai/docs/client-sdks/python/components/apierrortype"
_ZAI = "https://docs.z.ai/api-reference/api-code"
_AZURE = "https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter"

CONTENT: tuple[Row, ...] = (
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
        _OPENROUTER_TYPES,
        code=("error_type.content_policy_violation", "error_type.refusal"),
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
    Row(
        ErrorKind.CONTENT,
        "https://github.com/theopenco/llmgateway/blob/main/apps/gateway/src/chat/tools/get-finish-reason-from-error.spec.ts",
        status=(400, 403, 422),
        pattern=text(
            r"may contain sensitive information|violates? (?:our|openai'?s) usage polic|\bcontent moderation\b"
            r"|\b(?:content|input|prompt|request) (?:was|has been) flagged\b|contains prohibited content"
        ),
    ),
    Row(
        ErrorKind.CONTENT,
        "https://platform.minimax.io/docs/api-reference/errorcode",
        code=("1026", "1027"),
        pattern=text(r"sensitive"),
    ),
    Row(
        ErrorKind.CONTENT,
        "https://www.volcengine.com/docs/82379/1099476",
        status=400,
        code=("inputtextriskdetection", "inputimageriskdetection", "outputtextriskdetection"),
    ),
    Row(
        ErrorKind.CONTENT,
        "https://github.com/BerriAI/litellm/blob/main/litellm/litellm_core_utils/exception_mapping_utils.py",
        status=400,
        pattern=text(r"rejected (?:as a result of|by) (?:our|the) safety system"),
    ),
    # An order of messages that a model does not take. Another may. (By 500, llama.cpp's says so, which is broken.)
    Row(
        ErrorKind.CONTENT,
        "https://github.com/anthropics/claude-code/issues/52433",
        status=400,
        pattern=text(r"does not support assistant message prefill"),
    ),
    Row(
        ErrorKind.CONTENT,
        "https://github.com/ggml-org/llama.cpp/issues/19851",
        status=(400, 422),
        pattern=text(
            r"\bjinja exception\b|\broles must alternate\b|must alternate between user and assistant roles"
            r"|\broles are supported, got system"
        ),
    ),
    Row(
        ErrorKind.CONTENT,
        "https://github.com/anomalyco/opencode/issues/46481",
        status=400,
        pattern=text(r"^(?:aierror: )?system message must be at the beginning"),
    ),
    # Pictures, of a model that does not see. Another may.
    Row(
        ErrorKind.CONTENT,
        "https://github.com/ollama/ollama/issues/17301",
        status=(400, 415, 422),
        pattern=text(
            r"does not support (?:images?|vision|multi-?modal)\b|is not a (?:multimodal model|vlm)\b"
            r"|unknown variant `image_url`|image input modality is not enabled|text-only server: image|at most 0 image"
        ),
    ),
    Row(
        ErrorKind.CONTENT,
        "https://github.com/NousResearch/hermes-agent/blob/main/agent/error_classifier.py",
        status=(400, 413),
        pattern=text(r"\bimage (?:size )?exceeds\b|\bimage too large\b|image dimensions exceed"),
    ),
    Row(
        ErrorKind.CONTENT,
        _OPENROUTER_TYPES,
        code=("error_type.image_too_large", "error_type.image_too_small", "error_type.unsupported_image_format"),
    ),
    Row(
        ErrorKind.CONTENT,
        "https://github.com/ggml-org/llama.cpp/issues/13566",
        status=(400, 500),
        pattern=text(r"^image input is not supported"),
    ),
)

MODEL_UNKNOWN: tuple[Row, ...] = (
    Row(ErrorKind.MODEL_UNKNOWN, _OPENAI, code=("model_not_found", "model_not_available", "unknown_model")),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://console.groq.com/docs/deprecations",
        code=(
            "model_decommissioned",
            "model_terms_required",
            "model_permission_blocked_project",
            "model_permission_blocked_org",
        ),
    ),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/mistralai/mistral-vibe/issues/617",
        type=("invalid_model",),
    ),
    Row(ErrorKind.MODEL_UNKNOWN, _OPENROUTER_TYPES, code=("error_type.not_found",)),
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
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/n4ze3m/page-assist/issues/727",
        code=("model_not_supported", "no_access"),
    ),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/BerriAI/litellm/pull/39660",
        type=("key_model_access_denied", "team_model_access_denied"),
    ),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/666ghj/BettaFish/issues/609",
        code=("allocationquota.freetieronly", "model.accessdenied", "model_access_denied"),
    ),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/chatboxai/chatbox/issues/2263",
        pattern=text(r"organization must be verified to (?:stream|use)"),
    ),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://docs.siliconflow.cn/en/faqs/error-code",
        status=(400, 403),
        pattern=text(
            r"^model (?:is )?disabled|requested model is not (?:supported|available)|\bdoes not support chat\b"
        ),
    ),
    # LiteLLM's, Perplexity's and MiniMax's (https://github.com/jlcodes99/cockpit-tools/issues/1431).
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/BerriAI/litellm/issues/9663",
        status=400,
        pattern=text(r"\binvalid model name\b|\b(?:invalid|unknown) model ['\"]"),
    ),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/huggingface/ml-intern/pull/51",
        status=400,
        pattern=text(r"^model not supported by provider"),
    ),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/RooCodeInc/Roo-Code/issues/10473",
        status=(400, 404),
        pattern=text(r"model identifier is invalid"),
    ),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/Laisky/one-api/issues/77",
        status=400,
        pattern=text(r"on-demand throughput isn.t supported|doesn.t support on-demand throughput"),
    ),
    Row(ErrorKind.MODEL_UNKNOWN, "https://github.com/charmbracelet/mods/issues/352", code=("below_usage_tier",)),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://developers.cloudflare.com/workers-ai/platform/errors/",
        status=400,
        pattern=text(r"^(?:aierror: )*no such model\b"),
    ),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://docs.venice.ai/api-reference/error-codes",
        status=401,
        pattern=text(r"^this model is only available to\b"),
    ),
    # By what it is called: its words are in the language of who asks, and its status is a bad key's.
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/anomalyco/opencode/blob/dev/packages/console/app/src/routes/zen/util/handler.ts",
        status=401,
        type=("modelerror",),
    ),
    # One that answers elsewhere than where chats are asked.
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/ericc-ch/copilot-api/issues/208",
        code=("unsupported_api_for_model",),
    ),
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/langchain-ai/langmem/issues/13",
        status=400,
        code=("operationnotsupported",),
        pattern=text(r"does not work with the specified model"),
    ),
    # One that this account has not.
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/ollama/ollama/issues/15741",
        status=(402, 403),
        pattern=text(r"\bmodel requires a subscription"),
    ),
    # Bedrock's, and Cloudflare's (https://github.com/cloudflare/cloudflare-docs/pull/19677).
    Row(
        ErrorKind.MODEL_UNKNOWN,
        "https://github.com/anthropics/claude-code/issues/536",
        status=(400, 403),
        pattern=text(r"\b(?:have access to|allowed to access|authorized to access) (?:the|this) model\b"),
    ),
)
