"""Answers that go down as they come, whatever they are: audio, and what is too large to be kept until it is whole."""

from __future__ import annotations

from skyproxy.errors import UpstreamReported
from skyproxy.formats.openai.stream_state import StreamState
from skyproxy.pipeline.client import Client
from skyproxy.pipeline.presentation import Presentation
from skyproxy.pipeline.relayed_fields import relayed_fields, typed
from skyproxy.upstream.exchange.answer import Answer

_BYTES = (b"Content-Type", b"application/octet-stream")
_LENGTHS = frozenset({b"content-length", b"content-encoding"})


class OpaqueAnswer:
    """Bytes that nobody reads.

    :ivar state: None: nothing is known of them; and so is *failure*.
    """

    __slots__ = ("_answer", "_presentation")

    state: StreamState | None = None
    failure: UpstreamReported | None = None

    def __init__(self, answer: Answer, presentation: Presentation) -> None:
        self._answer = answer
        self._presentation = presentation

    async def send_to(self, client: Client) -> None:
        """Bring them to *client*, at its pace.

        :raise UpstreamBroken: they are cut. When ``client.started``, the client has seen that.
        :raise UpstreamTimeout: likewise, they do not come in time.
        """
        answer = self._answer
        body = answer.body
        headers = [*typed(relayed_fields(answer.headers), answer.content_type, _BYTES), *self._presentation.fields]
        if await body.first() is not None:
            client.answer(answer.status, headers, b"")
            return
        headers.extend((name, value) for name, value in answer.headers if name.lower() in _LENGTHS)
        body.stream()
        try:
            client.start(answer.status, headers, body, body.taken())
            await body.flow(client.write)
        except Exception:
            client.cut(b"")
            raise
        client.finish()
