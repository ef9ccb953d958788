"""The beginnings of streams, split anywhere."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.formats.openai.first_content import Opening


def chunk(**delta: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}).encode() + b"\n\n"


ROLE = chunk(role="assistant", content="")
DONE = b"data: [DONE]\n\n"
COMMENT = b": OPENROUTER PROCESSING\n\n"
ERROR = b'data: {"error":{"code":502,"message":"down"}}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


class OpeningTests(SynchronousTestCase):
    """Opening."""

    def judged(self, stream: bytes) -> Opening:
        whole = Opening()
        whole.feed(stream)
        single = Opening()
        for i in range(len(stream)):
            if single.feed(stream[i : i + 1]):
                break
        self.assertEqual(single.state, whole.state)
        return whole

    def test_what_is_no_content(self) -> None:
        for stream in (
            b"",
            COMMENT,
            ROLE,
            COMMENT + ROLE,
            b'data: {"choices":[]}\n\n',
            chunk(content=None),
            chunk(tool_calls=[]),
        ):
            self.assertEqual(self.judged(stream).state, "waiting", stream)

    def test_a_long_beginning(self) -> None:
        comments = COMMENT * 200
        self.assertEqual(self.judged(comments).state, "waiting")
        self.assertEqual(self.judged(comments + ERROR).state, "error")
        self.assertEqual(self.judged(chunk(content="x" * 5000)).state, "content")

    def test_what_is(self) -> None:
        for first in (
            chunk(content="a"),
            chunk(tool_calls=[{"index": 0}]),
            chunk(reasoning_content="hm"),
            chunk(refusal="no"),
            STOP,
            b'data: {"choices":[{"text":"a"}]}\n\n',
            b'data: {"type":"response.output_text.delta","delta":"a"}\n\n',
            b"data: not json\n\n",
        ):
            self.assertEqual(self.judged(COMMENT + ROLE + first).state, "content", first)
            self.assertEqual(self.judged((COMMENT + ROLE + first).replace(b"\n", b"\r\n")).state, "content", first)

    def test_responses_preamble(self) -> None:
        stream = b'data: {"type":"response.created"}\n\ndata: {"type":"response.in_progress"}\n\n'
        self.assertEqual(self.judged(stream).state, "waiting")

    def test_errors(self) -> None:
        opening = self.judged(COMMENT + ROLE + ERROR + chunk(content="late"))
        self.assertEqual((opening.state, opening.error), ("error", {"code": 502, "message": "down"}))

    def test_content_before_an_error_counts(self) -> None:
        self.assertEqual(self.judged(chunk(content="a") + ERROR).state, "content")

    def test_empty(self) -> None:
        self.assertEqual(self.judged(ROLE + DONE).state, "empty")

    def test_endless_preamble_is_taken_as_it_is(self) -> None:
        opening = Opening()
        while not opening.feed(COMMENT * 100):
            self.assertLess(opening._seen, 300_000)
        self.assertEqual(opening.state, "content")
