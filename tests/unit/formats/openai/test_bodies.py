"""What chunks of an answer say, and whole ones."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.formats.openai.bodies import read_leniently, text_length


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

    def test_half_of_a_surrogate_pair(self) -> None:
        call = {"index": 0, "function": {"arguments": "\ud83d"}}
        for said in ({"content": "\ud83d"}, {"tool_calls": [call]}, {"content": [{"type": "text", "text": "\ud83d"}]}):
            self.assertEqual(text_length({"choices": [{"delta": said}]}), 3)

    def test_junk(self) -> None:
        deep: Any = "x"
        for _ in range(100):
            deep = [deep]
        for junk in (None, 7, [7], {"choices": 7}, {"content": 7}, deep, [[]], {"delta": []}):
            for answer in ({"choices": junk}, {"choices": [junk]}, {"choices": [{"delta": junk}]}, {"output": junk}):
                self.assertEqual(text_length(answer), 0)


class ReadTests(SynchronousTestCase):
    """read_leniently."""

    def test_what_is_near_enough_to_json(self) -> None:
        for data, value in (
            (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
            (b'\xef\xbb\xbf \r\n{"a":NaN, "b":"\xf0\x9f"}', {"a": ANY, "b": "\ufffd"}),
            (b'{"a":"caf\xc3"}', {"a": "caf\ufffd"}),
            (b'{"a":"\\ud83d"}', {"a": "\ud83d"}),
        ):
            self.assertEqual(read_leniently(data), value)

    def test_what_is_not(self) -> None:
        for data in (b"\xef\xbb\xbf", b"\xff", b'{"a":"\xff', b'\xef\xbb\xbf\xef\xbb\xbf{"a":1}', b"x"):
            self.assertEqual(read_leniently(data), data.decode("utf-8", "replace"))
