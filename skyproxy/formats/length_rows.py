"""The rows of the table of what errors mean that say that a request is too long."""

from __future__ import annotations

from skyproxy.errors import ErrorKind
from skyproxy.formats.error_row import Row, text

_OPENAI = "https://platform.openai.com/docs/guides/error-codes"
_ANTHROPIC = "https://docs.anthropic.com/en/api/errors"
_OPENROUTER = "https://openrouter.ai/docs/client-sdks/python/components/apierrortype"
_OPENCODE = "https://github.com/anomalyco/opencode/blob/dev/packages/ai/src/provider-error.ts"
_BIGMODEL = "https://docs.bigmodel.cn/cn/api/api-code"

TOO_LONG: tuple[Row, ...] = (
    Row(ErrorKind.CONTEXT_LENGTH, _OPENAI, code=("context_length_exceeded", "string_above_max_length")),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://kerlig.com/help/open-ai/troubleshooting",
        status=(413, 429),
        pattern=text(r"^request too large for (?:model|gpt|organization)"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/ggml-org/llama.cpp/pull/15780",
        type=("exceed_context_size_error",),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/vllm-project/vllm/issues/20409",
        pattern=text(r"maximum context length (?:is|of) \d|longer than the (?:maximum )?model'?s? (?:context )?length"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        _ANTHROPIC,
        status=(400, 413, 422),
        pattern=text(r"\b(?:prompt|input|conversation) is too long\b|exceed context limit"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/google-gemini/gemini-cli/issues/6678",
        status=400,
        pattern=text(
            r"input (?:token count|or output tokens).{0,40}exceeds the maximum number of (?:input )?tokens"
            r"|input token count is \d+ but model only supports"
        ),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://docs.mistral.ai/api/",
        status=(400, 422),
        pattern=text(r"too large for model with \d+ maximum context|prompt contains \d+ tokens"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://docs.together.ai/docs/error-codes",
        pattern=text(r"input.{0,60}max_(?:new_)?tokens.{0,40}must be (?:<=|less than)"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/abetlen/llama-cpp-python/issues/416",
        pattern=text(r"requested tokens \(\d+\) exceed context window|exceeds? the available context size"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/2339",
        pattern=text(r"context size has been exceeded|greater than the context length"),
    ),
    Row(ErrorKind.CONTEXT_LENGTH, _BIGMODEL, "zai", code=("1261",)),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/openai/codex/issues/3177",
        pattern=text(r"exceeds the (?:model's )?context (?:window|length)|context window exceeds limit"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/cline/cline/issues/5140",
        pattern=text(r"reduce the length of the (?:messages|input|prompt)"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/546",
        pattern=text(r"context length (?:is|of) only \d|reached context length of \d"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/earendil-works/pi/blob/main/packages/ai/src/utils/overflow.ts",
        pattern=text(r"maximum prompt length is \d|exceeded model token limit|input is too long for requested model"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/QwenLM/qwen-code/issues/98",
        pattern=text(r"range of input length should be"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/farion1231/cc-switch/issues/6982",
        status=(400, 422),
        pattern=text(r"prompt exceeds max length"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/earendil-works/pi/blob/main/packages/ai/src/utils/overflow.ts",
        status=(400, 413, 422, 500),
        pattern=text(
            r"exceed(?:s|ed) (?:the )?(?:model'?s )?max(?:imum)? (?:context|(?:allowed )?input|prompt) (?:length|limit)"
            r"|prompt token count of \d+ exceeds the limit"
        ),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/cohere-ai/sandbox-topically/issues/4",
        status=(400, 413, 422),
        pattern=text(r"too many tokens: total number of tokens"),
    ),
    Row(ErrorKind.CONTEXT_LENGTH, _ANTHROPIC, type=("request_too_large",)),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/SillyTavern/SillyTavern/issues/3543",
        pattern=text(r"length .{1,40} is greater than max_seq_len"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/anomalyco/opencode/issues/11141",
        pattern=text(r"^cannot truncate prompt with n_keep"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/meta-llama/llama/issues/1103",
        status=(400, 422),
        pattern=text(r"inputs` must have less than \d+ tokens"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/chatboxai/chatbox/issues/2060",
        status=(400, 413, 422),
        pattern=text(r"(?:prompt|total)_tokens \(\d+\) must be less than (?:or equal to )?max_seq_len"),
    ),
    # OpenCode's, Workers AI's, Bedrock's, GLM's and DeepInfra's.
    Row(
        ErrorKind.CONTEXT_LENGTH,
        _OPENCODE,
        status=(400, 413, 422),
        pattern=text(
            r"too large for the model'?s configured input limit|exceeded this model context window limit"
            r"|number of input tokens exceeds maximum length|tokens in request more than max tokens allowed"
            r"|requested input length \d+ exceeds maximum input length|but the configured context size is \d"
        ),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        _OPENROUTER,
        code=(
            "error_type.context_length_exceeded",
            "error_type.string_too_long",
            "error_type.payload_too_large",
            "error_type.token_limit_exceeded",
        ),
    ),
    # More than the account gets in a minute, or than it pays for. Shorter ones need not rest for it.
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/danielmiessler/Fabric/issues/364",
        status=429,
        pattern=text(r"\(TPM\): limit \d+, used 0, requested ~?\d"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/anthropics/claude-code/issues/64982",
        status=429,
        pattern=text(r"required for long context requests"),
    ),
    # More than the account has credit for. Shorter ones go on being answered with the same key.
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/continuedev/continue/issues/11227",
        "openrouter",
        402,
        pattern=text(r"^(?:prompt |max_)tokens limit exceeded: \d"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/can1357/oh-my-pi/issues/9569",
        "openrouter",
        402,
        pattern=text(r"requested up to \d+ tokens, but can only afford \d{4}"),
    ),
    Row(
        ErrorKind.CONTEXT_LENGTH,
        "https://github.com/OpenRouterTeam/docs/blob/main/api_reference/limits.mdx",
        code=("reason.weight_exceeds_budget",),
    ),
)
