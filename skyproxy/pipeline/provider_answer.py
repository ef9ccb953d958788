"""A provider's answer, and how it goes down to a client."""

from __future__ import annotations

from skyproxy.errors import SkyproxyError, UpstreamReported
from skyproxy.formats.openai.stream_state import StreamState
from skyproxy.pipeline.client import Client
from skyproxy.pipeline.json_answer import ErrorAnswer, JsonAnswer
from skyproxy.pipeline.opaque_answer import OpaqueAnswer
from skyproxy.pipeline.presentation import Presentation
from skyproxy.pipeline.router import Candidate
from skyproxy.pipeline.stream_answer import StreamAnswer
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.attempt import Attempt


class ProviderAnswer:
    """What a candidate answered. It keeps its permit until it was sent, or is closed.

    :ivar attempt: the one that it answers.
    :ivar candidate: the one that answered.
    :ivar answer: what came, and what is kept of it.
    """

    __slots__ = ("_relayable", "answer", "attempt", "candidate")

    def __init__(self, answer: Answer, attempt: Attempt, candidate: Candidate, presentation: Presentation) -> None:
        self.answer = answer
        self.attempt = attempt
        self.candidate = candidate
        self._relayable = relayable(answer, presentation)

    @property
    def status(self) -> int:
        """As the provider sent it."""
        return self.answer.status

    @property
    def state(self) -> StreamState | None:
        """What is known of what has come; None if nothing is."""
        return self._relayable.state

    @property
    def failure(self) -> UpstreamReported | None:
        """What the provider has reported in it."""
        return self._relayable.failure

    async def send_to(self, client: Client) -> None:
        """Bring the answer to *client*, and close it.

        :raise SkyproxyError: it is not a complete answer to this kind of request. When ``client.started``, the client
            has seen the cut.
        """
        with self.answer as answer:
            try:
                await self._relayable.send_to(client)
            finally:
                # Some of it has gone down; it is the provider's failure all the same, for the guards and for the log.
                failure = self.failure
                if failure is not None:
                    self.attempt.observer.reported(self.attempt, failure)
            if failure is not None:
                answer.close(failure)

    def fail(self, error: SkyproxyError) -> None:
        """Give the answer up: whoever waits for more of it gets *error*."""
        self.answer.body.fail(error)

    def close(self) -> None:
        """Give the answer up unread."""
        self.answer.close(None)


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
