from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.policy import complete_and_good, kept_headers
from tests.unit.cache.clients import EVENTS, JSON

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
        headers = (EVENTS, (b"Cache-Control", b"no-cache"), (b"X-Accel-Buffering", b"no"), (b"openai-model", b"m"))
        self.assertEqual(kept_headers(headers), headers)


class EventStreamTests(SynchronousTestCase):
    def good(self, *events: bytes) -> bool:
        return complete_and_good(200, [EVENTS], b"".join(events), stream=True)

    def test_one_that_says_it_is_over(self) -> None:
        self.assertTrue(self.good(WORD, STOP, DONE))
        self.assertTrue(self.good(WORD, STOP))
        self.assertTrue(self.good(WORD, DONE.rstrip()))
        self.assertTrue(self.good(*[WORD] * 2000, STOP, DONE))

    def test_one_that_does_not(self) -> None:
        self.assertFalse(self.good(WORD))
        self.assertFalse(self.good(WORD, STOP[:-3]))
        self.assertFalse(self.good(b": comment\n\n"))

    def test_an_error_in_it(self) -> None:
        self.assertFalse(self.good(WORD, b'data: {"error":{"message":"no"}}\n\n', DONE))
        self.assertFalse(self.good(WORD, b'data: {"choices":[{"finish_reason":"error"}]}\n\n', DONE))

    def test_the_responses_api(self) -> None:
        long = b"x" * 40_000
        delta = b'data: {"type":"response.output_text.delta","delta":"x"}\n\n'
        for kind, good in ((b"completed", True), (b"incomplete", True), (b"failed", False), (b"created", False)):
            end = b'data: {"type":"response.%b","response":{"text":"%b"}}\n\n' % (kind, long)
            self.assertEqual(self.good(delta, end), good, kind)

    def test_other_statuses(self) -> None:
        for status in (201, 204, 206, 400, 429, 500):
            self.assertFalse(complete_and_good(status, [EVENTS], DONE, stream=True), status)


class OtherStreamTests(SynchronousTestCase):
    AUDIO = (b"Content-Type", b"audio/mpeg")

    def test_as_long_as_it_said(self) -> None:
        self.assertTrue(complete_and_good(200, [self.AUDIO, (b"Content-Length", b"3")], b"abc", stream=True))
        self.assertFalse(complete_and_good(200, [self.AUDIO, (b"Content-Length", b"4")], b"abc", stream=True))

    def test_one_of_unknown_length_may_have_been_cut(self) -> None:
        self.assertFalse(complete_and_good(200, [self.AUDIO], b"abc", stream=True))

    def test_json(self) -> None:
        for body, good in ((b'{"text":"hi"}', True), (b'{"error":{"message":"no"}}', False)):
            length = (b"Content-Length", b"%d" % len(body))
            self.assertEqual(complete_and_good(200, [JSON, length], body, stream=True), good)


class WholeTests(SynchronousTestCase):
    def good(self, body: bytes, status: int = 200) -> bool:
        return complete_and_good(status, [JSON], body, stream=False)

    def test_success(self) -> None:
        self.assertTrue(self.good(b'{"choices":[{"finish_reason":"stop"}],"error":null}'))
        self.assertTrue(self.good(b'{"object":"list","data":[]}'))

    def test_failures(self) -> None:
        self.assertFalse(self.good(b'{"choices":[]}', status=500))
        self.assertFalse(self.good(b'{"error":{"message":"no","code":429}}'))
        self.assertFalse(self.good(b'{"choices":[{"finish_reason":"error"}]}'))

    def test_what_is_no_object(self) -> None:
        for body in (b"", b"{}", b"[]", b'{"a":', b"OK"):
            self.assertFalse(self.good(body), body)

    def test_a_response_that_is_still_made(self) -> None:
        for status, good in (("completed", True), ("incomplete", True), ("queued", False), ("in_progress", False)):
            self.assertEqual(self.good(b'{"object":"response","status":"%b"}' % status.encode()), good, status)
