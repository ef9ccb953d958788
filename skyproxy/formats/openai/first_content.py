"""The beginning of a stream: whether it has begun to say something, or only that it will not."""

from __future__ import annotations

from typing import Any, Literal

from skyproxy.formats.openai.bodies import as_object, error_of
from skyproxy.formats.sse import boundary_before, payloads

State = Literal["waiting", "content", "error", "empty"]

_LONGEST = 256 * 1024
"""Bytes that a stream may send before its first content; beyond, it is taken as it is."""

_FIRST = 2048
"""Bytes of what has come that are looked at before the others are."""

# Of the Responses API's events, those that come before anything is said.
_PREAMBLE = frozenset(
    {
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    }
)


class Opening:
    """Reads a stream up to its first content.

    Comments, chunks with nothing but a role, and lists of choices without one are no content. Tool calls, refusals and
    reasoning are: the model is at work.

    :ivar state: ``waiting`` until there is something: ``content``; ``error``: the provider reports one in the stream;
        ``empty``: it says that it is done, and has said nothing.
    :ivar error: what was reported.
    """

    def __init__(self) -> None:
        self.state: State = "waiting"
        self.error: dict[str, Any] | None = None
        self._rest = b""
        self._seen = 0

    def feed(self, data: bytes) -> bool:
        """Note the next bytes.

        :return: whether the state is known now.
        """
        # Of a stream that comes as a whole, its beginning will do.
        return self._known(data[:_FIRST]) or (len(data) > _FIRST and self._known(data[_FIRST:]))

    def _known(self, data: bytes) -> bool:
        self._seen += len(data)
        data = self._rest + data
        for payload in payloads(data):
            self._judge(payload)
            if self.state != "waiting":
                return True
        self._rest = data[boundary_before(data, len(data)) :]
        if self._seen > _LONGEST:
            self.state = "content"
            return True
        return False

    def _judge(self, payload: bytes) -> None:
        if payload == b"[DONE]":
            self.state = "empty"
            return
        event = as_object(payload)
        self.error = error_of(event)
        if self.error is not None:
            self.state = "error"
        elif says_something(event):
            self.state = "content"


def says_something(event: dict[str, Any]) -> bool:
    """Whether a chunk has content, or an end that stands for one."""
    choices = event.get("choices")
    if isinstance(choices, list):
        return any(_choice_says(choice) for choice in choices)
    return event.get("type") not in _PREAMBLE


def _choice_says(choice: Any) -> bool:
    if not isinstance(choice, dict):
        return True
    if choice.get("finish_reason") is not None or choice.get("text"):
        return True
    delta = choice.get("delta")
    return isinstance(delta, dict) and any(value for name, value in delta.items() if name != "role")
