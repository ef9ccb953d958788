"""What chunks of an answer say, and whole ones."""

from __future__ import annotations

from typing import Any, ClassVar
from unittest.mock import ANY

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import ErrorKind
from skyproxy.formats.openai.bad_ends import BAD_ENDS
from skyproxy.formats.openai.bodies import error_of, read_leniently, text_length
from skyproxy.formats.reported import reported


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
            ({"choices": [{"delta": {"function_call": {"name": "go", "arguments": "{}"}}}]}, 4),
            ({"choices": [{"delta": {"refusal": "No."}}]}, 3),
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


class EndTests(SynchronousTestCase):
    """Reasons for an end that are errors."""

    KINDS: ClassVar = {
        "error": ErrorKind.BROKEN,
        "network_error": ErrorKind.BROKEN,
        "abort": ErrorKind.BROKEN,
        "insufficient_system_resource": ErrorKind.OVERLOADED,
        "sensitive": ErrorKind.CONTENT,
        **dict.fromkeys(
            (
                *("content_filter", "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"),
                *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR", "refusal"),
                *("content_filtered", "guardrail_intervened", "ERROR_TOXIC"),
            ),
            ErrorKind.CONTENT,
        ),
        "model_context_window_exceeded": ErrorKind.CONTEXT_LENGTH,
        "MALFORMED_FUNCTION_CALL": ErrorKind.BROKEN,
        "function_call_filter: MALFORMED_FUNCTION_CALL": ErrorKind.BROKEN,
        "UNEXPECTED_TOOL_CALL": ErrorKind.BROKEN,
        "function_call_filter: UNEXPECTED_TOOL_CALL": ErrorKind.BROKEN,
        **dict.fromkeys(
            (
                *("MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE", "TOO_MANY_TOOL_CALLS", "IMAGE_OTHER", "NO_IMAGE"),
                *("malformed_model_output", "malformed_tool_use", "ERROR_LIMIT", "time_limit", "cancelled", "OTHER"),
            ),
            ErrorKind.BROKEN,
        ),
    }

    def test_each_where_nothing_was_said(self) -> None:
        self.assertEqual({reason.lower() for reason in self.KINDS}, set(BAD_ENDS))
        for reason, kind in self.KINDS.items():
            for said in (
                {"delta": {}},
                {"delta": {"role": "assistant", "content": ""}},
                {"message": {"content": None}},
            ):
                error = error_of({"choices": [{"index": 0, **said, "finish_reason": reason}]}, silent=True)
                assert error is not None, reason
                self.assertIn(reason, error["message"])
                self.assertEqual(reported(error).kind, kind, reason)

    def test_one_that_says_more(self) -> None:
        # Google's, of a prompt that it refuses: there is no message at all.
        for reason in ("content_filter: PROHIBITED_CONTENT", "content_filter: OTHER", "SAFETY: x"):
            error = error_of({"choices": [{"index": 0, "finish_reason": reason}]}, silent=True)
            assert error is not None, reason
            self.assertIn(reason, error["message"])
            self.assertEqual(reported(error).kind, ErrorKind.CONTENT, reason)
            self.assertIsNone(error_of({"choices": [{"delta": {}, "finish_reason": reason}]}), reason)

    def test_one_by_another_name(self) -> None:
        """OpenRouter's."""
        for reason, kind in (("network_error", ErrorKind.BROKEN), ("SAFETY", ErrorKind.CONTENT)):
            end = {"finish_reason": "stop", "native_finish_reason": reason}
            error = error_of({"choices": [{"delta": {"content": ""}, **end}]}, silent=True)
            assert error is not None, reason
            self.assertIn(f"native_finish_reason {reason}", error["message"])
            self.assertEqual(reported(error).kind, kind)
            for said, silent in (("Halt", True), ("", False)):
                self.assertIsNone(error_of({"choices": [{"delta": {"content": said}, **end}]}, silent=silent))
            self.assertIsNone(error_of({"choices": [{"delta": {}, **end, "finish_reason": None}]}, silent=True))

    def test_after_something_some_are_ends(self) -> None:
        for reason in self.KINDS:
            last = {"choices": [{"delta": {}, "finish_reason": reason}]}
            in_one = {"choices": [{"message": {"content": "Halt"}, "finish_reason": reason}]}
            is_end = BAD_ENDS[reason.lower()].if_silent
            self.assertEqual(error_of(last) is None, is_end, reason)
            self.assertEqual(error_of(in_one, silent=True) is None, is_end, reason)

    def test_what_is_said_without_text(self) -> None:
        for said in ({"refusal": "No."}, {"audio": {"id": "a"}}, {"images": [{"type": "image_url"}]}):
            choice = {"message": {"content": None, **said}, "finish_reason": "other"}
            self.assertIsNone(error_of({"choices": [choice]}, silent=True), said)

    def test_ends_as_they_should_be(self) -> None:
        for reason in (
            "stop", "length", "stop: SAFETY", ": error", "tool_calls", "function_call", "model_length", "eos",
            "end_turn", "", "null", None, 7, [], {},
        ):  # fmt: skip
            self.assertIsNone(error_of({"choices": [{"delta": {}, "finish_reason": reason}]}, silent=True), reason)

    def test_one_of_several(self) -> None:
        blocked, good = ({"message": {"content": said}, "finish_reason": "sensitive"} for said in (None, "Halt"))
        self.assertIsNone(error_of({"choices": [blocked, good]}, silent=True))
        self.assertIsNone(error_of({"choices": [blocked, {"message": {}, "finish_reason": "stop"}]}, silent=True))
        self.assertIsNotNone(error_of({"choices": [blocked, blocked]}, silent=True))


class ErrorTests(SynchronousTestCase):
    """error_of, of errors that stand elsewhere than others do."""

    GOOD: ClassVar = {"index": 0, "delta": {"content": "Halt"}, "finish_reason": None}

    def assertKind(self, kind: ErrorKind, said: str, value: dict[str, Any]) -> None:
        error = error_of(value)
        assert error is not None, value
        told = reported(error)
        self.assertEqual((told.kind, told.said), (kind, said), value)

    def test_words_with_a_number_beside_them(self) -> None:
        for beside, kind in (
            ({"status": 402}, ErrorKind.NO_CREDIT),
            ({"code": 429}, ErrorKind.RATE),
            ({"statusCode": 429}, ErrorKind.RATE),
            ({"code": "rate_limit_exceeded"}, ErrorKind.RATE),
            ({"type": "overloaded_error"}, ErrorKind.OVERLOADED),
            ({"error_type": "x"}, ErrorKind.BROKEN),
        ):
            self.assertKind(kind, "No.", {"error": "No.", **beside})
            self.assertKind(kind, "No.", {"choices": [{"delta": {}, "error": "No.", **beside}]})

    def test_beside_the_choices(self) -> None:
        for choices in ([self.GOOD], [], None):
            for beside in ({"x_groq": {"error": "No."}}, {"x_groq": {"id": "r", "error": {"message": "No."}}}):
                self.assertKind(ErrorKind.BROKEN, "No.", {"choices": choices, **beside})
            limited = {"status_code": 1002, "status_msg": "rate limit"}
            self.assertKind(ErrorKind.RATE, "rate limit", {"choices": choices, "base_resp": limited})
        for beside in ({"x_groq": {"id": "r"}}, {"x_groq": {"error": None}}, {"x_groq": {"error": {}}}):
            self.assertIsNone(error_of({"choices": [self.GOOD], **beside}))
        self.assertIsNone(error_of({"choices": [self.GOOD], "base_resp": {"status_code": 0, "status_msg": "odd"}}))

    def test_one_in_which_there_is_nothing(self) -> None:
        """It stands beside what is well."""
        empty = {"message": "", "type": "", "param": None, "code": 0}
        self.assertIsNone(error_of({"choices": [self.GOOD], "error": empty}))
        for value in ({"error": empty}, {"choices": [], "error": empty}, {"choices": None, "error": empty}):
            self.assertIsNotNone(error_of(value), value)
        for said in ({"message": "No."}, {"code": 500}):
            self.assertIsNotNone(error_of({"choices": [self.GOOD], "error": {**empty, **said}}), said)

    def test_nothing_but_a_title(self) -> None:
        self.assertKind(ErrorKind.RATE, "Slow down", {"type": "about:blank", "title": "Slow down", "status": 429})
        for none in ({"title": "x"}, {"type": "chat", "title": "x"}, {"title": "x", "status": 200}, {"status": 429}):
            self.assertIsNone(error_of(none))


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
