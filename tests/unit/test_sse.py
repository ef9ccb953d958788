"""Event streams: split anywhere, they are judged the same."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import UpstreamBroken
from skyproxy.sse import StreamVerdict, StreamWatch, error_event, payloads

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
DONE = b"data: [DONE]\n\n"


def judged(*pieces: bytes) -> StreamVerdict:
    watch = StreamWatch()
    for piece in pieces:
        watch.feed(piece)
    return watch.verdict()


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


class VerdictTests(SynchronousTestCase):
    """StreamWatch.verdict."""

    def test_whole_stream(self) -> None:
        stream = CHUNK % "é".encode() + STOP + USAGE + DONE
        for line_end in (b"\n", b"\r\n", b"\r"):
            data = b"\xef\xbb\xbf: comment\n\n".replace(b"\n", line_end) + stream.replace(b"\n", line_end)
            for pieces in ([data], byte_by_byte(data)):
                verdict = judged(*pieces)
                self.assertTrue(verdict.complete and verdict.done and verdict.ends_on_boundary)
                self.assertEqual(verdict.finish_reason, "stop")
                self.assertEqual(verdict.usage["completion_tokens"], 4)
                self.assertIsNone(verdict.error)

    def test_every_cut_of_a_stream_is_seen(self) -> None:
        data = CHUNK % b"a" + CHUNK % b"b" + STOP + DONE
        complete_from = len(data) - len(DONE) - 1  # the finish_reason's event needs one of its two line ends
        for end in range(len(data)):
            self.assertEqual(judged(data[:end]).complete, end > complete_from, msg=data[:end][-30:])

    def test_done_without_its_blank_line(self) -> None:
        self.assertTrue(judged(CHUNK % b"a" + b"data: [DONE]").complete)
        self.assertTrue(judged(CHUNK % b"a" + b"data: [DONE]\n").complete)

    def test_done_inside_content_is_no_end(self) -> None:
        self.assertFalse(judged(CHUNK % b"data: [DONE]").complete)

    def test_error_inside_the_stream(self) -> None:
        verdict = judged(CHUNK % b"a" + b'data: {"error":{"code":502,"message":"down"},"choices":[]}\n\n')
        self.assertEqual(verdict.error, {"code": 502, "message": "down"})
        self.assertFalse(verdict.complete)
        self.assertEqual(judged(b'data: {"error":"down"}\n\n').error, {"message": "down"})

    def test_responses_api(self) -> None:
        created = b'event: response.created\ndata: {"type":"response.created"}\n\n'
        last = json.dumps(
            {"type": "response.completed", "response": {"output": "x" * 200_000, "usage": {"total_tokens": 9}}}
        )
        event = b"event: response.completed\ndata: " + last.encode() + b"\n\n"
        verdict = judged(created, *[event[i : i + 1000] for i in range(0, len(event), 1000)])
        self.assertTrue(verdict.complete)
        self.assertEqual(verdict.usage, {"total_tokens": 9})
        self.assertFalse(judged(created).complete)

    def test_long_stream_is_judged_by_its_end_and_not_kept(self) -> None:
        watch = StreamWatch()
        for _ in range(5000):
            watch.feed(CHUNK % (b"x" * 100))
        self.assertLess(sum(map(len, watch._chunks)), 40_000)
        watch.feed(STOP)
        self.assertEqual(watch.verdict().finish_reason, "stop")

    def test_one_endless_event_is_not_kept(self) -> None:
        watch = StreamWatch()
        for _ in range(300):
            watch.feed(b"x" * 16_000)
        self.assertLess(sum(map(len, watch._chunks)), 1_200_000)
        self.assertFalse(watch.verdict().ends_on_boundary)


class EventTests(SynchronousTestCase):
    """error_event and payloads."""

    def test_error_event_is_an_event_of_its_own(self) -> None:
        error = UpstreamBroken("It broke.")
        whole = CHUNK % b"a"
        for sent in (whole, whole + b'data: {"cho', whole + b"data: x\n"):
            stream = sent + error_event(error, judged(sent).ends_on_boundary)
            last = list(payloads(stream))[-1]
            self.assertEqual(json.loads(last)["error"]["message"], "It broke.")

    def test_payloads_join_lines_and_skip_comments(self) -> None:
        self.assertEqual(list(payloads(b":c\n\nevent: x\ndata:1\ndata: 2\nid: 3\n\nid: 4\n\n")), [b"1\n2"])
