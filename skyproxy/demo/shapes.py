"""What the API's answers look like: errors, and those of chat and completions, whole and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol
from uuid import uuid4

import orjson

from skyproxy.demo.words import Said

FAILURE = {
    "message": "The guard took an arrow while answering.",
    "type": "server_error",
    "param": None,
    "code": 502,
}


class ApiError(Exception):
    """A request that gets an error for an answer.

    :ivar status: of the answer.
    :ivar retry_after: the value of its Retry-After header.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.retry_after = retry_after

    def as_object(self) -> dict[str, Any]:
        """The error in OpenAI's shape."""
        kind = _ERROR_TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


_ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Shape(Protocol):
    """How an endpoint gives what was said."""

    def whole(self) -> dict[str, Any]:
        """The answer at once."""

    def opening(self) -> Iterator[bytes]:
        """The events before the content."""

    def pieces(self) -> Iterator[bytes]:
        """The content, an event for each piece."""

    def closing(self) -> Iterator[bytes]:
        """The events after all of the content."""

    def failure(self) -> bytes:
        """The event that reports an error."""


class ChatShape:
    """https://platform.openai.com/docs/api-reference/chat

    :param base: id, created and model.
    :param usage: whether a stream ends with the token counts; None leaves them out of a whole answer, too.
    """

    def __init__(self, base: dict[str, Any], said: Said, prompt_tokens: int, usage: bool | None) -> None:
        self._base = base
        self._said = said
        self._prompt_tokens = prompt_tokens
        self._usage = usage

    def whole(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self._said.whole(), "refusal": None}
        if self._said.thoughts:
            message["reasoning_content"] = "".join(self._said.thoughts)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        answer = {**self._base, "object": "chat.completion", "choices": [choice]}
        return answer if self._usage is None else {**answer, "usage": token_counts(self._said, self._prompt_tokens)}

    def opening(self) -> Iterator[bytes]:
        yield event(self._chunk({"role": "assistant", "content": ""}))

    def pieces(self) -> Iterator[bytes]:
        thought = Template(lambda hole: self._chunk({"reasoning_content": hole}))
        yield from map(thought.fill, self._said.thoughts)
        content = Template(lambda hole: self._chunk({"content": hole}))
        yield from map(content.fill, self._said.pieces())

    def closing(self) -> Iterator[bytes]:
        yield event(self._chunk({}, "stop"))
        if self._usage:
            counts = token_counts(self._said, self._prompt_tokens)
            yield event({**self._base, "object": "chat.completion.chunk", "choices": [], "usage": counts})
        yield DONE

    def failure(self) -> bytes:
        return event({"error": FAILURE})

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**self._base, "object": "chat.completion.chunk", "choices": [choice]}
        return {**chunk, "usage": None} if self._usage else chunk


class CompletionShape:
    """https://platform.openai.com/docs/api-reference/completions; parameters as for :class:`ChatShape`."""

    def __init__(self, base: dict[str, Any], said: Said, prompt_tokens: int, usage: bool | None) -> None:
        self._base = {**base, "object": "text_completion"}
        self._said = said
        self._prompt_tokens = prompt_tokens
        self._usage = usage

    def whole(self) -> dict[str, Any]:
        answer = self._chunk(self._said.whole(), "stop")
        return answer if self._usage is None else {**answer, "usage": token_counts(self._said, self._prompt_tokens)}

    def opening(self) -> Iterator[bytes]:
        return iter(())

    def pieces(self) -> Iterator[bytes]:
        yield from map(Template(self._chunk).fill, self._said.pieces())

    def closing(self) -> Iterator[bytes]:
        yield event(self._chunk("", "stop"))
        if self._usage:
            yield event({**self._base, "choices": [], "usage": token_counts(self._said, self._prompt_tokens)})
        yield DONE

    def failure(self) -> bytes:
        return event({"error": FAILURE})

    def _chunk(self, text: str, finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish_reason}
        return {**self._base, "choices": [choice]}


class Template:
    """An event that is the same each time but for one string: encoded once, not per piece."""

    def __init__(self, make: Any) -> None:
        hole = uuid4().hex
        self._before, _, self._after = event(make(hole)).partition(orjson.dumps(hole))

    def fill(self, text: str) -> bytes:
        """The event with *text* in its place."""
        return self._before + orjson.dumps(text) + self._after


DONE = b"data: [DONE]\n\n"


def event(data: dict[str, Any], name: str | None = None) -> bytes:
    """A server-sent event."""
    head = b"" if name is None else b"event: " + name.encode("ascii") + b"\n"
    return head + b"data: " + orjson.dumps(data) + b"\n\n"


def token_counts(said: Said, prompt_tokens: int) -> dict[str, int]:
    """The usage object of chat and completions."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": said.tokens,
        "total_tokens": prompt_tokens + said.tokens,
    }
