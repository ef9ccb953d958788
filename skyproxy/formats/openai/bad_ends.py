"""Reasons for an end (``finish_reason``) that are errors: one row for each, with the page or thread that shows it.

To add one, add a row here and its answer to ``tests/unit/formats/openai/test_bodies.py``. Reasons that are not here are
ends as they should be: stop, length, tool_calls and whatever else providers call them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

_ZAI = "https://docs.z.ai/api-reference/llm/chat-completion"
_OPENAI = "https://platform.openai.com/docs/api-reference/chat/object"
_GOOGLE = "https://ai.google.dev/api/generate-content#FinishReason"
_GOOGLE_SEEN = "https://github.com/pydantic/pydantic-ai/issues/631"
_VERTEX = "https://firebase.google.com/docs/reference/android/com/google/firebase/ai/type/FinishReason"
_ANTHROPIC = "https://docs.anthropic.com/en/api/handling-stop-reasons"
_BEDROCK = "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html"
_COHERE = (
    "https://docs.oracle.com/en-us/iaas/tools/dotnet/latest/api/"
    "Oci.GenerativeaiinferenceService.Models.CohereChatResponse.FinishReasonEnum.html"
)
_WATSONX = (
    "https://ibm.github.io/watsonx-ai-node-sdk/enums/1_7_x.WatsonXAI.TextChatResultChoice.Constants.FinishReason.html"
)

_FILTERED = "content_filter"


class BadEnd(NamedTuple):
    """An end that is an error.

    :ivar source: where it is documented, or was seen.
    :ivar code: of the error as which it is told, by which its kind is known; None: the reason itself.
    :ivar if_silent: it is one only where nothing was said before; otherwise what was said is an answer that was cut
        short, as by ``length``.
    """

    source: str
    code: str | None = None
    if_silent: bool = False

    @property
    def of_filter(self) -> bool:
        """Whether a filter has taken out what was not said."""
        return self.code == _FILTERED


BAD_ENDS: Mapping[str, BadEnd] = MappingProxyType(
    {
        "error": BadEnd("https://openrouter.ai/docs/api-reference/errors"),
        "network_error": BadEnd(_ZAI),
        # Of servers that end what they were at: vLLM, SGLang, z.ai.
        "abort": BadEnd("https://github.com/vllm-project/vllm/issues/57082"),
        "insufficient_system_resource": BadEnd(
            "https://api-docs.deepseek.com/api/create-chat-completion", "server_is_overloaded"
        ),
        "sensitive": BadEnd(_ZAI, _FILTERED, if_silent=True),
        "content_filter": BadEnd(_OPENAI, _FILTERED, if_silent=True),
        **dict.fromkeys(
            ("safety", "recitation", "blocklist", "prohibited_content", "spii", "language", "image_safety"),
            BadEnd(_GOOGLE, _FILTERED, if_silent=True),
        ),
        **dict.fromkeys(
            ("image_prohibited_content", "image_recitation", "model_armor"),
            BadEnd(_VERTEX, _FILTERED, if_silent=True),
        ),
        "refusal": BadEnd(_ANTHROPIC, _FILTERED, if_silent=True),
        **dict.fromkeys(("content_filtered", "guardrail_intervened"), BadEnd(_BEDROCK, _FILTERED, if_silent=True)),
        "error_toxic": BadEnd(_COHERE, _FILTERED, if_silent=True),
        "model_context_window_exceeded": BadEnd(_ZAI, "context_length_exceeded", if_silent=True),
        "malformed_function_call": BadEnd(_GOOGLE, if_silent=True),
        "function_call_filter: malformed_function_call": BadEnd(_GOOGLE_SEEN, if_silent=True),
        "unexpected_tool_call": BadEnd(_GOOGLE, if_silent=True),
        "function_call_filter: unexpected_tool_call": BadEnd(_GOOGLE_SEEN, if_silent=True),
        **dict.fromkeys(
            ("malformed_response", "missing_thought_signature", "too_many_tool_calls", "image_other", "no_image"),
            BadEnd(_VERTEX, if_silent=True),
        ),
        **dict.fromkeys(("malformed_model_output", "malformed_tool_use"), BadEnd(_BEDROCK, if_silent=True)),
        "error_limit": BadEnd(_COHERE, if_silent=True),
        **dict.fromkeys(("time_limit", "cancelled"), BadEnd(_WATSONX, if_silent=True)),
        "other": BadEnd(_GOOGLE, if_silent=True),
    }
)
"""By reason, in lower case."""


def bad_end_of(reason: object) -> BadEnd | None:
    """What *reason* is, if it is the reason of an error. It may say more: Google's is ``content_filter: SAFETY``."""
    if not isinstance(reason, str):
        return None
    name = reason.lower()
    return BAD_ENDS.get(name) or (BAD_ENDS.get(name.partition(":")[0]) if ":" in name else None)


def bad_end_in(choice: Mapping[str, Any]) -> BadEnd | None:
    """How *choice*, in which nothing is said, ends by an error. OpenRouter calls some ends ``stop``, and tells beside
    that what they were (https://github.com/earendil-works/pi/issues/8511).
    """
    reason, native = choice.get("finish_reason"), choice.get("native_finish_reason")
    return bad_end_of(reason) or (bad_end_of(native) if reason and native else None)
