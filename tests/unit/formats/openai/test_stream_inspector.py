"""Streams: split anywhere, they are judged the same."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.formats.openai import stream_inspector
from skyproxy.formats.openai.stream_inspector import StreamInspector, StreamState

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
DONE = b"data: [DONE]\n\n"


def judged(*pieces: bytes) -> StreamState:
    watch = StreamInspector()
    for piece in pieces:
        watch.feed(piece)
    return watch.state()


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


class VerdictTests(SynchronousTestCase):
    """StreamWatch.verdict."""

    def test_whole_stream(self) -> None:
        stream = CHUNK % "é".encode() + STOP + USAGE + DONE
        for line_end in (b"\n", b"\r\n", b"\r"):
            data = b"\xef\xbb\xbf: comment\n\n".replace(b"\n", line_end) + stream.replace(b"\n", line_end)
            for pieces in ([data], byte_by_byte(data)):
                state = judged(*pieces)
                self.assertTrue(state.complete and state.done and state.ends_on_boundary)
                self.assertEqual(state.finish_reason, "stop")
                self.assertEqual(state.usage["completion_tokens"], 4)
                self.assertIsNone(state.error)

    def test_every_cut_of_a_stream_is_seen(self) -> None:
        data = CHUNK % b"a" + CHUNK % b"b" + STOP + DONE
        complete_from = len(data) - len(DONE) - 1  # the finish_reason's event needs one of its two line ends
        for end in range(len(data)):
            self.assertEqual(judged(data[:end]).complete, end > complete_from, msg=data[:end][-30:])

    def test_done_without_its_blank_line(self) -> None:
        self.assertTrue(judged(CHUNK % b"a" + b"data: [DONE]").complete)
        self.assertTrue(judged(CHUNK % b"a" + b"data: [DONE]\n").complete)

    def test_whether_it_is_over_can_be_told_before_the_verdict(self) -> None:
        """At every end, however it came: as the verdict says."""
        for data in (
            CHUNK % b"a" + STOP + DONE,
            CHUNK % b"data: [DONE]\\n\\n",
            (CHUNK % b"a" + DONE).replace(b"\n", b"\r\n"),
            CHUNK % b"a" + b"data: x\n" + DONE,
            DONE,
        ):
            for end in range(len(data) + 1):
                for pieces in ([data[:end]], byte_by_byte(data[:end]), [data[: end - 14], data[end - 14 : end]]):
                    watch = StreamInspector()
                    for piece in pieces:
                        watch.feed(piece)
                    told = watch.done, watch.complete
                    state = judged(*pieces)
                    self.assertEqual(told, (state.done, state.complete), pieces)

    def test_an_ordinary_end_is_told_without_reading(self) -> None:
        self.patch(stream_inspector, "as_object", lambda data: self.fail("An event was read."))
        for pieces in ([CHUNK % b"a" + STOP + DONE], [CHUNK % b"a", STOP, DONE]):
            watch = StreamInspector()
            for piece in pieces:
                watch.feed(piece)
            self.assertTrue(watch.done and watch.complete)

    def test_what_comes_after_a_verdict_changes_it(self) -> None:
        watch = StreamInspector()
        watch.feed(CHUNK % b"a")
        self.assertFalse(watch.state().complete)
        watch.feed(STOP)
        self.assertTrue(watch.state().complete)

    def test_done_inside_content_is_no_end(self) -> None:
        self.assertFalse(judged(CHUNK % b"data: [DONE]").complete)

    def test_error_inside_the_stream(self) -> None:
        state = judged(CHUNK % b"a" + b'data: {"error":{"code":502,"message":"down"},"choices":[]}\n\n')
        self.assertEqual(state.error, {"code": 502, "message": "down"})
        self.assertFalse(state.complete)
        self.assertEqual(judged(b'data: {"error":"down"}\n\n').error, {"message": "down"})

    def test_responses_api(self) -> None:
        created = b'event: response.created\ndata: {"type":"response.created"}\n\n'
        last = json.dumps(
            {"type": "response.completed", "response": {"output": "x" * 200_000, "usage": {"total_tokens": 9}}}
        )
        event = b"event: response.completed\ndata: " + last.encode() + b"\n\n"
        state = judged(created, *[event[i : i + 1000] for i in range(0, len(event), 1000)])
        self.assertTrue(state.complete)
        self.assertEqual(state.usage, {"total_tokens": 9})
        self.assertFalse(judged(created).complete)

    def test_long_stream_is_judged_by_its_end_and_not_kept(self) -> None:
        watch = StreamInspector()
        for _ in range(5000):
            watch.feed(CHUNK % (b"x" * 100))
        self.assertLess(sum(map(len, watch._chunks)), 40_000)
        watch.feed(STOP)
        self.assertEqual(watch.state().finish_reason, "stop")

    def test_what_was_said_before_the_last_events_counts_too(self) -> None:
        many = [CHUNK % b"word"] * 50
        error = b'data: {"error":{"message":"down"}}\n\n'
        self.assertEqual(judged(error, *many, DONE).error, {"message": "down"})
        self.assertEqual(judged(USAGE.replace(b": ", b":"), *many, DONE).usage["completion_tokens"], 4)
        self.assertEqual(judged(STOP, *many).finish_reason, "stop")
        self.assertFalse(judged(*many).complete)

    def test_an_ordinary_stream_is_judged_without_reading_all_that_is_kept(self) -> None:
        read: list[bytes] = []
        as_object = stream_inspector.as_object
        self.patch(stream_inspector, "as_object", lambda data: (read.append(data), as_object(data))[1])
        for end in ([DONE], [STOP, USAGE, DONE]):
            self.assertTrue(judged(*[CHUNK % b"x"] * 400, *end).complete)
        self.assertLess(len(read), 50)

    def test_one_endless_event_is_not_kept(self) -> None:
        watch = StreamInspector()
        for _ in range(300):
            watch.feed(b"x" * 16_000)
        self.assertLess(sum(map(len, watch._chunks)), 1_200_000)
        self.assertFalse(watch.state().ends_on_boundary)


class GeneratedTests(SynchronousTestCase):
    """StreamVerdict.generated."""

    def test_short_streams_are_counted(self) -> None:
        self.assertEqual(judged(CHUNK % b"Halt", CHUNK % "é".encode(), STOP, DONE).generated, 6)
        self.assertEqual(judged(CHUNK % b"Halt", CHUNK[:20]).generated, 4 * (len(CHUNK) + 22) // (len(CHUNK) + 2))

    def test_long_streams_are_reckoned_by_their_end(self) -> None:
        watch = StreamInspector()
        for number in range(3000):
            watch.feed(CHUNK % (b"x" * (50 + number % 7)))
        self.assertLess(abs(watch.state().generated / (53 * 3000) - 1), 0.1)

    def test_nothing_to_reckon(self) -> None:
        self.assertEqual(judged(CHUNK % b"Halt", STOP, USAGE, DONE).generated, 0)
        for nothing in ([], [b": comment\n\n"], [DONE], [b"data: 7\n\n"], [b"x" * 99]):
            self.assertEqual(judged(*nothing).generated, 0)

    def test_begun(self) -> None:
        watch = StreamInspector()
        self.assertFalse(watch.begun)
        watch.feed(b":")
        self.assertTrue(watch.begun)
