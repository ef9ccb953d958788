"""The answers of the Responses API: https://platform.openai.com/docs/api-reference/responses"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from skyproxy.demo.shapes import FAILURE, event
from skyproxy.demo.words import Said


class ResponseShape:
    """One answer. A stream of it numbers its events, and repeats the whole content at its end.

    :param base: id, created and model, as chat has them.
    :param answers: only one can be given here.
    :param usage: None leaves the token counts out.
    """

    def __init__(self, base: dict[str, Any], answers: Sequence[Said], prompt_tokens: int, usage: bool | None) -> None:
        self._base = base
        self._item_id = f"msg_{base['id']}"
        self._said = answers[0]
        self._prompt_tokens = prompt_tokens
        self._usage = usage
        self._sequence = 0
        self._given: list[str] = []

    def whole(self) -> dict[str, Any]:
        return self._response("completed", self._said.whole())

    def opening(self) -> Iterator[bytes]:
        yield self._event("response.created", response=self._response("in_progress"))
        yield self._event("response.in_progress", response=self._response("in_progress"))
        item = {**self._item(""), "status": "in_progress", "content": []}
        yield self._event("response.output_item.added", output_index=0, item=item)
        yield self._part_event("response.content_part.added", part=_part(""))

    def pieces(self) -> Iterator[bytes]:
        for piece in self._said.pieces():
            self._given.append(piece)
            yield self._part_event("response.output_text.delta", delta=piece, logprobs=[])

    def closing(self) -> Iterator[bytes]:
        text = "".join(self._given)
        yield self._part_event("response.output_text.done", text=text, logprobs=[])
        yield self._part_event("response.content_part.done", part=_part(text))
        yield self._event("response.output_item.done", output_index=0, item=self._item(text))
        yield self._event("response.completed", response=self._response("completed", text))

    def failure(self) -> bytes:
        return self._event("error", code=str(FAILURE["code"]), message=FAILURE["message"], param=None)

    def _event(self, name: str, **fields: Any) -> bytes:
        numbered = {"type": name, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return event(numbered, name)

    def _part_event(self, name: str, **fields: Any) -> bytes:
        return self._event(name, item_id=self._item_id, output_index=0, content_index=0, **fields)

    def _item(self, text: str) -> dict[str, Any]:
        return {
            "id": self._item_id,
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [_part(text)],
        }

    def _response(self, status: str, text: str | None = None) -> dict[str, Any]:
        usage = None
        if text is not None and self._usage is not None:
            usage = {
                "input_tokens": self._prompt_tokens,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": self._said.tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": self._prompt_tokens + self._said.tokens,
            }
        return {
            "id": self._base["id"],
            "object": "response",
            "created_at": self._base["created"],
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "max_output_tokens": None,
            "metadata": {},
            "model": self._base["model"],
            "output": [] if text is None else [self._item(text)],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": usage,
        }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
