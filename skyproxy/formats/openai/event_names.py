"""The names of the Responses API's events that mean something to skyproxy, each once.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

PREFIX = "response."
"""What the type of each such event begins with."""

COMPLETED = "response.completed"
INCOMPLETE = "response.incomplete"
FAILED = "response.failed"

ENDED = "response.done"
"""How some end, whatever their status is (https://github.com/can1357/oh-my-pi/pull/4692)."""

TERMINAL = frozenset({COMPLETED, INCOMPLETE, FAILED, ENDED})
"""They end a stream."""

PREAMBLE = frozenset(
    {
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_summary_part.added",
    }
)
"""They come before anything is said."""

TEXT_DELTA = "response.output_text.delta"
TEXT_DONE = "response.output_text.done"

REASONING_PREFIX = "response.reasoning"
"""What the type of each event about reasoning begins with."""

HEARTBEATS = frozenset({"ping", "keepalive", "keep-alive", "keep_alive", "heartbeat"})
"""Names, types or texts of events, of any API, that only keep a connection open (Anthropic's is ``ping``)."""
