"""What is piped into a command, and out of it."""

from __future__ import annotations

import codecs
import io
import json
import sys

import click
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.output import fail, json_text, piped_key, piped_lines, show_json, table


class PipedKeyTests(SynchronousTestCase):
    def test_whatever_a_shell_makes_of_it(self) -> None:
        for sent in (
            b"sk-1\n", b" sk-1 \r\nmore\n", b"sk-1", codecs.BOM_UTF8 + b"sk-1\r\n",
            "sk-1\r\n".encode("utf-16"), codecs.BOM_UTF16_BE + "sk-1\r\n".encode("utf-16-be"),
        ):  # fmt: skip
            # As it is read with a code page of Windows'.
            self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(sent), encoding="cp850"))
            self.assertEqual(piped_key(), "sk-1", sent)
        self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        self.assertEqual(piped_key(), "")


class PipedLinesTests(SynchronousTestCase):
    def lines(self, sent: bytes) -> list[str]:
        self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(sent), encoding="cp1252"))
        return [line.strip() for line in piped_lines()]

    def test_in_utf_8(self) -> None:
        said = ["“Who goes there?”", "Łukasz", ""]
        self.assertEqual(self.lines("\r\n".join(said).encode("utf-8-sig")), said[:2])

    def test_in_the_code_page(self) -> None:
        self.assertEqual(self.lines("Jürgen\n“Wer da?”".encode("cp1252")), ["Jürgen", "“Wer da?”"])

    def test_in_neither(self) -> None:
        self.assertEqual(self.lines(b"\x81\xff there\nyes"), ["\ufffdÿ there", "yes"])


VALUE = {"path": "C:\\Users\\Łukasz", "said": "é → “”"}


class JsonTests(SynchronousTestCase):
    def shown(self, encoding: str) -> bytes:
        output = io.BytesIO()
        self.patch(sys, "stdout", io.TextIOWrapper(output, encoding=encoding, errors="replace"))
        show_json(VALUE)
        sys.stdout.flush()
        return output.getvalue()

    def test_nothing_is_lost_in_a_code_page(self) -> None:
        for encoding in ("cp1252", "cp437", "ascii"):
            self.assertEqual(json.loads(self.shown(encoding).decode("ascii")), VALUE, encoding)

    def test_in_utf_8_it_is_for_people_too(self) -> None:
        self.assertIn("Łukasz".encode(), self.shown("UTF8"))
        self.patch(sys, "stdout", io.StringIO())  # which has no encoding
        self.assertEqual(json.loads(json_text(VALUE)), VALUE)


class OthersWordsTests(SynchronousTestCase):
    """Names of models, and what providers say, may hold what moves the cursor of a terminal."""

    def test_in_a_table(self) -> None:
        shown = table(("model", "cost"), [("e\x1b[2J\u202e\nx", "1"), ("Łukasz", "2")])
        escaped = "e\\x1b[2J\\u202e\\nx"
        width = len(escaped)
        self.assertEqual(shown.split("\n"), [f"{'model':{width}}  cost", f"{escaped}  1", f"{'Łukasz':{width}}  2"])

    def test_in_a_complaint(self) -> None:
        said: list[str] = []
        self.patch(click, "echo", lambda text, err: said.append(text))
        self.assertRaises(SystemExit, fail, "no\x1b]0;x\x07\nway")
        self.assertEqual(said, ["skyproxy: no\\x1b]0;x\\x07\nway"])
