"""The first content of streams, cut anywhere."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.formats.openai.stream_inspector import LONGEST_PREAMBLE_BYTES, FirstContent, StreamInspector
from tests.unit.formats.openai.streams import COMMENT, DONE, STOP, USAGE, chunk, event, inspected, line_ends, splits

ROLE = chunk("", role="assistant")
ERROR = event(error={"code": 502, "message": "down"})


class FirstContentTests(SynchronousTestCase):
    """StreamInspector.first_content."""

    def assertFirst(self, expected: FirstContent, stream: bytes) -> None:
        for each in line_ends(stream):
            for reads in splits(each):
                self.assertEqual(inspected(*reads).first_content, expected, reads)

    def test_what_is_no_content(self) -> None:
        for stream in (
            b"",
            COMMENT,
            ROLE,
            COMMENT + ROLE,
            event(choices=[]),
            chunk(content=None),
            chunk(tool_calls=[]),
            chunk(content=[{"type": "text", "text": ""}]),
            # Together's, and LiteLLM's.
            event(choices=[{"text": "", "index": 0, "delta": {"token_id": 7, "role": "assistant", "content": ""}}]),
            chunk("", role="assistant", provider_specific_fields={"refusal": None, "citations": [], "more": {"a": ""}}),
            chunk("", refused=False, cached=True),
            # A finish_reason that is empty.
            chunk("", "", role="assistant"),
            event(choices=[{"text": "", "index": 0, "finish_reason": ""}]),
            # Events that say nothing.
            b"data: null\n\n",
            b"data:\n\n",
            b"data: \n\n",
            b"data: {}\n\n",
            b"data: []\n\n",
            b"data: 0\n\n",
            b'data: ""\n\n',
            b'event: ping\ndata: {"type":"ping"}\n\n',
            b'event: ping\ndata: {"time":7}\n\n',
            b"event: ping\n\n",
            b"event: keepalive\ndata: x\n\n",
            event(type="ping"),
            event(type="keepalive"),
            b"id: 7\n\n",
            b"retry: 3000\n\n",
            event(choices=None, usage={"prompt_tokens": 3}),
            event(id="x", object="chat.completion.chunk", model="m", usage={"prompt_tokens": 3}),
            event(choices=[], prompt_filter_results=[{"prompt_index": 0}]),
            USAGE,
            event(type="response.created") + event(type="response.in_progress"),
            event(type="response.output_text.delta", delta=""),
            event(type="response.reasoning_summary_part.added", part={"type": "summary_text", "text": ""}),
            b"data: ping\n\n",
            b'data: "keepalive"\n\n',
            b"data: [PING]\n\n",
            event(choices=[], obfuscation="x7"),
            event(choices=None, citations=["https://example.org"]),
            chunk("", "null", role="assistant"),
        ):
            self.assertFirst("waiting", stream)

    def test_what_is(self) -> None:
        for first in (
            chunk("a"),
            chunk(tool_calls=[{"index": 0}]),
            chunk(reasoning_content="hm"),
            chunk(refusal="no"),
            chunk(content=5),
            chunk(function_call={"name": "f", "arguments": ""}),
            chunk("", provider_specific_fields={"thinking_blocks": [{"thinking": "hm"}]}),
            chunk("", deep={"a": {"b": {"c": {"d": {"e": None}}}}}),
            chunk(content=[{"type": "text", "text": "a"}]),
            chunk(content=[{"type": "thinking", "thinking": []}]),
            STOP,
            event(choices=[{"text": "a"}]),
            event(type="response.output_text.delta", delta="a"),
            event(content="a"),
            event(choices=[], content="a"),
            b"data: not json\n\n",
        ):
            self.assertFirst("content", ROLE + first)

    def test_errors(self) -> None:
        for said in (
            ERROR,
            event(object="error", message="maximum context length is 32768 tokens", type="BadRequestError", code=400),
            b'event: error\ndata: {"code":400,"details":"bad"}\n\n',
            event(choices=[{"finish_reason": "error", "error": {"code": 502, "message": "Provider returned error"}}]),
            event(detail="model runner died"),
            event(choices=[{"index": 0, "delta": {"content": ""}, "error": {"code": 502, "message": "x"}}]),
            event(choices=[{"index": 0, "finish_reason": "stop", "error": {"code": 429, "message": "x"}}]),
            b'data: [{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]\n\n',
            b'event: exception\ndata: {"message":"x"}\n\n',
            event(success=False, message="x"),
            event(choices=None, base_resp={"status_code": 1008, "status_msg": "insufficient balance"}),
        ):
            self.assertFirst("error", said)
            self.assertFirst("error", ROLE + said + chunk("late"))

    def test_a_response_that_has_failed_is_an_answer(self) -> None:
        """Whole or streamed, its client reads it as one."""
        self.assertFirst("content", event(type="response.created") + event(type="response.failed", response={}))

    def test_content_before_an_error_counts(self) -> None:
        self.assertFirst("content", chunk("a") + ERROR)

    def test_empty(self) -> None:
        self.assertFirst("empty", ROLE + DONE)

    def test_a_long_beginning(self) -> None:
        self.assertEqual(inspected(COMMENT * 200).first_content, "waiting")
        self.assertEqual(inspected(COMMENT * 200, ERROR).first_content, "error")
        self.assertEqual(inspected(chunk("x" * 5000)).first_content, "content")

    def test_an_endless_beginning_is_taken_as_it_is(self) -> None:
        for read in (COMMENT * 100, b"x" * 1000):
            inspector, size = StreamInspector(), 0
            while inspector.first_content == "waiting":
                self.assertLess(size, LONGEST_PREAMBLE_BYTES + 3000)
                inspector.feed(read)
                size += len(read)
            self.assertEqual(inspector.first_content, "content")
