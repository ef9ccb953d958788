"""What the API's answers look like: errors, and those of chat and completions, whole and streamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
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
    :param answers: one for each choice; in a stream their pieces take turns.
    :param usage: whether a stream ends with the token counts; None leaves them out of a whole answer, too.
    """

    def __init__(self, base: dict[str, Any], answers: Sequence[Said], prompt_tokens: int, usage: bool | None) -> None:
        self._base = base
        self._answers = answers
        self._prompt_tokens = prompt_tokens
        self._usage = usage

    def whole(self) -> dict[str, Any]:
        choices = [
            {"index": index, "message": self._message(index, said), "logprobs": None, "finish_reason": _reason(said)}
            for index, said in enumerate(self._answers)
        ]
        answer = {**self._base, "object": "chat.completion", "choices": choices}
        if self._usage is None:
            return answer
        return {**answer, "usage": token_counts(self._answers, self._prompt_tokens)}

    def opening(self) -> Iterator[bytes]:
        for index, said in enumerate(self._answers):
            delta: dict[str, Any] = {"role": "assistant", "content": ""}
            if said.function is not None:
                calls = [{"index": 0, **self._call(index, said.function, "")}]
                delta = {"role": "assistant", "content": None, "tool_calls": calls}
            yield event(self._chunk(delta, index))

    def pieces(self) -> Iterator[bytes]:
        yield from _in_turn([self._pieces_of(index, said) for index, said in enumerate(self._answers)])

    def closing(self) -> Iterator[bytes]:
        for index, said in enumerate(self._answers):
            yield event(self._chunk({}, index, _reason(said)))
        if self._usage:
            counts = token_counts(self._answers, self._prompt_tokens)
            yield event({**self._base, "object": "chat.completion.chunk", "choices": [], "usage": counts})
        yield DONE

    def failure(self) -> bytes:
        return event({"error": FAILURE})

    def _message(self, index: int, said: Said) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": said.whole(), "refusal": None}
        if said.function is not None:
            message["tool_calls"] = [self._call(index, said.function, message["content"])]
            message["content"] = None
        if said.thoughts:
            message["reasoning_content"] = "".join(said.thoughts)
        return message

    def _call(self, index: int, function: str, arguments: str) -> dict[str, Any]:
        name = f"call_{self._base['id']}_{index}"
        return {"id": name, "type": "function", "function": {"name": function, "arguments": arguments}}

    def _pieces_of(self, index: int, said: Said) -> Iterator[bytes]:
        def part(hole: str) -> dict[str, Any]:
            if said.function is None:
                return self._chunk({"content": hole}, index)
            return self._chunk({"tool_calls": [{"index": 0, "function": {"arguments": hole}}]}, index)

        thought = Template(lambda hole: self._chunk({"reasoning_content": hole}, index))
        yield from map(thought.fill, said.thoughts)
        yield from map(Template(part).fill, said.pieces())

    def _chunk(self, delta: dict[str, Any], index: int, finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**self._base, "object": "chat.completion.chunk", "choices": [choice]}
        return {**chunk, "usage": None} if self._usage else chunk


class CompletionShape:
    """https://platform.openai.com/docs/api-reference/completions; parameters as for :class:`ChatShape`."""

    def __init__(self, base: dict[str, Any], answers: Sequence[Said], prompt_tokens: int, usage: bool | None) -> None:
        self._base = {**base, "object": "text_completion"}
        self._answers = answers
        self._prompt_tokens = prompt_tokens
        self._usage = usage

    def whole(self) -> dict[str, Any]:
        choices = [_text_choice(said.whole(), index, "stop") for index, said in enumerate(self._answers)]
        answer = {**self._base, "choices": choices}
        if self._usage is None:
            return answer
        return {**answer, "usage": token_counts(self._answers, self._prompt_tokens)}

    def opening(self) -> Iterator[bytes]:
        return iter(())

    def pieces(self) -> Iterator[bytes]:
        yield from _in_turn([self._pieces_of(index, said) for index, said in enumerate(self._answers)])

    def closing(self) -> Iterator[bytes]:
        for index in range(len(self._answers)):
            yield event({**self._base, "choices": [_text_choice("", index, "stop")]})
        if self._usage:
            counts = token_counts(self._answers, self._prompt_tokens)
            yield event({**self._base, "choices": [], "usage": counts})
        yield DONE

    def failure(self) -> bytes:
        return event({"error": FAILURE})

    def _pieces_of(self, index: int, said: Said) -> Iterator[bytes]:
        part = Template(lambda hole: {**self._base, "choices": [_text_choice(hole, index)]})
        return map(part.fill, said.pieces())


def _text_choice(text: str, index: int, finish_reason: str | None = None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}


def _reason(said: Said) -> str:
    return "stop" if said.function is None else "tool_calls"


def _in_turn(choices: Sequence[Iterator[bytes]]) -> Iterator[bytes]:
    """One event of each, again and again, until all have ended."""
    if len(choices) == 1:
        return choices[0]
    return (piece for turn in zip_longest(*choices) for piece in turn if piece is not None)


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


def token_counts(answers: Sequence[Said], prompt_tokens: int) -> dict[str, int]:
    """The usage object of chat and completions."""
    tokens = sum(said.tokens for said in answers)
    return {"prompt_tokens": prompt_tokens, "completion_tokens": tokens, "total_tokens": prompt_tokens + tokens}
