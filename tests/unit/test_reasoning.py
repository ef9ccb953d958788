"""Reasoning goes, everything else stays, wherever the text is cut."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.reasoning import StreamStripper, TagStripper, strip_answer
from skyproxy.sse import payloads


def stripped(*pieces: str) -> str:
    stripper = TagStripper()
    return "".join(map(stripper.feed, pieces)) + stripper.flush()


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "x", "choices": [choice]}).encode() + b"\n\n"


def spoken(stream: bytes) -> str:
    """What a reader of *stream* would say."""
    said = ""
    for payload in payloads(stream):
        if payload != b"[DONE]":
            for choice in json.loads(payload)["choices"]:
                said += choice["delta"].get("content") or ""
    return said


class TagTests(SynchronousTestCase):
    """TagStripper."""

    def test_texts(self) -> None:
        for text, expected in (
            ("", ""),
            ("Halt!", "Halt!"),
            ("<think>hm</think>\n\nHalt!", "Halt!"),
            ("  <think>hm</think> Halt!", "Halt!"),
            ("Halt! <thinking>hm</thinking>Go.", "Halt! Go."),
            ("a < b, <b>c</b> <thin air>", "a < b, <b>c</b> <thin air>"),
            ("<think>never closed", ""),
            ("<think>a</think><reasoning>b</reasoning>Go.", "Go."),
            ("<think>a <think> b</think>Go.", "Go."),
            ("ends with <thi", "ends with <thi"),
        ):
            self.assertEqual(stripped(text), expected, text)
            self.assertEqual(stripped(*text), expected, text)

    @settings(max_examples=300, derandomize=True, deadline=None)
    @given(
        st.lists(st.sampled_from(["<think>", "</think>", "<th", "ink>", "a", " ", "\n", "<", "</", "b>"]), max_size=12),
        st.data(),
    )
    def test_the_cuts_do_not_matter(self, parts: list[str], data: st.DataObject) -> None:
        text = "".join(parts)
        cut = data.draw(st.integers(0, len(text)))
        self.assertEqual(stripped(text[:cut], text[cut:]), stripped(text))
        self.assertEqual(stripped(*text), stripped(text))


class AnswerTests(SynchronousTestCase):
    """strip_answer."""

    def test_fields_and_tags(self) -> None:
        message = {"role": "assistant", "content": "<think>x</think>Halt!", "reasoning_content": "x", "reasoning": "x"}
        value: dict[str, Any] = {
            "choices": [{"message": message}, {"message": None}, {"text": "<think>x</think>Go."}],
            "n": 1,
        }
        strip_answer(value)
        self.assertEqual(value["choices"][0]["message"], {"role": "assistant", "content": "Halt!"})
        self.assertEqual(value["choices"][2]["text"], "Go.")
        self.assertEqual(value["n"], 1)

    def test_an_end_without_a_beginning(self) -> None:
        value = {"choices": [{"message": {"content": "I think so.\n</think>\n\nHalt!"}}]}
        strip_answer(value)
        self.assertEqual(value["choices"][0]["message"]["content"], "Halt!")


class StreamTests(SynchronousTestCase):
    """StreamStripper."""

    STREAM = (
        b": comment\n\n"
        + chunk(role="assistant", content="")
        + chunk(reasoning_content="Who is this?")
        + chunk(content="<thi")
        + chunk(content="nk>A stranger.</th")
        + chunk(content="ink>\n\n")
        + chunk(content="Halt")
        + chunk(content="! <")
        + chunk(finish="stop")
        + b'data: {"choices":[],"usage":{"total_tokens":9}}\n\n'
        + b"data: [DONE]\n\n"
    )

    def run_through(self, pieces: list[bytes]) -> bytes:
        stripper = StreamStripper()
        return b"".join(map(stripper.feed, pieces)) + stripper.flush()

    def test_split_anywhere(self) -> None:
        whole = self.run_through([self.STREAM])
        self.assertEqual(spoken(whole), "Halt! <")
        self.assertNotIn(b"stranger", whole)
        self.assertNotIn(b"reasoning_content", whole)
        self.assertTrue(whole.startswith(b": comment\n\n") and whole.endswith(b"data: [DONE]\n\n"))
        self.assertIn(b'"finish_reason":"stop"', whole)
        self.assertIn(b'"total_tokens":9', whole)
        for size in (1, 3, 50):
            pieces = [self.STREAM[i : i + size] for i in range(0, len(self.STREAM), size)]
            self.assertEqual(self.run_through(pieces), whole)

    def test_crlf(self) -> None:
        self.assertEqual(spoken(self.run_through([self.STREAM.replace(b"\n", b"\r\n")])), "Halt! <")

    def test_what_has_no_reasoning_passes_as_it_is(self) -> None:
        stream = (
            b"event: x\ndata: 1\n\n" + chunk(content="a") + chunk(tool_calls=[{"index": 0}]) + b'data: {"error":{}}\n\n'
        )
        self.assertEqual(self.run_through([stream]), stream)

    def test_a_cut_event_passes_at_the_end(self) -> None:
        self.assertEqual(self.run_through([b'data: {"cho']), b'data: {"cho')
