"""What is piped into a command, and out of it."""

from __future__ import annotations

import codecs
import io
import json
import sys

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.output import json_text, piped_key, piped_lines, show_json


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
