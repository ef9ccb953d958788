"""A provider's answer, and how it goes down to a client."""

from __future__ import annotations

from skyproxy.errors import SkyproxyError
from skyproxy.formats.openai.stream_state import Asked, StreamState
from skyproxy.pipeline.relay import Client, relay
from skyproxy.pipeline.router import Candidate
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.attempt import Attempt


class ProviderAnswer:
    """What a candidate answered. It keeps its permit until it was sent, or is closed.

    :param model: the name that a JSON answer carries; None where the answer may be anything.
    :param asked: what the client wants of a stream.
    :ivar attempt: the one that it answers.
    :ivar candidate: the one that answered.
    :ivar answer: what came, and what is kept of it.
    """

    __slots__ = ("_asked", "_model", "_state", "answer", "attempt", "candidate")

    def __init__(self, answer: Answer, attempt: Attempt, candidate: Candidate, model: str | None, asked: Asked) -> None:
        self.answer = answer
        self.attempt = attempt
        self.candidate = candidate
        self._model = model
        self._asked = asked
        self._state: StreamState | None = None

    @property
    def status(self) -> int:
        """As the provider sent it."""
        return self.answer.status

    @property
    def state(self) -> StreamState | None:
        """What is known of what has come; None if nothing is."""
        return self.answer.stream_state if self._state is None else self._state

    async def send_to(self, client: Client) -> None:
        """Bring the answer to *client*, and close it.

        :raise SkyproxyError: it is not a complete answer to this kind of request. When ``client.started``, the client
            has seen the cut.
        """
        with self.answer as answer:
            # A good answer that comes whole is not searched for secrets.
            shows_errors = answer.status >= 400 or answer.is_event_stream
            self._state = await relay(
                answer,
                client,
                self._model,
                asked=self._asked,
                strip_reasoning=self.candidate.strip_reasoning,
                secrets=self.candidate.provider.secrets if shows_errors else (),
            )

    def fail(self, error: SkyproxyError) -> None:
        """Give the answer up: whoever waits for more of it gets *error*."""
        self.answer.body.fail(error)

    def close(self) -> None:
        """Give the answer up unread."""
        self.answer.close(None)
