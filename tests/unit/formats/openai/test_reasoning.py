"""Reasoning goes, everything else stays, wherever the text is cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.formats.openai.frames import LONGEST_EVENT_BYTES
from skyproxy.formats.openai.reasoning import StreamStripper, strip_answer
from skyproxy.formats.openai.reasoning.chunks import MOST_TEXTS, Chunks
from skyproxy.formats.openai.reasoning.responses import Responses
from skyproxy.formats.openai.reasoning.tags import TAGS, TagStripper
from skyproxy.formats.openai.stream_inspector import StreamInspector
from tests.unit.formats.openai.streams import payloads, splits


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


def run_through(pieces: list[bytes]) -> bytes:
    """What goes on of a stream that comes in *pieces*."""
    inspector, stripper = StreamInspector(), StreamStripper()
    passed = [stripper.feed(events) for data in pieces if (events := inspector.feed(data))]
    return b"".join(passed) + stripper.feed(inspector.end()) + stripper.flush()


PARTS = [
    *("<think>", "</think>", "<th", "ink>", "a", " ", "\n", "<", "</", "b>"),
    *("[THINK]", "[/THINK]", "[", "[/TH", "INK]", "<seed:think>", "</seed:think>", "<seed:"),
    *("<|channel|>analysis<|message|>", "<|end|><|start|>assistant", "<|channel|>final<|message|>", "<|channel|>"),
]


class TagTests(SynchronousTestCase):
    """TagStripper."""

    def test_texts(self) -> None:
        for text, expected in (
            ("", ""),
            ("Halt!", "Halt!"),
            ("<think>hm</think>\n\nHalt!", "Halt!"),
            ("  <think>hm</think> Halt!", "Halt!"),
            ("<mm:think>hm</mm:think>\n\nHalt!", "Halt!"),
            ("</mm:think>Halt!", "Halt!"),
            ("<longcat_think>hm</longcat_think>Halt!", "Halt!"),
            ("<|inner_prefix|>hm<|inner_suffix|>Halt!", "Halt!"),
            ("Halt! <thinking>hm</thinking>Go.", "Halt! Go."),
            ("a < b, <b>c</b> <thin air>", "a < b, <b>c</b> <thin air>"),
            ("<think>never closed", ""),
            ("<think>a</think><reasoning>b</reasoning>Go.", "Go."),
            ("<think>a <think> b</think>Go.", "Go."),
            ("ends with <thi", "ends with <thi"),
            ("begun in the prompt</think> Go.", "begun in the prompt Go."),
            (" </think>\n\nGo.", "Go."),
            ("ends with </thi", "ends with </thi"),
            ("[THINK]hm[/THINK]Halt!", "Halt!"),
            ("[THINK]hm</think>[/THINK] Halt!", "Halt!"),
            ("<seed:think>hm</seed:think>\nHalt!", "Halt!"),
            ("<seed:think>hm<seed:cot_budget_reflect>", ""),
            ("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Halt!", "Halt!"),
            ("<|channel|>final<|message|>Halt!", "Halt!"),
            ("<|channel>thought\nhm<channel|>Halt!", "Halt!"),
            ("<|START_THINKING|>hm<|END_THINKING|>Halt!", "Halt!"),
            ("a [b] [THIN air] <seed:th", "a [b] [THIN air] <seed:th"),
            ("ends with [/THI", "ends with [/THI"),
            ("[<[THINK]x[/THINK]", "[<"),
        ):
            self.assertEqual(stripped(text), expected, text)
            self.assertEqual(stripped(*text), expected, text)

    @settings(max_examples=300, derandomize=True, deadline=None)
    @given(st.lists(st.sampled_from(PARTS), max_size=12), st.data())
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

    def test_fields_of_other_gateways(self) -> None:
        blocks = [{"type": "thinking", "thinking": "secret"}]
        thoughts = {
            "thinking_blocks": blocks,
            "reasoning_steps": blocks,
            "reasoning_text": "secret",
            "thinking": "secret",
        }
        said = {"content": "Halt!", "provider_specific_fields": {"citations": None}}
        beside = {"provider_specific_fields": {"citations": None, "reasoningContentBlocks": ["secret"], **thoughts}}
        value = {"choices": [{"message": {**said, **thoughts, **beside}}]}
        self.assertEqual((strip_answer(value), value), (["choices"], {"choices": [{"message": said}]}))
        stream = chunk(content="Who") + chunk(**thoughts, **beside) + chunk(content="?")
        for reads in splits(stream):
            passed = run_through(reads)
            self.assertEqual((spoken(passed), b"secret" in passed), ("Who?", False))

    def test_an_end_without_a_beginning(self) -> None:
        value = {"choices": [{"message": {"content": "I think so.\n</think>\n\nHalt!"}}]}
        strip_answer(value)
        self.assertEqual(value["choices"][0]["message"]["content"], "Halt!")

    def test_fields_beside_a_text(self) -> None:
        value = {"choices": [{"text": "Go.", "reasoning": "x"}]}
        strip_answer(value)
        self.assertEqual(value, {"choices": [{"text": "Go."}]})

    def test_parts(self) -> None:
        content = [
            {"type": "thinking", "thinking": [{"type": "text", "text": "x"}]},
            {"type": "text", "text": "<think>x</think>Halt!"},
            {"type": "image_url", "image_url": {"url": "data:,"}},
            "x",
        ]
        value = {"choices": [{"message": {"content": content}}]}
        strip_answer(value)
        self.assertEqual(
            value["choices"][0]["message"]["content"], [{"type": "text", "text": "Halt!"}, content[2], "x"]
        )

    def test_responses(self) -> None:
        value = response(thought="x", text="<think>x</think>Halt!")
        strip_answer(value)
        self.assertEqual(value, response(text="Halt!"))


def response(text: str, thought: str | None = None) -> dict[str, Any]:
    """A whole answer of the Responses API."""
    summary = [{"type": "summary_text", "text": thought}]
    thoughts = [] if thought is None else [{"type": "reasoning", "id": "r", "summary": summary}]
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return {"object": "response", "output": [*thoughts, message], "reasoning": {"effort": "low"}, "output_text": text}


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

    def test_split_anywhere(self) -> None:
        whole = run_through([self.STREAM])
        self.assertEqual(spoken(whole), "Halt! <")
        self.assertNotIn(b"stranger", whole)
        self.assertNotIn(b"reasoning_content", whole)
        self.assertTrue(whole.startswith(b": comment\n\n") and whole.endswith(b"data: [DONE]\n\n"))
        self.assertIn(b'"finish_reason":"stop"', whole)
        self.assertIn(b'"total_tokens":9', whole)
        for size in (1, 3, 50):
            pieces = [self.STREAM[i : i + size] for i in range(0, len(self.STREAM), size)]
            self.assertEqual(run_through(pieces), whole)

    def test_crlf(self) -> None:
        self.assertEqual(spoken(run_through([self.STREAM.replace(b"\n", b"\r\n")])), "Halt! <")

    def test_what_is_only_near_to_json(self) -> None:
        begun, ended = chunk(content="<think>~"), chunk(content="secret ~</think>Go~.")
        for odd in (b"\\ud83d", b"\xf0\x9f", b"\xed\xa0\xbd"):
            stream = run_through([begun.replace(b"~", odd), chunk(content="secret"), ended.replace(b"~", odd)])
            self.assertNotIn(b"secret", stream)
            self.assertRegex(spoken(stream), r"^Go.\.$")
        with_nan = chunk(content="</think>Go.").replace(b'"index": 0', b'"index": 0, "logprobs": [NaN, -Infinity]')
        stream = run_through([begun, with_nan])
        self.assertEqual(spoken(stream), "Go.")
        self.assertIn(b"[NaN,-Infinity]", stream)
        thought = chunk(reasoning_content="~", content="Go.").replace(b"~", b"\\ud83d")
        self.assertNotIn(b"ud83d", run_through([thought]))

    def test_both_halves_of_a_pair_stay(self) -> None:
        stream = run_through([chunk(content="<think>\ud83d</think>\ud83d"), chunk(content="\udc09 <")])
        self.assertEqual(spoken(stream).encode("utf-16", "surrogatepass").decode("utf-16"), "\U0001f409 <")

    def test_what_has_no_reasoning_passes_as_it_is(self) -> None:
        stream = (
            b"event: x\ndata: 1\n\n" + chunk(content="a") + chunk(tool_calls=[{"index": 0}]) + b'data: {"error":{}}\n\n'
        )
        self.assertEqual(run_through([stream]), stream)

    def test_a_last_event_without_a_blank_line(self) -> None:
        stream = run_through([chunk(content="<think>secret"), chunk(content="secret</think>Go.")[:-2]])
        self.assertEqual(spoken(stream), "Go.")
        self.assertNotIn(b"secret", stream)

    def test_what_was_held_comes_before_the_end(self) -> None:
        begun = chunk(content="a <")
        for end in (b"data: [DONE]\n\n", b"data: [DONE]", b""):
            stream = run_through([begun, end])
            self.assertEqual(spoken(stream.removesuffix(end)), "a <", end)
            self.assertTrue(stream.endswith(b"\n\n" + end), stream)
        chunks = list(payloads(run_through([begun])))
        self.assertEqual(json.loads(chunks[1])["id"], "x")

    def test_all_that_was_said_so_far_in_each_chunk(self) -> None:
        """Perplexity's, and MiniMax's last one."""
        texts = ("<th", "ink>Hm", "</think>\n\nHalt", "!")
        stream = b"".join(
            b"data: "
            + json.dumps(
                {
                    "choices": [
                        {
                            "index": 0,
                            "delta": {"content": text},
                            "message": {"content": "".join(texts[: at + 1]), "reasoning_content": "Hm"},
                            "finish_reason": "stop" if text == texts[-1] else None,
                        }
                    ]
                }
            ).encode()
            + b"\n\n"
            for at, text in enumerate(texts)
        )
        for reads in splits(stream):
            choices = [json.loads(each)["choices"][0] for each in payloads(run_through(reads))]
            self.assertEqual(
                [each["message"] for each in choices], [{"content": said} for said in ("", "", "Halt", "Halt!")]
            )
            self.assertEqual("".join(each["delta"].get("content", "") for each in choices), "Halt!")

    def test_a_number_for_a_text(self) -> None:
        """Cloudflare's digits."""
        stream = chunk(content="<think>x</think>Room ") + chunk(content=1) + chunk(content=0) + chunk(content="<b")
        last = chunk("stop", content=7) + b"data: [DONE]\n\n"
        said = [json.loads(each)["choices"][0]["delta"] for each in list(payloads(run_through([stream, last])))[:-1]]
        self.assertEqual([each["content"] for each in said], ["Room ", 1, 0, "<b", 7])

    def test_an_error_beside_a_thought(self) -> None:
        choices = [{"index": 0, "delta": {"reasoning": "Hm"}, "finish_reason": None}]
        stream = b"data: %b\n\n" % json.dumps({"choices": choices, "error": {"message": "m"}}).encode()
        shown = {"choices": [{**choices[0], "delta": {}}], "error": {"message": "m"}}
        self.assertEqual([json.loads(each) for each in payloads(run_through([stream]))], [shown])

    def test_choices_of_their_own(self) -> None:
        def both(one: str, two: str) -> bytes:
            choices = [{"index": n, "delta": {"content": text}} for n, text in enumerate((one, two))]
            return b"data: " + json.dumps({"choices": choices}).encode() + b"\n\n"

        stream = run_through([both("<thi", "a"), both("nk>x", "b<"), both("</think>c", "d"), b"data: [DONE]\n\n"])
        said = ["", ""]
        for payload in list(payloads(stream))[:-1]:
            for choice in json.loads(payload)["choices"]:
                said[choice["index"]] += choice["delta"].get("content", "")
        self.assertEqual(said, ["c", "ab<d"])

    def test_an_index_that_is_none(self) -> None:
        stream = b'data: {"choices":[{"index":[],"delta":{"content":"Halt!"}}]}\n\n'
        self.assertEqual(run_through([stream]), stream)

    def test_parts(self) -> None:
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "secret"}]}
        stream = [
            chunk(role="assistant", content=""),
            chunk(content=[thinking]),
            chunk(content=[thinking, {"type": "text", "text": "Halt! <"}]),
            chunk(content=[{"type": "text", "text": "think>secret</think>Go"}]),
            chunk(content=" on <"),
            chunk(finish="stop", content=[]),
        ]
        pieces = [json.loads(payload)["choices"][0]["delta"] for payload in payloads(run_through(stream))]
        self.assertEqual(
            pieces,
            [
                {"role": "assistant", "content": ""},
                {"content": [{"type": "text", "text": "Halt! "}]},
                {"content": [{"type": "text", "text": "Go"}]},
                {"content": " on "},
                {"content": [{"type": "text", "text": "<"}]},
            ],
        )

    def test_reasoning_after_much_that_was_none(self) -> None:
        plain = [chunk(content="a")] * 3
        for late in (chunk(content="<think>secret</think>b"), chunk(content="b", reasoning="secret")):
            self.assertEqual(spoken(run_through([*plain, late])), "aaab")
            self.assertNotIn(b"secret", run_through([*plain, late]))
        # A tag with its brackets escaped, as some servers write JSON.
        late = chunk(content="<think>secret</think>b").replace(b"<", b"\\u003c")
        self.assertEqual(spoken(run_through([*plain, late])), "aaab")
        late = chunk(content="\u25c1think\u25b7secret\u25c1/think\u25b7b")
        for each in (late, late.replace(b"\\u25c1", b"\\u25C1"), late.decode().replace("\\u25c1", "\u25c1").encode()):
            self.assertEqual(spoken(run_through([*plain, each])), "aaab", each)

    def test_every_kind_of_tag_at_every_split(self) -> None:
        for opening, closing in TAGS.items():
            text = f"a{opening}secret {closing[:-1]} {closing}Halt! [1] {opening[:-1]}"
            for size in range(1, len(text) + 1):
                parts = [text[at : at + size] for at in range(0, len(text), size)]
                stream = b"".join(chunk(content=part) for part in parts) + b"data: [DONE]\n\n"
                for compact in (stream, stream.replace(b'": ', b'":').replace(b', "', b',"')):
                    passed = run_through([compact])
                    self.assertEqual(spoken(passed), f"aHalt! [1] {opening[:-1]}", (opening, size))
                    self.assertNotIn(b"secret", passed)
                    for first in range(1, 42, 8):
                        cuts = [0, *range(first, len(compact), 41), len(compact)]
                        self.assertEqual(run_through([compact[a:b] for a, b in pairwise(cuts)]), passed)

    def test_what_is_no_tag_is_not_looked_into(self) -> None:
        words = [chunk(content="word").replace(b'": ', b'":').replace(b', "', b',"')] * 5
        stripper = StreamStripper()
        stripper.feed(words[0])
        self.patch(stripper, "_edit", lambda event: self.fail("An event was read."))
        self.assertEqual(b"".join(map(stripper.feed, words)), b"".join(words))

    def test_completions(self) -> None:
        def event(text: str, finish: str | None = None) -> bytes:
            choice = {"index": 0, "text": text, "finish_reason": finish}
            return b"data: " + json.dumps({"object": "text_completion", "choices": [choice]}).encode() + b"\n\n"

        stream = [event("<think>secret"), event("</thi"), event("nk> Halt"), event("! <"), event("", "stop")]
        events = [json.loads(payload)["choices"][0] for payload in payloads(run_through(stream))]
        self.assertEqual([each["text"] for each in events], ["Halt", "! ", "<"])
        self.assertEqual(events[-1]["finish_reason"], "stop")
        unfinished = run_through([event("Halt <"), b"data: [DONE]\n\n"])
        self.assertTrue(unfinished.endswith(b"data: [DONE]\n\n"))
        self.assertEqual([json.loads(each)["choices"][0]["text"] for each in list(payloads(unfinished))[:-1]],
                         ["Halt ", "<"])  # fmt: skip


class ResponsesTests(SynchronousTestCase):
    """StreamStripper, with events of the Responses API."""

    def event(self, kind: str, **fields: Any) -> bytes:
        self.number += 1
        value = {"type": kind, "sequence_number": self.number, **fields}
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps(value).encode())

    def setUp(self) -> None:
        self.number = -1

    def read(self, stream: bytes) -> list[dict[str, Any]]:
        """The events of *stream*, each of which must be named by its type."""
        values = [json.loads(payload) for payload in payloads(stream)]
        names = [line[7:].decode() for line in stream.split(b"\n") if line.startswith(b"event: ")]
        self.assertEqual(names, [value["type"] for value in values])
        return values

    def thought(self) -> list[bytes]:
        item = {"type": "reasoning", "id": "r", "summary": []}
        return [
            self.event("response.output_item.added", output_index=0, item=item),
            self.event("response.content_part.added", output_index=0, part={"type": "reasoning_text", "text": ""}),
            self.event("response.reasoning_text.delta", output_index=0, content_index=0, delta="secret"),
            self.event("response.reasoning_summary_text.delta", output_index=0, delta="secret"),
            self.event("response.something.new", output_index=0, text="secret"),
            self.event("response.output_item.done", output_index=0, item=item),
        ]

    def message(self, index: int, *deltas: str) -> list[bytes]:
        place: dict[str, Any] = {"item_id": "m", "output_index": index, "content_index": 0}
        text = "".join(deltas)
        part = {"type": "output_text", "text": text}
        item = {"type": "message", "id": "m"}
        return [
            self.event("response.output_item.added", output_index=index, item={**item, "content": []}),
            self.event("response.content_part.added", **place, part={**part, "text": ""}),
            *(self.event("response.output_text.delta", **place, delta=delta) for delta in deltas),
            self.event("response.output_text.done", **place, text=text),
            self.event("response.content_part.done", **place, part=part),
            self.event("response.output_item.done", output_index=index, item={**item, "content": [part]}),
        ]

    def test_items_and_tags(self) -> None:
        stream = [
            self.event("response.created", response={"reasoning": {"effort": "low"}, "output": []}),
            *self.thought(),
            *self.message(1, "<think>sec", "ret</thi", "nk>\n\nHalt", "! <"),
            self.event("response.completed", response=response(thought="secret", text="<think>secret</think>Halt! <")),
        ]
        stripped_stream = run_through(stream)
        self.assertNotIn(b"secret", stripped_stream)
        events = self.read(stripped_stream)
        deltas = [each["delta"] for each in events if each["type"] == "response.output_text.delta"]
        self.assertEqual(deltas, ["Halt", "! ", "<"])
        self.assertEqual([each["sequence_number"] for each in events], list(range(len(events))))
        self.assertEqual({each["output_index"] for each in events if "output_index" in each}, {0})
        done = {each["type"]: each for each in events if each["type"].endswith(".done")}
        self.assertEqual(done["response.output_text.done"]["text"], "Halt! <")
        self.assertEqual(done["response.content_part.done"]["part"]["text"], "Halt! <")
        self.assertEqual(done["response.output_item.done"]["item"]["content"][0]["text"], "Halt! <")
        self.assertEqual(events[-1]["response"], response(text="Halt! <"))
        whole = b"".join(stream)
        for size in (1, 7, 100):
            self.assertEqual(run_through([whole[i : i + size] for i in range(0, len(whole), size)]), stripped_stream)

    def test_what_has_no_reasoning_passes_as_it_is(self) -> None:
        stream = b"".join(
            [
                self.event("response.created", response={"reasoning": None, "output": []}),
                *self.message(0, "Halt", "", "!"),
                self.event("response.completed", response=response("Halt!")),
            ]
        )
        self.assertEqual(run_through([stream]), stream)

    def test_what_was_held_comes_before_the_end(self) -> None:
        stream = self.message(0, "Halt <")[:-3]
        for end in (self.event("response.completed", response=response("Halt <")), b""):
            events = self.read(run_through([*stream, end]))
            deltas = [each["delta"] for each in events if each["type"] == "response.output_text.delta"]
            self.assertEqual(deltas, ["Halt ", "<"])


class Counted(str):
    """A text that counts the characters that are copied of it."""

    copied = 0

    def __getitem__(self, place: Any) -> Counted:
        part = Counted(super().__getitem__(place))
        Counted.copied += len(part)
        return part

    def __add__(self, after: str) -> Counted:
        Counted.copied += len(self) + len(after)
        return Counted(str(self) + str(after))

    def __radd__(self, before: str) -> Counted:
        Counted.copied += len(before) + len(self)
        return Counted(before + str(self))


class WorkTests(SynchronousTestCase):
    """What comes without an end takes work in proportion, and is not kept."""

    def test_the_longest_is_looked_into_and_one_byte_more_is_not(self) -> None:
        text = "<think>hm</think>"
        filled = LONGEST_EVENT_BYTES - len(chunk(content=text))
        for more in (0, 1):
            event = chunk(content=text + "x" * (filled + more))
            for pieces in ([event], [event[at : at + 50_000] for at in range(0, len(event), 50_000)]):
                self.assertEqual(run_through(pieces) == event, bool(more))

    def test_many_tags_in_one_text(self) -> None:
        copied = []
        for count in (2000, 4000):
            Counted.copied = 0
            TagStripper().feed(Counted("<think>hm</think>Go." * count))
            copied.append(Counted.copied)
        self.assertLess(copied[1], 2.2 * copied[0])

    def test_white_space_without_an_end(self) -> None:
        stripper = TagStripper()
        copied = []
        for count in (2000, 4000):
            Counted.copied = 0
            for _ in range(count):
                stripper.feed(Counted(" " * 100))
            copied.append(Counted.copied)
        self.assertLess(copied[1], 2.2 * copied[0])

    def test_texts_without_number(self) -> None:
        for editor, event in (
            (Chunks(), lambda at: {"choices": [{"index": at, "delta": {"content": "<"}}]}),
            (Responses(), lambda at: {"type": "response.output_text.delta", "output_index": at, "delta": "<"}),
        ):
            for at in range(2 * MOST_TEXTS):
                editor.edit(event(at))
            self.assertLessEqual(len(editor.rest()), MOST_TEXTS + 1)
