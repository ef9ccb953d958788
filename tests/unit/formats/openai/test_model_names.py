"""The client's own name in a stream, cut anywhere."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.formats.openai import model_names
from skyproxy.formats.openai.stream_inspector import StreamInspector
from tests.unit.formats.openai.streams import COMMENT, DONE, STOP, USAGE, chunk, event, line_ends, splits


def named(reads: list[bytes], model: str = "own") -> bytes:
    inspector = StreamInspector(model=model)
    return b"".join([*map(inspector.feed, reads), inspector.end()])


class ModelNamesTests(SynchronousTestCase):
    def assertNamed(self, stream: bytes, expected: bytes) -> None:
        for reads in splits(stream):
            self.assertEqual(named(reads), expected, reads)

    def test_in_each_event_and_nothing_else(self) -> None:
        stream = (
            COMMENT
            + chunk("", role="assistant")
            + b"".join(chunk(text) for text in ("Halt", " you", ' "model":"m"', " there", " and"))
            + STOP
            + USAGE
            + event(model="m", choices=[], usage={"total_tokens": 3})
            + DONE
        )
        for each in line_ends(stream):
            self.assertNamed(each, each.replace(b'"model":"m"', b'"model":"own"'))

    def test_wherever_it_stands(self) -> None:
        delta = {"index": 0, "delta": {"content": "word"}, "finish_reason": None}
        for stream in (
            event(model="m", id="c", choices=[delta]) * 4,
            event(id="c", choices=[delta], model="m") * 4,
            event(id="c", choices=[{**delta, "model": "n"}], model="m") * 4,
            json.dumps({"model": "m", "choices": [delta]}, indent=1).replace("\n", "").join(["data:", "\n\n"]).encode()
            * 3,
            event(type="response.created", response={"id": "r", "model": "m"})
            + event(type="response.output_text.delta", delta="model") * 3
            + event(type="response.completed", response={"output": [{"model": "n"}], "model": "m"}),
            chunk("a") + b'data: {"model":"m"}',
        ):
            self.assertNamed(stream, stream.replace(b'"m"', b'"own"'))

    def test_an_error_that_is_shown_otherwise_than_it_came(self) -> None:
        for said in ({"x_groq": {"error": "e"}, "choices": []}, {"detail": "e"}):
            for reads in splits(chunk("a") + event(model="m", **said)):
                shown = json.loads(named(reads).split(b"\n\n")[1][6:])
                self.assertEqual((shown["model"], shown["error"]["message"]), ("own", "e"))

    def test_what_changes_from_chunk_to_chunk(self) -> None:
        delta = {"index": 0, "delta": {"content": "word"}, "finish_reason": None}
        stream = b"".join(event(id=n // 3, model="m", choices=[delta], obfuscation="x" * (n % 5)) for n in range(12))
        self.assertNamed(stream, stream.replace(b'"m"', b'"own"'))

    def test_many_chunks_in_one_read(self) -> None:
        stream = chunk("a") * 3 + b"".join(chunk("word" * n) for n in range(1, 200))
        expected = stream.replace(b'"m"', b'"own"')
        self.assertEqual(named([chunk("a"), stream, stream]), chunk("a").replace(b'"m"', b'"own"') + expected * 2)

    def test_a_name_that_needs_escapes(self) -> None:
        for reads in ([chunk("a")] * 3, [chunk("a") * 3]):
            stream = named(reads, 'gr\u00f6\u00dfe "7b"')
            for each in stream.split(b"\n\n")[:-1]:
                self.assertEqual(json.loads(each[6:])["model"], 'gr\u00f6\u00dfe "7b"')

    def test_what_has_none_stays(self) -> None:
        for stream in (
            event(choices=[{"delta": {"content": "a"}}]) * 4,
            b'data: {"a":1,\ndata: "model":"m"}\n\n',
            COMMENT,
        ):
            self.assertNamed(stream, stream)

    def test_chunks_that_are_known_again_are_not_searched(self) -> None:
        words = [chunk(text) for text in ("a", "b", "c d")] * 100
        self.assertEqual(len(named(words)), sum(map(len, words)) + 600)
        searched: list[bytes] = []
        with_model = model_names.with_model
        self.patch(model_names, "with_model", lambda *args: (searched.append(args[0]), with_model(*args))[1])
        named(words)
        self.assertLess(len(searched), 4)
