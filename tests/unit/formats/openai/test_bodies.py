"""What chunks of an answer say, and whole ones."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.formats.openai.bodies import text_length


class LengthTests(SynchronousTestCase):
    """text_length."""

    def test_whatever_the_model_said(self) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "go", "arguments": '{"to":1}'}}
        part = {"type": "output_text", "text": "Halt", "annotations": []}
        answers: list[tuple[dict[str, Any], int]] = [
            ({"choices": [{"delta": {"role": "assistant", "content": "Halt"}}]}, 4),
            ({"choices": [{"delta": {"reasoning_content": "Hm", "content": None}}]}, 2),
            ({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}}]}, 2),
            ({"choices": [{"message": {"content": "Halt", "tool_calls": [call]}}]}, 14),
            ({"choices": [{"message": {"content": [{"type": "text", "text": "Halt"}]}}, {"text": "!"}]}, 5),
            ({"choices": [{"text": "Halt"}]}, 4),
            ({"type": "response.output_text.delta", "delta": "Halt"}, 4),
            ({"object": "response", "output": [{"type": "message", "content": [part, part]}]}, 8),
        ]
        for answer, length in answers:
            self.assertEqual(text_length(answer), length, answer)

    def test_junk(self) -> None:
        deep: Any = "x"
        for _ in range(100):
            deep = [deep]
        for junk in (None, 7, [7], {"choices": 7}, {"content": 7}, deep, [[]], {"delta": []}):
            for answer in ({"choices": junk}, {"choices": [junk]}, {"choices": [{"delta": junk}]}, {"output": junk}):
                self.assertEqual(text_length(answer), 0)
