"""What a provider's answer is, and so how it goes down to the client."""

from __future__ import annotations

from skyproxy.pipeline.json_answer import ErrorAnswer, JsonAnswer
from skyproxy.pipeline.opaque_answer import OpaqueAnswer
from skyproxy.pipeline.presentation import Presentation
from skyproxy.pipeline.stream_answer import StreamAnswer
from skyproxy.upstream.exchange.answer import Answer


def relayable(answer: Answer, presentation: Presentation) -> JsonAnswer | StreamAnswer | OpaqueAnswer | ErrorAnswer:
    """*answer* in the form in which it goes down, by its status, its media type or its beginning, and what was asked
    for.
    """
    if answer.status >= 400:
        return ErrorAnswer(answer, presentation)
    if answer.is_event_stream:
        return StreamAnswer(answer, presentation)
    if answer.too_large or not presentation.in_json:
        return OpaqueAnswer(answer, presentation)
    return JsonAnswer(answer, presentation)
