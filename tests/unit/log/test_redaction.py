from __future__ import annotations

import json
import re
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.log.redaction import Redactor

KEY = "Zx81-plain-key-004"
ODD = 'we/ird "k\\ey" é+%'


class RedactorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.redactor = Redactor([KEY, ODD, "short"])

    def test_every_occurrence_goes(self) -> None:
        self.assertEqual(self.redactor.redact(f"a {KEY} b={KEY};"), "a [redacted] b=[redacted];")

    def test_every_way_of_writing_goes(self) -> None:
        once = json.dumps(ODD)
        for written in (
            ODD,
            once,
            json.dumps(once),
            json.dumps(ODD, ensure_ascii=False),
            repr(ODD),
            quote(ODD, safe=""),
        ):
            with self.subTest(written):
                text = self.redactor.redact(f"<{written}>")
                self.assertIn("[redacted]", text)
                self.assertNotIn("ird", text)

    def test_percent_escapes_in_small_letters(self) -> None:
        written = re.sub("%..", lambda escape: escape.group().lower(), quote(ODD, safe=""))
        self.assertEqual(self.redactor.redact(written), "[redacted]")

    def test_short_ones_stay(self) -> None:
        self.assertEqual(self.redactor.redact("a short text"), "a short text")

    def test_the_longer_of_two_that_begin_alike(self) -> None:
        redactor = Redactor(["secret-1", "secret-1-and-more"])
        self.assertEqual(redactor.redact("secret-1-and-more"), "[redacted]")

    def test_what_looks_like_a_key(self) -> None:
        for text, clean in (
            ("Authorization: Bearer abcdef0123456789", "Authorization: Bearer [redacted]"),
            ("BEARER  abcdef0123456789.x", "BEARER  [redacted]"),
            ("header=bearer%20abcdef0123456789", "header=bearer%20[redacted]"),
            ("sk-or-v1-0123456789abcdef!", "[redacted]!"),
            ("key=gsk_0123456789abcdef", "key=[redacted]"),
            ("AIzaSy0123456789abcdef", "[redacted]"),
        ):
            with self.subTest(text):
                self.assertEqual(self.redactor.redact(text), clean)

    def test_words_stay(self) -> None:
        for text in ("the task-management-system", "a bearer of news", "model=ask-anything"):
            with self.subTest(text):
                self.assertEqual(self.redactor.redact(text), text)

    def test_without_secrets(self) -> None:
        self.assertEqual(Redactor([]).redact("plain text"), "plain text")
