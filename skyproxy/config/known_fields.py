"""The fields of a body that providers take who refuse what they do not know, as data.

SkyrimNet sends fields of OpenRouter's (``provider``, ``reasoning``, ``route``), to which OpenAI, Google, Mistral and
Groq answer 400 or 422. The sample has the same lists, with the pages that tell them; a test compares both.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        name: tuple(fields.split())
        for name, fields in {
            "openai": """
                model messages stream stream_options temperature top_p max_tokens max_completion_tokens n stop
                seed frequency_penalty presence_penalty logit_bias logprobs top_logprobs response_format tools
                tool_choice parallel_tool_calls functions function_call reasoning_effort verbosity modalities
                audio prediction web_search_options service_tier store metadata user safety_identifier
                prompt_cache_key prompt_cache_retention moderation prompt best_of echo suffix input dimensions
                encoding_format instructions max_output_tokens max_tool_calls previous_response_id conversation
                include reasoning text truncation background voice speed stream_format
            """,
            "google": """
                model messages stream stream_options temperature top_p max_tokens max_completion_tokens n stop
                seed frequency_penalty presence_penalty logprobs top_logprobs response_format tools tool_choice
                parallel_tool_calls reasoning_effort extra_body user input dimensions encoding_format
            """,
            "mistral": """
                model messages stream temperature top_p max_tokens max_completion_tokens stop random_seed seed
                frequency_penalty presence_penalty n response_format tools tool_choice parallel_tool_calls
                prediction prompt_mode reasoning_effort safe_prompt metadata input output_dimension output_dtype
                encoding_format
            """,
            "zai": """
                model messages stream temperature top_p max_tokens stop do_sample response_format tools
                tool_choice tool_stream thinking request_id user_id cache
            """,
            "groq": """
                model messages stream stream_options temperature top_p max_tokens max_completion_tokens n stop
                seed frequency_penalty presence_penalty response_format tools tool_choice parallel_tool_calls
                functions function_call reasoning_effort reasoning_format include_reasoning service_tier user
                metadata store documents citation_options search_settings compound_custom
                disable_tool_validation input instructions max_output_tokens reasoning text truncation voice
                speed
            """,
        }.items()
    }
)
"""By the provider's name. OpenRouter, and servers on this machine, ignore what they do not know."""
