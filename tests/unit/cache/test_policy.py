from __future__ import annotations

from orjson import dumps
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.policy import kept_headers, may_be_stored
from skyproxy.formats.openai.stream_inspector import StreamInspector
from skyproxy.formats.openai.stream_state import StreamState
from skyproxy.upstream.exchange.whole_body import json_of
from tests.unit.cache.clients import EVENTS

WORD = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
STOP = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


class HeaderTests(SynchronousTestCase):
    def test_what_is_of_the_first_request_is_not_kept(self) -> None:
        first = [
            (b"X-Upstream-Request-Id", b"abc"),
            (b"X-Request-Id", b"abc"),
            (b"Retry-After", b"3"),
            (b"retry-after-ms", b"3"),
            (b"x-ratelimit-remaining-requests", b"9"),
            (b"RateLimit", b"9"),
            (b"cf-ray", b"abc"),
            (b"openai-processing-ms", b"12"),
            (b"openai-organization", b"org-1"),
            (b"X-Skyproxy-Cache", b"miss"),
            (b"Set-Cookie", b"a=b"),
        ]
        self.assertEqual(kept_headers(first), ())

    def test_what_describes_the_answer_is(self) -> None:
        headers = (
            EVENTS,
            (b"Cache-Control", b"no-cache"),
            (b"X-Accel-Buffering", b"no"),
            (b"openai-model", b"m"),
            (b"X-Skyproxy-Provider", b"guard"),
            (b"X-Skyproxy-Model", b"guard-large"),
        )
        self.assertEqual(kept_headers(headers), headers)


class EventStreamTests(SynchronousTestCase):
    def good(self, *events: bytes) -> bool:
        inspector = StreamInspector()
        for event in events:
            inspector.feed(event)
        inspector.end()
        return may_be_stored(200, inspector.state())

    def test_one_that_says_it_is_over(self) -> None:
        self.assertTrue(self.good(WORD, STOP, DONE))
        self.assertTrue(self.good(WORD, STOP))
        self.assertTrue(self.good(WORD, STOP[:-2]))
        self.assertTrue(self.good(WORD, DONE.rstrip()))
        self.assertTrue(self.good(*[WORD] * 2000, STOP, DONE))

    def test_one_that_does_not(self) -> None:
        self.assertFalse(self.good(WORD))
        self.assertFalse(self.good(WORD, STOP[:-3]))
        self.assertFalse(self.good(b": comment\n\n"))

    def test_an_error_in_it(self) -> None:
        self.assertFalse(self.good(WORD, b'data: {"error":{"message":"no"}}\n\n', *[WORD] * 2000, STOP, DONE))
        for reason, good in (
            *((each, False) for each in (b"error", b"content_filter", b"SAFETY", b"content_filter: OTHER", b"refusal")),
            *((each, True) for each in (b"length", b"tool_calls", b"model_context_window_exceeded")),
        ):
            self.assertEqual(self.good(WORD, b'data: {"choices":[{"finish_reason":"%b"}]}\n\n' % reason, DONE), good)

    def test_what_says_nothing(self) -> None:
        role = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
        call = b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"go"}}]}}]}\n\n'
        self.assertFalse(self.good(role, STOP, DONE))
        self.assertTrue(self.good(role, call, STOP, DONE))

    def test_the_responses_api(self) -> None:
        long = b"x" * 40_000
        delta = b'data: {"type":"response.output_text.delta","delta":"x"}\n\n'
        for kind, good in ((b"completed", True), (b"incomplete", True), (b"failed", False), (b"created", False)):
            end = b'data: {"type":"response.%b","response":{"text":"%b"}}\n\n' % (kind, long)
            self.assertEqual(self.good(delta, end), good, kind)

    def test_a_filter(self) -> None:
        """Of one choice of several, and in the words of the Responses API."""
        one, other = (b'data: {"choices":[{"index":%d,"finish_reason":"%b"}]}\n\n' % each for each in
                      ((0, b"content_filter"), (1, b"stop")))  # fmt: skip
        self.assertFalse(self.good(WORD, one, other, DONE))
        self.assertFalse(self.good(WORD, other, one, DONE))
        for reason, good in ((b"content_filter", False), (b"max_output_tokens", True)):
            end = b'{"type":"response.incomplete","response":{"incomplete_details":{"reason":"%b"}}}' % reason
            delta = b'data: {"type":"response.output_text.delta","delta":"x"}\n\n'
            self.assertEqual(self.good(delta, b"data: %b\n\n" % end), good, reason)


class WholeTests(SynchronousTestCase):
    def good(self, body: bytes) -> bool:
        return may_be_stored(200, json_of(body, []).state())

    def test_success(self) -> None:
        self.assertTrue(self.good(b'{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"error":null}'))
        self.assertTrue(self.good(b'{"object":"list","data":[]}'))

    def test_failures(self) -> None:
        for reason in (b"error", b"content_filter", b"sensitive", b"network_error", b"RECITATION", b"refusal"):
            body = b'{"choices":[{"message":{"content":"a"},"finish_reason":"%b"}]}' % reason
            self.assertFalse(self.good(body), reason)
        self.assertFalse(self.good(b"{}"))

    def test_a_filter(self) -> None:
        choices = [{"index": at, "message": {"content": "a"}, "finish_reason": reason} for at, reason in
                   enumerate(("content_filter", "stop"))]  # fmt: skip
        self.assertFalse(self.good(dumps({"choices": choices})))
        for reason, good in (("content_filter", False), ("max_output_tokens", True)):
            response = {"object": "response", "status": "incomplete", "incomplete_details": {"reason": reason}}
            self.assertEqual(self.good(dumps({**response, "output": []})), good, reason)

    def test_what_says_nothing(self) -> None:
        for said, good in (("", False), (None, False), ([{"type": "text", "text": ""}], False), ("a", True)):
            for usage in ({}, {"usage": {"prompt_tokens": 3, "completion_tokens": 0}}):
                choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
                self.assertEqual(self.good(dumps({"choices": [choice], **usage})), good, said)
        for message in ({"tool_calls": [{"function": {"name": "go"}}]}, {"refusal": "No."}, {"reasoning": "Hm"}):
            choice = {"message": {"content": None, **message}, "finish_reason": "stop"}
            self.assertTrue(self.good(dumps({"choices": [choice]})), message)
        empty, text = {"text": "", "finish_reason": "stop"}, {"text": "a", "finish_reason": "stop"}
        self.assertFalse(self.good(dumps({"choices": [empty]})))
        self.assertTrue(self.good(dumps({"choices": [empty, text]})))

    def test_a_response_that_is_still_made(self) -> None:
        for status, good in (("completed", True), ("incomplete", True), ("queued", False), ("in_progress", False),
                             ("failed", False), ("cancelled", False)):  # fmt: skip
            self.assertEqual(self.good(b'{"object":"response","status":"%b"}' % status.encode()), good, status)

    def test_other_statuses_and_what_nobody_has_read(self) -> None:
        for status in (201, 204, 206, 400, 429, 500):
            self.assertFalse(may_be_stored(status, StreamState(complete=True)), status)
        self.assertFalse(may_be_stored(200, None))
