from __future__ import annotations

from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.log.events import PLAIN, VALUE_LIMIT
from skyproxy.log.redaction import Redactor
from skyproxy.log.text_lines import TextLines
from tests.unit.log.events import event_of, failure_of

KEY = "planted-key-0001"
PREFIX = "2026-01-01T12:00:00.123Z INFO skyproxy.pipeline.proxy  "


class TextLinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines = TextLines(Redactor([KEY]))

    def test_form(self) -> None:
        line = self.lines.line(
            event_of("Upstream request completed", provider="demo", latency_ms=12.3, status=200, stream=True)
        )
        self.assertEqual(
            line.decode(),
            PREFIX + "Upstream request completed provider=demo latency_ms=12.3 status=200 stream=true\n",
        )

    def test_fields_that_are_known_to_be_plain_are_written_alike(self) -> None:
        for fields in (
            {"provider": "demo", "latency_ms": 12.3, "status": 200, "stream": True, "cost": 1e-09},
            {"model": "two words", "empty": "", "quoted": 'q"', "equal": "a=b", "name": "Skjoldmøy", "cut": False},
            {"model": "x\r\n2026 ERROR forged\x1b[2J\u202e"},
            {"key": KEY, "bearer": "Bearer abcdefghijkl", "no": -1},
            {"long": "x" * 2 * VALUE_LIMIT, "short": "y"},
        ):
            for level in (LogLevel.info, LogLevel.warn):
                event = event_of("Upstream request completed", level, **fields)
                self.assertEqual(self.lines.line({**event, PLAIN: fields}), self.lines.line(event))

    def test_values_that_want_quotes(self) -> None:
        line = self.lines.line(event_of("Told", a="two words", b="", c='q"', d="a=b", e=["x", 1], f=None))
        self.assertEqual(line.decode(), PREFIX + r'Told a="two words" b="" c="q\"" d="a=b" e=["x", 1] f=null' + "\n")

    def test_what_the_message_shows_is_not_told_again(self) -> None:
        line = self.lines.line(event_of("skyproxy listens at {base_url}", base_url="http://x", base="y"))
        self.assertEqual(line.decode(), PREFIX + "skyproxy listens at http://x base=y\n")

    def test_a_format_that_does_not_fit(self) -> None:
        line = self.lines.line(event_of("{", a=1))
        self.assertIn(b"Unable to format", line)
        self.assertEqual(line.count(b"\n"), 1)

    def test_nobody_makes_a_line_or_moves_the_cursor(self) -> None:
        hostile = "x\r\n2026 ERROR forged\x1b[2J\x9b2J\x00\u2028\u202e\x7f\x85"
        for event in (
            event_of("Told", model=hostile),
            event_of("Told {model}", model=hostile),
            event_of("Told", **{hostile: 1}),
            event_of("Told", namespace=hostile),
            event_of("Told", models=[hostile]),
        ):
            text = self.lines.line(event).decode()
            self.assertEqual(text.count("\n"), 1)
            self.assertTrue(text[:-1].isprintable(), text)

    def test_text_of_other_tongues_stays(self) -> None:
        self.assertIn("Skjoldmøy", self.lines.line(event_of("Told", name="Skjoldmøy")).decode())

    def test_lone_surrogates(self) -> None:
        self.assertIn(rb"a\ud800", self.lines.line(event_of("Told", name="a\ud800")))

    def test_a_traceback_is_indented(self) -> None:
        error = ValueError("one\n2026-01-01T12:00:00.123Z INFO forged\x1b")
        line = self.lines.line(event_of("Failed", LogLevel.critical, log_failure=failure_of(error)))
        head, *rest = line.decode().splitlines()
        self.assertTrue(head.startswith("2026-01-01T12:00:00.123Z CRITICAL skyproxy.pipeline.proxy  Failed error="))
        self.assertTrue(any("in failure_of" in each for each in rest))
        self.assertTrue(all(each.startswith("    ") and each.isprintable() for each in rest))

    def test_secrets(self) -> None:
        event = event_of("Told", a=KEY, b=f"two {KEY}", c=[KEY], log_failure=failure_of(ValueError(KEY)))
        self.assertNotIn(KEY.encode(), self.lines.line(event))

    def test_a_fault_inside_makes_a_minimal_line(self) -> None:
        self.assertIn(b"Log event could not be written", self.lines.line({"log_time": "never"}))
