"""Names that OpenTelemetry's semantic conventions have for what spans tell, as far as skyproxy uses them.

The conventions for generative AI are not stable: names are those of one version, and change with this module alone.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from skyproxy.config import ProviderConfig

VERSION = "1.41.0"
"""https://github.com/open-telemetry/semantic-conventions/blob/v1.41.0/docs/gen-ai/gen-ai-spans.md"""

SCHEMA_URL = f"https://opentelemetry.io/schemas/{VERSION}"

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"

ERROR_TYPE = "error.type"
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

_OPERATIONS = {
    "/chat/completions": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
    "/responses": "chat",
    "/audio/speech": "speech",
    "/audio/transcriptions": "transcription",
}

_PROVIDERS = {
    "api.openai.com": "openai", "api.anthropic.com": "anthropic", "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek", "generativelanguage.googleapis.com": "gcp.gemini", "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai", "api.perplexity.ai": "perplexity", "api.x.ai": "x_ai",
    "openrouter.ai": "openrouter",
}  # fmt: skip
"""Well-known values of ``gen_ai.provider.name``, by host; and OpenRouter."""

_AZURE = ".openai.azure.com"


class Peer(NamedTuple):
    """Where a provider is.

    :ivar kind: what the conventions call it; its name in the configuration, where they have none.
    """

    kind: str
    address: str
    port: int


def operation_of(endpoint: str) -> str:
    """What a request to the path *endpoint* asks for."""
    return _OPERATIONS.get(endpoint, endpoint.strip("/"))


def peer_of(provider: ProviderConfig) -> Peer:
    """Where *provider* is."""
    parts = urlsplit(provider.base_url)
    host = parts.hostname or ""
    kind = "azure.ai.openai" if host.endswith(_AZURE) else _PROVIDERS.get(host, provider.name)
    return Peer(kind, host, parts.port or (443 if parts.scheme == "https" else 80))
