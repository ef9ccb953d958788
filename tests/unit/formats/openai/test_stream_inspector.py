"""Streams: cut anywhere, they are read the same, once, and go on as they came."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import repeat
from random import Random
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import ErrorKind
from skyproxy.formats import sse
from skyproxy.formats.openai import frames, stream_inspector
from skyproxy.formats.openai.frames import LONGEST_EVENT_BYTES
from skyproxy.formats.openai.stream_inspector import StreamInspector
from skyproxy.formats.openai.stream_state import Asked, StreamState
from tests.unit.formats.openai.streams import COMMENT, DONE, STOP, USAGE, chunk, event, inspected, line_ends, splits

ROLE = chunk("", role="assistant")
FEW_WORDS = b"".join(chunk(text) for text in ("Halt", " \u00e9", ' \\"', "!"))


def read(reads: Iterable[bytes], model: str | None = None) -> tuple[bytes, StreamState]:
    """What goes on of a stream that ends properly, and what is known of it."""
    inspector = StreamInspector(model=model)
    passed = [inspector.feed(data) for data in reads]
    passed.append(inspector.end())
    return b"".join(passed), inspector.state()


class Case(SynchronousTestCase):
    def known(self, stream: bytes, shown: bytes | None = None) -> StreamState:
        """What is known of *stream*, however it is cut. It goes on as it is, or as *shown*."""
        known: StreamState | None = None
        for reads in splits(stream):
            passed, state = read(reads)
            self.assertEqual(passed, stream if shown is None else shown)
            known = known or state
            self.assertEqual(state, known, reads)
        assert known is not None
        return known


class EndTests(Case):
    """Whether and how a stream is over."""

    def test_whole_stream(self) -> None:
        for stream in line_ends(b": comment\n\n" + chunk("Halt") + chunk("\u00e9") + STOP + USAGE + DONE):
            state = self.known(stream)
            self.assertTrue(state.complete and state.done)
            self.assertEqual((state.finish_reason, state.error), ("stop", None))
            self.assertEqual(state.usage["completion_tokens"], 4)

    def test_blank_lines_that_end_otherwise_than_the_lines(self) -> None:
        plain = b": comment\n\n" + chunk("Halt") + chunk("\u00e9") + STOP + USAGE + DONE
        for blank in (b"\n\r", b"\r\n\r", b"\n\r\n", b"\r\r\n"):
            stream = plain.replace(b"\n\n", blank)
            for size in (1, 2, 3, 50, len(stream)):
                passed, state = read([stream[at : at + size] for at in range(0, len(stream), size)])
                self.assertEqual((state.complete, state.done, state.usage["completion_tokens"]), (True, True, 4))
                self.assertEqual(passed, stream[: len(passed)])
                self.assertLess(len(stream) - len(passed), 3)  # of what is behind [DONE]
            self.assertEqual(inspected(stream[: stream.index(b"Halt") + 90]).first_content, "content")

    def test_a_byte_order_mark(self) -> None:
        self.assertEqual(read([b"\xef\xbb\xbf" + chunk("a") + STOP])[1].finish_reason, "stop")

    def test_every_cut_of_a_stream_is_seen(self) -> None:
        data = chunk("a") + chunk("b") + STOP + DONE
        # Of the blank line behind the last event that says so nothing need have come, if the body ends properly.
        complete_from = len(data) - len(DONE) - 2
        for end in range(len(data)):
            passed, state = read([data[:end]])
            self.assertEqual(state.complete, end >= complete_from, data[:end][-30:])
            self.assertTrue(data[:end].startswith(passed))

    def test_done_without_its_blank_line(self) -> None:
        for end in (b"data: [DONE]", b"data: [DONE]\n", b"data:[DONE]", b"data:  [DONE] \n\n"):
            self.assertTrue(self.known(chunk("a") + end).done)

    def test_done_inside_content_is_no_end(self) -> None:
        self.assertFalse(self.known(chunk("data: [DONE]\n\n")).complete)

    def test_a_part_of_an_event_does_not_go_on(self) -> None:
        for end in range(1, len(STOP) - 2):
            self.assertEqual(read([chunk("a") + STOP[:end]])[0], chunk("a"))

    def test_nothing_behind_done_goes_on(self) -> None:
        stream = chunk("a") + DONE
        for more in (chunk("late"), b"junk", b"\n", DONE, b"\x00\xff" * 9, b": bye\n\n"):
            for reads in splits(stream + more):
                passed, state = read(reads)
                self.assertEqual((passed, state.done), (stream, True), reads)

    def test_every_choice_must_be_over(self) -> None:
        one, other = chunk("a", index=0), chunk("b", index=1)
        ended = chunk(finish="stop", index=0), chunk(finish="length", index=1)
        self.assertFalse(self.known(one + other + ended[0]).complete)
        self.assertFalse(self.known(one + other + ended[1] + one).complete)
        self.assertFalse(self.known(ended[0] + chunk(None, None, 1, role="assistant")).complete)
        self.assertTrue(self.known(one + other + ended[0] + ended[1]).complete)
        self.assertTrue(self.known(one + ended[0] + other + ended[1]).complete)
        long = other * 2000
        self.assertFalse(inspected(one, ended[0], long).complete)
        self.assertTrue(inspected(one, ended[0], long, ended[1]).complete)

    def test_the_number_of_a_choice_behind_its_text(self) -> None:
        """Azure's order."""

        def last(text: str, index: int, finish: str | None = None) -> bytes:
            return event(
                id="c", model="m", choices=[{"delta": {"content": text}, "finish_reason": finish, "index": index}]
            )

        one, other = (b"".join(last(text, index) for text in ("a", "b", "c")) for index in (0, 1))
        self.assertFalse(self.known(one + other + last("", 0, "stop")).complete)
        self.assertTrue(self.known(one + other + last("", 0, "stop") + last("", 1, "stop")).complete)

    def test_more_content_takes_an_end_back(self) -> None:
        for more in (chunk("b"), chunk(tool_calls=[{"index": 0}])):
            self.assertFalse(self.known(chunk("a") + STOP + more).complete)
            self.assertTrue(self.known(chunk("a") + STOP + more + STOP).complete)
        for more in (COMMENT, USAGE, chunk(""), chunk(role="assistant"), event(choices=[])):
            self.assertTrue(self.known(chunk("a") + STOP + more).complete, more)

    def test_an_empty_reason_is_none(self) -> None:
        self.assertFalse(self.known(chunk("a", "") + chunk("b", "")).complete)

    def test_responses_api(self) -> None:
        created = b'event: response.created\ndata: {"type":"response.created"}\n\n'
        delta = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"ab"}\n\n'
        self.assertFalse(self.known(created + delta).complete)
        for kind, status in (
            *((each, each) for each in ("completed", "incomplete", "failed")),
            *(("done", each) for each in ("completed", "incomplete", "failed")),
        ):
            end = event(type=f"response.{kind}", response={"usage": {"total_tokens": 9}, "status": status})
            state = self.known(created + delta * 3 + end)
            self.assertEqual((state.complete, state.usage, state.done), (True, {"total_tokens": 9}, False))
            self.assertEqual(state.error is not None, status == "failed")
        self.assertEqual(self.known(created + delta * 3).generated, 6)

    def test_a_long_last_event(self) -> None:
        last = {"type": "response.completed", "response": {"output": "x" * 200_000, "usage": {"total_tokens": 9}}}
        data = b"event: response.completed\ndata: " + json.dumps(last).encode() + b"\n\n"
        state = read([data[at : at + 1000] for at in range(0, len(data), 1000)])[1]
        self.assertEqual((state.complete, state.usage), (True, {"total_tokens": 9}))
        too_long = data.replace(b"x", b"x" * 6)
        inspector = StreamInspector()
        for at in range(0, len(too_long), 1000):
            self.assertFalse(inspector.complete)
            inspector.feed(too_long[at : at + 1000])
        self.assertTrue(inspector.complete and inspector.over and inspector.ends_on_boundary)


class OverTests(Case):
    """over, patience and cannot_be_cut: when a stream need not be waited for."""

    def test_by_what_was_asked_for(self) -> None:
        told = chunk("a") + STOP
        for asked, stream, over, lacks in (
            (Asked(), chunk("a"), False, False),
            (Asked(), told, True, False),
            (Asked(), told + USAGE, True, False),
            (Asked(usage=True), told, True, True),
            (Asked(usage=True), told + USAGE, True, False),
            (Asked(usage=True), told + DONE, True, False),
            (Asked(choices=2), told, False, False),
            (Asked(choices=2), told + chunk("b", "stop", index=1), True, False),
            (Asked(usage=True), event(type="response.completed"), True, False),
            (Asked(usage=True), chunk("a") + event(error="x"), True, True),
        ):
            for reads in splits(stream):
                inspector = inspected(*reads, asked=asked)
                self.assertEqual(inspector.over, over, (asked, stream))
                complete = over and b"error" not in stream
                self.assertEqual(inspector.cannot_be_cut, complete and not lacks, (asked, stream))
                expected = stream_inspector.USAGE_SECONDS if lacks else stream_inspector.QUIET_SECONDS
                if over:
                    self.assertEqual(inspector.patience, expected)

    def test_more_content_takes_it_back(self) -> None:
        for end in (STOP, event(error="x"), event(type="response.completed")):
            inspector = inspected(chunk("a"), end)
            self.assertTrue(inspector.over)
            inspector.feed(COMMENT)
            self.assertTrue(inspector.over)
            inspector.feed(chunk("b"))
            self.assertFalse(inspector.over and end == STOP)
            self.assertFalse(inspector.over, end)

    def test_one_with_a_reason_in_each_chunk_is_given_time(self) -> None:
        inspector = inspected(chunk("a", "stop"))
        self.assertEqual(inspector.patience, stream_inspector.QUIET_SECONDS)
        inspector.feed(STOP)
        self.assertEqual(inspector.patience, stream_inspector.QUIET_SECONDS)
        for more in (chunk("b", "stop"), chunk(tool_calls=[{"index": 0}], finish="stop")):
            inspector = inspected(chunk("a", "stop"), more)
            self.assertTrue(inspector.over and inspector.complete)
            self.assertEqual(inspector.patience, stream_inspector.DOUBTFUL_SECONDS)

    def test_a_whole_answer_at_the_end_says_nothing_more(self) -> None:
        """MiniMax's."""
        choice = {"index": 0, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "stop"}
        whole = event(object="chat.completion", choices=[choice], usage={"total_tokens": 9})
        for stream in (chunk("a") + chunk("b", "stop"), chunk("a") + chunk("b")):
            inspector = inspected(stream, whole)
            self.assertTrue(inspector.over and inspector.complete)
            self.assertEqual(inspector.patience, stream_inspector.QUIET_SECONDS)
            self.assertEqual(inspector.state().generated, 2)
            self.assertEqual(inspector.usage, {"total_tokens": 9})
        alone = inspected(whole)
        self.assertEqual((alone.state().generated, alone.state().empty), (2, False))
        # Others call each of their chunks that.
        parts = inspected(*(whole.replace(b"message", b"delta") for _ in range(2)))
        self.assertEqual((parts.patience, parts.state().generated), (stream_inspector.DOUBTFUL_SECONDS, 4))

    def test_the_word_null_is_no_reason(self) -> None:
        inspector = inspected(chunk("a", "null"), chunk("b", "null"))
        self.assertFalse(inspector.over or inspector.complete)


class ErrorTests(Case):
    """What providers report within a stream."""

    def test_kinds(self) -> None:
        detail = {"detail": "model runner died"}
        for said, error, kind in (
            (event(error={"code": 502, "message": "down"}, choices=[]), {"code": 502, "message": "down"}, "broken"),
            (event(error="down"), {"message": "down"}, "broken"),
            (
                event(object="error", message="maximum context length is 32768 tokens", code=400),
                {"object": "error", "message": "maximum context length is 32768 tokens", "code": 400},
                "context_length",
            ),
            (b'event: error\ndata: {"code":429,"details":"slow"}\n\n', {"code": 429, "details": "slow"}, "rate"),
            (b'event: error\ndata: {"code":400,"details":"x"}\n\n', {"code": 400, "details": "x"}, "broken"),
            (b"event: error\ndata: out of memory\n\n", {"message": "out of memory"}, "broken"),
            (b'event: error\ndata: "died"\n\n', {"message": "died"}, "broken"),
            (event(type="error", code="x", message="y"), {"type": "error", "code": "x", "message": "y"}, "broken"),
            (
                event(choices=[{"finish_reason": "error", "error": {"code": 502, "message": "returned error"}}]),
                {"code": 502, "message": "returned error"},
                "broken",
            ),
            (
                event(choices=[{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]),
                {"message": "The provider ended its answer by an error (finish_reason error).", "code": "error"},
                "broken",
            ),
            (
                event(choices=[{"index": 0, "delta": {}, "finish_reason": "network_error"}]),
                {
                    "message": "The provider ended its answer by an error (finish_reason network_error).",
                    "code": "network_error",
                },
                "broken",
            ),
            (event(**detail), detail, "broken"),
            (event(detail=[{"msg": "no", "loc": ["a"]}]), {"detail": [{"msg": "no", "loc": ["a"]}]}, "broken"),
            (event(message="no", code=401), {"message": "no", "code": 401}, "key_invalid"),
            (
                event(type="response.failed", response={"error": {"code": "rate_limit_exceeded", "message": "m"}}),
                {"code": "rate_limit_exceeded", "message": "m"},
                "rate",
            ),
        ):
            for stream in (chunk("a") + said, said + chunk("a") * 60 + DONE):
                state = read([stream])[1]
                if len(stream) < 500:
                    self.assertEqual(state, self.known(stream, read([stream])[0]))
                self.assertEqual(state.error, error)
                assert state.failure is not None
                self.assertEqual(state.failure.kind, ErrorKind(kind), said)

    def test_an_end_that_is_one_where_nothing_was_said(self) -> None:
        role = event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])
        for reasons, kind in (
            ({"finish_reason": "sensitive"}, ErrorKind.CONTENT),
            ({"finish_reason": "stop", "native_finish_reason": "network_error"}, ErrorKind.BROKEN),
        ):
            end = event(choices=[{"index": 0, "delta": {"content": ""}, **reasons}])
            inspector = inspected(role, COMMENT, end, DONE)
            failure = inspector.state().failure
            assert failure is not None
            self.assertEqual((inspector.first_content, failure.kind), ("error", kind))
            called = chunk(tool_calls=[{"index": 0, "function": {"name": "go"}}])
            for said in (chunk("a"), chunk(reasoning="hm"), called):
                inspector = inspected(role, said, end, DONE)
                state = inspector.state()
                self.assertEqual((inspector.first_content, state.error, state.complete), ("content", None, True))

    def test_what_is_none(self) -> None:
        for said in (
            event(choices=[], error=None),
            event(type="response.created", response={"error": None}),
            event(message={"role": "assistant"}, code=1),
            event(object="list", detail="high"),
            b"event: ping\ndata: {}\n\n",
        ):
            self.assertIsNone(self.known(chunk("a") + said).error, said)

    def test_clients_see_those_that_they_would_not(self) -> None:
        own = {"type": "api_error", "param": None, "code": None}
        for said, shown in (
            (event(detail="died"), event(detail="died", error={"message": "died", **own})),
            (b"event: error\ndata: died\n\n", b"event: error\n" + event(error={"message": "died", **own})),
            (b'error: {"code":500,"message":"m"}\n\n', event(error={"code": 500, "message": "m"})),
            (event(error="died"), event(error={"message": "died"})),
            (
                event(error="died", code=429, choices=[]),
                event(error={"code": 429, "message": "died"}, code=429, choices=[]),
            ),
            (b"id: 7\n: c\nerror: died\n\n", event(error={"message": "died"})),
            (b"data: error: died\n\n", event(error={"message": "died"})),
            (b'data: error: {"code":500,"message":"m"}\n\n', event(error={"code": 500, "message": "m"})),
            (b'{"error":{"message":"m"}}', event(error={"message": "m"})),
            (b'{\n "error": {\n  "message": "m"\n }\n}\n', event(error={"message": "m"})),
            (b'[{\n "error": {\n  "message": "m"\n }\n}\n]\n', event(error={"message": "m"})),
        ):
            for each in line_ends(said):
                stream = chunk("a") + each
                self.assertIsNotNone(self.known(stream, chunk("a") + shown).error, stream)
                inspector = inspected(ROLE, each)
                inspector.end()
                self.assertEqual(inspector.first_content, "error", stream)

    def test_clients_see_those_that_stand_beside_the_choices(self) -> None:
        choices = [{"index": 0, "delta": {"content": "b"}, "finish_reason": None}]
        for beside in ({"x_groq": {"error": "m"}}, {"base_resp": {"status_code": 7, "status_msg": "m"}}):
            for each in ([], choices):
                shown = event(choices=each, **beside)[:-3] + b',"error":{"message":"m"'
                passed = read([chunk("a"), event(choices=each, **beside)])[0]
                self.assertTrue(passed.startswith(chunk("a") + shown), passed)
        told = [{"index": 0, "delta": {}, "error": {"message": "m"}}]
        self.assertEqual(self.known(event(choices=told), event(choices=told, error={"message": "m"})).done, False)

    def test_one_of_many_levels(self) -> None:
        deep = b"[" * 1010 + b"]" * 1010
        for said in (b'{\n"error":%b}\n\n', b'data: {"detail":%b}\n\n', b"error: %b\n\n"):
            passed, state = read([chunk("a") + said % deep])
            self.assertIsNotNone(state.error, said)
            self.assertIn(b'"error":{"message"', passed.removeprefix(chunk("a")))

    def test_clients_see_the_others_as_they_came(self) -> None:
        for said in (
            event(error={"message": "m"}, choices=[]),
            event(choices=[{"index": 0, "delta": {}, "finish_reason": "error"}]),
            event(choices=[{"index": 0, "delta": {}, "error": "died", "finish_reason": "error"}]),
            event(type="error", code="x", message="m"),
            event(type="response.failed", response={"error": {"message": "m"}}),
        ):
            self.assertIsNotNone(self.known(chunk("a") + said).error, said)

    def test_what_else_has_no_data(self) -> None:
        for said in (
            b"error\n\n",
            b"error:\n\n",
            b"error: null\n\n",
            b": error: x\n\n",
            b"event: x\nerrors: x\n\n",
            b'{"choices":[]}\n\n',
            b"{\n\n",
        ):
            self.assertIsNone(self.known(chunk("a") + said).error, said)
        # All of it is JSON, which is read as an answer.
        for said in (b'{"object":"response","status":"failed"}', b'{"error":"e","choices":[{"text":"a"}]}'):
            self.assertEqual(read([said])[0], said)

    def test_one_beside_a_text_like_those_before(self) -> None:
        for beside in ({"x_groq": {"error": "no"}}, {"base_resp": {"status_code": 1000, "status_msg": "no"}}):
            last = chunk("a")[:-3] + json.dumps(beside, separators=(",", ":")).encode().replace(b"{", b",", 1) + b"\n\n"
            error = read([chunk("a") * 3 + last])[1].error
            assert error is not None, last
            self.assertEqual(error["message"], "no")

    def test_the_first_counts(self) -> None:
        self.assertEqual(
            self.known(event(error={"message": "one"}) + event(error={"message": "two"})).error, {"message": "one"}
        )

    def test_the_providers_dialect_counts(self) -> None:
        for dialect, kind in (("zai", ErrorKind.CONTEXT_LENGTH), ("openai", ErrorKind.BROKEN)):
            inspector = StreamInspector(dialect)
            inspector.feed(event(error={"code": "1261", "message": "too long"}))
            failure = inspector.state().failure
            assert failure is not None
            self.assertEqual(failure.kind, kind)


class ThoughtTests(Case):
    """thought: whether what the model thought has come."""

    def test_in_whatever_form(self) -> None:
        parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]
        for thinking in (
            chunk(reasoning_content="Hm."), chunk(reasoning="Hm.", reasoning_details=[{"type": "reasoning.text"}]),
            chunk(thinking="Hm."), event(choices=[{"index": 0, "delta": {"content": parts}}]),
            event(type="response.reasoning_summary_text.delta", delta="Hm."),
        ):  # fmt: skip
            self.assertTrue(self.known(thinking + chunk("Halt") + STOP + USAGE + DONE).thought, thinking)

    def test_none(self) -> None:
        for said in (
            chunk("Halt"), chunk(reasoning_content="") + chunk("Halt"), chunk("Halt", reasoning=None),
            event(type="response.reasoning_summary_part.added") + event(type="response.output_text.delta", delta="Hm."),
        ):  # fmt: skip
            self.assertFalse(self.known(said * 2 + STOP + USAGE + DONE).thought, said)


class TextTests(Case):
    """generated: how much was said."""

    def test_what_was_said(self) -> None:
        self.assertEqual(self.known(chunk("Halt") + chunk("!") * 5 + STOP + DONE).generated, 9)
        self.assertEqual(self.known(chunk("Halt") + chunk("\u00e9") + chunk("ab") * 3).generated, 12)
        self.assertEqual(inspected(*[chunk("x" * (50 + n % 7)) for n in range(700)]).state().generated, 53 * 700)

    def test_nothing_where_there_is_usage(self) -> None:
        self.assertEqual(self.known(chunk("Halt") + STOP + USAGE + DONE).generated, 0)

    def test_usage_in_a_choice(self) -> None:
        usage = {"prompt_tokens": 3, "completion_tokens": 7}
        last = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}
        state = self.known(chunk("Halt") + event(choices=[last]) + DONE)
        self.assertEqual((state.usage, state.generated), (usage, 0))

    def test_usage_of_groq(self) -> None:
        usage = {"prompt_tokens": 3, "completion_tokens": 7}
        first = event(choices=[{"index": 0, "delta": {"role": "assistant"}}], x_groq={"id": "req_1"})
        last = event(
            choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], x_groq={"id": "req_1", "usage": usage}
        )
        state = self.known(first + chunk("Halt") + last + DONE)
        self.assertEqual((state.usage, state.generated, state.finish_reason), (usage, 0, "stop"))

    def test_what_was_said_where_the_usage_tells_nothing(self) -> None:
        for junk in (b"null", b"NaN", b"-1", b'"9"', b"1.5"):
            usage = b'data: {"choices":[],"usage":{"completion_tokens":%b,"total_tokens":9}}\n\n' % junk
            self.assertEqual(self.known(chunk("Halt") + STOP + usage + DONE).generated, 4)

    def test_nothing_was_said(self) -> None:
        for nothing in (b"", COMMENT, DONE, b"data: 7\n\n", b"x" * 99):
            self.assertEqual(inspected(nothing).state().generated, 0)

    def test_begun(self) -> None:
        self.assertFalse(inspected().begun)
        self.assertTrue(inspected(b":").begun)
        self.assertTrue(inspected(chunk("a")).begun)


class ParsedTests(SynchronousTestCase):
    """How much is parsed: next to nothing of what differs in its text only."""

    def parsed(self, *reads: bytes) -> int:
        parsed: list[bytes] = []
        read_event = stream_inspector.read_any_event
        self.patch(stream_inspector, "read_any_event", lambda data: (parsed.append(data), read_event(data))[1])
        for data in reads:
            self.inspector.feed(data)
        return len(parsed)

    def setUp(self) -> None:
        self.inspector = StreamInspector()

    def test_a_usual_stream(self) -> None:
        words = [chunk(text) for text in ("a", "bc", " d", "") * 300]
        self.assertLess(self.parsed(*words[:3], *words[4:7], b"".join(words[:3] * 200), STOP, USAGE, DONE), 8)
        self.assertTrue(self.inspector.done)

    def test_padding_behind_the_text(self) -> None:
        """OpenAI's obfuscation."""
        words = [
            event(choices=[{"index": 0, "delta": {"content": "a"}, "finish_reason": None}], obfuscation="x" * n)
            for n in range(1, 20)
        ]
        self.assertLess(self.parsed(*words), 3)
        self.assertEqual(self.inspector.state().generated, 19)

    def test_a_stream_that_cannot_be_learned_from(self) -> None:
        words = [event(id=n, choices=[{"index": 0, "delta": {"content": "a"}}]) for n in range(100)]
        self.assertEqual(self.parsed(*words), 100)
        self.assertEqual(self.inspector.state().generated, 100)

    def test_reasoning_then_content(self) -> None:
        thoughts, words = [chunk(reasoning_content="hm")] * 50, [chunk("a")] * 50
        self.assertLess(self.parsed(*thoughts, *words), 5)
        self.assertEqual(self.inspector.state().generated, 150)


class KnownTextTests(SynchronousTestCase):
    """The text of what was known again, for who looks for sentences in it."""

    def test_one_chunk_and_some(self) -> None:
        for model in (None, "own"):
            inspector = StreamInspector(model=model)
            inspector.feed(chunk("Halt"))
            self.assertFalse(inspector.ordinary)
            for words in ([" there"], [" my", " friend", ". Who"], [" said", ' "you"'], [" are", "\n", "here"]):
                inspector.feed(b"".join(map(chunk, words)))
                self.assertTrue(inspector.ordinary and inspector.spoken, words)
                self.assertEqual(inspector.text, json.dumps("".join(words)).encode()[1:-1])
            inspector.feed(chunk(".") + chunk(finish="stop"))
            self.assertFalse(inspector.ordinary)

    def test_thoughts_are_not_said(self) -> None:
        inspector = StreamInspector()
        inspector.feed(chunk(reasoning_content="No."))
        for _ in range(2):
            inspector.feed(chunk(reasoning_content=" Never.") * 2)
            self.assertEqual((inspector.ordinary, inspector.spoken), (True, False))
        inspector.feed(chunk("Yes"))
        inspector.feed(chunk(" my"))
        self.assertEqual((inspector.ordinary, inspector.spoken, inspector.text), (True, True, b" my"))


class FuzzTests(SynchronousTestCase):
    """Whatever comes after what: chunks that are recognised, or read as plain ones, are read as all others are."""

    def test_any_order(self) -> None:
        random = Random(7)
        words = ("a", "bcd", 'say "hi"', "a\\", "\\\\", "<", "\u00e9", "\n", "data: [DONE]")
        parts = [
            *[chunk(text) for text in words], chunk("~").replace(b"~", b"\\u00e9"), chunk(finish="stop"),
            chunk("x", "length"), chunk("b", index=1), chunk(reasoning="hm"), COMMENT, USAGE, b"data: null\n\n",
            chunk("a").replace(b'"finish_reason":null', b'"finish_reason":"stop"'), event(error={"message": "e"}),
            chunk("a").replace(b"}\n\n", b',"error":{"message":"in it"}}\n\n'), event(choices=None),
            chunk(tool_calls=[{"index": 0, "function": {"arguments": "{"}}]), event(choices=[{"text": "old"}]),
            event(choices=[{"index": 0, "delta": {"content": "a", "reasoning": "b"}}]), event(choices=[{"delta": 1}]),
            event(choices=[{"delta": {}, "finish_reason": "error", "error": {"message": "e"}}]), event(choices=[{}]),
            chunk(finish="network_error"), chunk("y", "abort"), chunk(finish="sensitive"), chunk("z", "OTHER"),
            event(choices=[{"delta": {"role": "assistant", "content": ""}, "finish_reason": ""}]), event(choices=[1]),
            event(choices=[{"delta": None, "finish_reason": "stop"}], type="chat.completion.chunk", error=None),
            event(type="response.output_text.delta", delta="d"), event(choices=[{"index": True, "delta": {}}]),
        ]  # fmt: skip
        for _ in range(300):
            stream = b"".join(random.choices(parts, k=random.randrange(1, 30)))
            with mock.patch.object(stream_inspector, "plain_chunk", return_value=None):
                expected = inspected(stream)
            whole = inspected(stream)
            cut = inspected(*[stream[at : at + 37] for at in range(0, len(stream), 37)])
            events = [each + b"\n\n" for each in stream.split(b"\n\n")[:-1]]
            single = inspected(*events)
            blocks = inspected(*[b"".join(events[at : at + 3]) for at in range(0, len(events), 3)])
            for other in (whole, cut, single, blocks):
                self.assertEqual(other.state()._replace(generated=0), expected.state()._replace(generated=0), stream)
                self.assertEqual((other.first_content, other.over), (expected.first_content, expected.over))

            reads = ([stream], [stream[at : at + 37] for at in range(0, len(stream), 37)], stream.splitlines(True))
            with mock.patch.object(stream_inspector, "plain_chunk", return_value=None):
                named = read([stream], "own")[0]
            for each in reads:
                self.assertEqual(read(each, "own")[0], named, stream)


class WorkTests(SynchronousTestCase):
    """What comes without an end takes work in proportion, and is not kept."""

    def looked_at(self, reads: Iterable[bytes]) -> tuple[int, int]:
        """Bytes in which an end was sought, and the most that was kept, while *reads* went through whole."""
        looked = 0

        def counting(data: bytes, end: int) -> int:
            nonlocal looked
            looked += len(data)
            return sse.boundary_before(data, end)

        self.patch(frames, "boundary_before", counting)
        inspector = StreamInspector()
        came = gone = kept = 0
        for data in reads:
            came += len(data)
            gone += len(inspector.feed(data))
            kept = max(kept, came - gone)
        self.assertGreater(gone, came - 900 * 1024)
        return looked, kept

    def test_an_event_without_an_end(self) -> None:
        for size in (1000, 16 * 1024):
            for megabytes in (10, 20):
                reads = [chunk("hi"), *repeat(b"x" * size, megabytes * 1024 * 1024 // size)]
                looked, kept = self.looked_at(reads)
                self.assertLess(looked, 2 * LONGEST_EVENT_BYTES)
                self.assertLess(kept, LONGEST_EVENT_BYTES + size)

    def test_lines_that_say_nothing_are_read_at_once(self) -> None:
        """Thousands of them fit into one read, for which everybody else waits."""
        for lines in (b"\n", b"\n\n", b"\r\n", b"\r", b":\n\n", b":\r\n\r\n", b":\n", b"\n\r\n", b"id\n\n"):
            nothing = lines * 200
            stream = b"".join([chunk("a"), nothing, chunk("b"), nothing, STOP, nothing])
            with mock.patch.object(stream_inspector, "read_any_event", wraps=stream_inspector.read_any_event) as reads:
                for each in ([stream], [stream[at : at + 500] for at in range(0, len(stream), 500)]):
                    passed, state = read(each)
                    self.assertEqual((passed, state.complete, state.generated), (stream, True, 2), lines)
            self.assertLess(reads.call_count, 20, lines)

    def test_a_comment_without_an_end_is_not_looked_through_again_and_again(self) -> None:
        looked: list[int] = []
        pattern = frames._LINES_THAT_SAY_NOTHING

        class Counting:
            @staticmethod
            def fullmatch(data: bytearray) -> object:
                looked.append(len(data))
                return pattern.fullmatch(data)

        self.patch(frames, "_LINES_THAT_SAY_NOTHING", Counting)
        for begun, piece in ((b":", b"x"), (b": x\nid: 1\n", b"x\n")):
            stream = b"".join([chunk("a"), begun, piece * 1000, b"\n\n", chunk("b")])
            looked.clear()
            passed, _ = read([stream[at : at + 2] for at in range(0, len(stream), 2)])
            self.assertEqual(passed, stream)
            self.assertLess(sum(looked), 2 * len(stream), begun)

    def test_long_events_one_after_the_other(self) -> None:
        long = b"data: " + b"x" * (900 * 1024) + b"\n\n"
        for count in (10, 20):
            data = long * count
            looked, _ = self.looked_at([data[at : at + 1000] for at in range(0, len(data), 1000)])
            self.assertLess(looked, 1.1 * len(data))

    def test_a_long_stream_is_not_kept(self) -> None:
        inspector = StreamInspector()
        for number in range(5000):
            inspector.feed(chunk("x" * 100) + chunk("y" * (number % 9), index=number))
        self.assertEqual(len(inspector._frames.rest), 0)
        self.assertLess(len(inspector._choices._begun), 300)

    def test_after_one_that_is_too_long_all_is_as_before(self) -> None:
        for end in (b"\n\n", b"\r\n\r\n", b"\r\r"):
            long = b"data: " + b"x" * LONGEST_EVENT_BYTES + end
            data = long + STOP.replace(b"\n\n", end)
            for size in (1, len(data)):
                cut = len(long) - 3
                passed, state = read([data[:cut], *(data[at : at + size] for at in range(cut, len(data), size))])
                self.assertEqual((passed, state.finish_reason), (data, "stop"))

    def test_where_an_error_would_go(self) -> None:
        inspector = inspected(chunk("a"), b"data: {")
        self.assertTrue(inspector.ends_on_boundary)
        inspector.feed(b"x" * LONGEST_EVENT_BYTES)
        self.assertFalse(inspector.ends_on_boundary)
        inspector.feed(b"}\n\n")
        self.assertTrue(inspector.ends_on_boundary)


class CommentTests(Case):
    """Lines that say nothing do not wait for a blank line that may come late."""

    def test_a_single_line(self) -> None:
        inspector = inspected(chunk("a"))
        for line in (b":\n", b": still here\r\n", b"\n", b"\r\n"):
            self.assertEqual(inspector.feed(line), line)
        for line in (b"data: a\n", b"x\n"):
            self.assertEqual(inspector.feed(line), b"")

    def test_all_that_comes_goes_on(self) -> None:
        stream = b":\n" + chunk("a") + b"\n: x\n" + STOP + b":\n"
        for reads in splits(stream):
            passed, state = read(reads)
            self.assertEqual((passed, state.complete), (stream, True), reads)
