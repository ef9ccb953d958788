from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from twisted.logger import LogEvent, Logger, LogLevel, LogPublisher
from twisted.python.log import LogPublisher as LegacyLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.log.events import PLAIN
from skyproxy.log.json_lines import JsonLines
from skyproxy.log.redaction import Redactor
from skyproxy.telemetry.records import RequestLog, RequestRecord
from skyproxy.telemetry.usage import Tokens
from tests.unit.log.events import event_of, failure_of
from tests.unit.telemetry.test_records import RECORD

KEY = "planted-key-0001"


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class JsonLinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines = JsonLines(Redactor([KEY]))

    def record(self, event: LogEvent) -> dict[str, Any]:
        line = self.lines.line(event)
        self.assertEqual((line.count(b"\n"), line[-1:]), (1, b"\n"))
        record: dict[str, Any] = json.loads(line)
        return record

    def test_form_and_order(self) -> None:
        line = self.lines.line(event_of("Upstream request completed", provider="demo", latency_ms=12.3, stream=True))
        self.assertEqual(
            line,
            b'{"timestamp":"2026-01-01T12:00:00.123Z","level":"INFO","message":"Upstream request completed",'
            b'"logger":"skyproxy.pipeline.proxy","provider":"demo","latency_ms":12.3,"stream":true}\n',
        )

    def test_times_of_one_second_and_the_next(self) -> None:
        event = event_of("Told")
        for when, written in (
            (0.0, "1970-01-01T00:00:00.000Z"),
            (0.999, "1970-01-01T00:00:00.999Z"),
            (1.0, "1970-01-01T00:00:01.000Z"),
        ):
            event["log_time"] = when
            self.assertEqual(self.record(event)["timestamp"], written)

    def test_levels(self) -> None:
        levels = [LogLevel.debug, LogLevel.warn, LogLevel.error, LogLevel.critical]
        written = [self.record(event_of("Told", level))["level"] for level in levels]
        self.assertEqual(written, ["DEBUG", "WARN", "ERROR", "CRITICAL"])

    def test_a_format_with_fields(self) -> None:
        record = self.record(event_of("skyproxy listens at {base_url}", base_url="http://x"))
        self.assertEqual((record["message"], record["base_url"]), ("skyproxy listens at http://x", "http://x"))

    def test_a_format_that_does_not_fit(self) -> None:
        self.assertIn("Unable to format", self.record(event_of("{missing}"))["message"])

    def test_fields_do_not_replace_what_every_line_has(self) -> None:
        record = self.record(event_of("Told", timestamp="x", logger="y", level_="z"))
        self.assertEqual(record["timestamp"], "2026-01-01T12:00:00.123Z")
        self.assertEqual(record["logger"], "skyproxy.pipeline.proxy")

    def test_values_that_json_does_not_know(self) -> None:
        record = self.record(
            event_of(
                "Told",
                path=Path("/a"),
                blob=b"\x00\xff",
                names=("a", "b"),
                table={"a": 1},
                odd={1: 2},
                nested=[[1], [2]],
                huge=2**80,
                secret=SecretStr("quiet"),
                none=None,
                hostile=Hostile(),
            )
        )
        self.assertEqual(record["path"], repr(Path("/a")))
        self.assertEqual(record["blob"], r"b'\x00\xff'")
        self.assertEqual((record["names"], record["table"]), (["a", "b"], {"a": 1}))
        self.assertEqual((record["odd"], record["nested"]), ("{1: 2}", "[[1], [2]]"))
        self.assertEqual((record["huge"], record["none"]), (str(2**80), None))
        self.assertNotIn("quiet", record["secret"])
        self.assertIn("Hostile", record["hostile"])

    def test_values_are_bounded(self) -> None:
        big = "x" * 1_000_000
        record = self.record(event_of("Told {big}", big=big, blob=big.encode(), several=[big] * 100, table={"a": big}))
        for name in ("message", "big", "blob", "several", "table"):
            with self.subTest(name):
                self.assertEqual(len(record[name]), 2048)

    def test_lone_surrogates_and_big_numbers_in_lists(self) -> None:
        record = self.record(event_of("Told", text="a\ud800b", numbers=[2**70]))
        self.assertEqual((record["text"], record["numbers"]), (r"a\ud800b", str([2**70])))

    def test_control_characters_make_no_line(self) -> None:
        record = self.record(event_of("Told", model='a\r\n{"level":"ERROR"}\x00\x1b[2J'))
        self.assertEqual(record["model"], 'a\r\n{"level":"ERROR"}\x00\x1b[2J')

    def test_what_moves_the_cursor_of_a_terminal_is_escaped(self) -> None:
        said = "\x1b[2J\x9b2J\x9d0;x\x85 «à»"
        for fields in ({"said": said}, {PLAIN: {"said": said}}):
            line = JsonLines(Redactor([])).line(event_of("Told", **fields))
            self.assertIn(r'"said":"\u001b[2J\u009b2J\u009d0;x\u0085 «à»"', line.decode())
            self.assertEqual(json.loads(line)["said"], said)

    def test_a_failure(self) -> None:
        record = self.record(event_of("Request failed", LogLevel.critical, log_failure=failure_of(ValueError("why"))))
        self.assertEqual((record["message"], record["error"]), ("Request failed", "ValueError: why"))
        self.assertIn("in failure_of", record["traceback"])

    def test_a_failure_in_the_old_manner(self) -> None:
        events: list[LogEvent] = []
        publisher = LegacyLogPublisher(publishPublisher=LogPublisher(events.append))
        publisher.msg(failure=failure_of(ValueError("why")), why="Came to nothing", isError=1)
        record = self.record(events[-1])
        self.assertEqual((record["message"], record["error"]), ("Came to nothing", "ValueError: why"))
        self.assertEqual(record["level"], "CRITICAL")
        self.assertIn("in failure_of", record["traceback"])
        self.assertTrue({"isError", "why", "failure", "time", "system"}.isdisjoint(record))

    def test_a_long_traceback_keeps_both_ends(self) -> None:
        record = self.record(event_of("Failed", log_failure=failure_of(ValueError("x" * 100_000 + "the end"))))
        self.assertLess(len(record["traceback"]), 17_000)
        self.assertTrue(record["traceback"].startswith("Traceback"))
        self.assertTrue(record["traceback"].rstrip().endswith("the end"))

    def test_secrets_wherever_they_are(self) -> None:
        event = event_of(
            "Told {where}",
            where=f"at {KEY}",
            names=[KEY],
            table={KEY: KEY},
            blob=KEY.encode(),
            nested=[[KEY]],
            log_failure=failure_of(ValueError(f"with {KEY}")),
        )
        line = self.lines.line(event).decode()
        self.assertNotIn(KEY, line)
        record = json.loads(line)
        self.assertEqual(record["message"], "Told at [redacted]")
        self.assertEqual(record["table"], {"[redacted]": "[redacted]"})
        self.assertEqual(record["error"], "ValueError: with [redacted]")

    def test_no_part_of_a_secret_where_a_value_is_cut(self) -> None:
        for before in range(2030, 2050):
            text = "x" * before + KEY + "y" * 100
            for value in (text, text.encode(), [text], {"a": text}):
                written = json.dumps(self.record(event_of("Told", value=value))["value"])
                self.assertNotIn(KEY[:4], written)

    def test_a_secret_of_digits_leaves_the_json_whole(self) -> None:
        self.lines = JsonLines(Redactor(["123456"]))
        record = self.record(event_of("Told", count=91234567, other=5))
        self.assertEqual((record["count"], record["other"]), ("[redacted]", 5))

    def test_a_fault_inside_makes_a_minimal_line(self) -> None:
        record = self.record({"log_time": "never", "log_format": "Told"})
        self.assertEqual((record["level"], record["message"]), ("ERROR", "Log event could not be written"))


class PlainTests(SynchronousTestCase):
    """The short way for events whose fields are plain."""

    FULL = RECORD._replace(
        error_code="interrupted", key="DEMO_API_KEY", tokens=Tokens(9, 8, 7, 6, True), cache="miss", cost=0.1
    )

    def setUp(self) -> None:
        self.lines = JsonLines(Redactor([KEY, "987654"]))

    def both(self, record: RequestRecord) -> bytes:
        """The line of *record*, which is the same by the long way."""
        events: list[LogEvent] = []
        RequestLog(Logger("skyproxy.telemetry.records", observer=events.append)).completed(record)
        line = self.lines.line(events[0])
        self.assertTrue(events[0].pop(PLAIN))
        self.assertEqual(line, self.lines.line(events[0]))
        return line

    def test_it_leads_to_the_same(self) -> None:
        for record in (RECORD, self.FULL, self.FULL._replace(outcome="failed", status=None, slot=None, model="")):
            self.both(record)
        self.assertIn(b'"error_code":"interrupted","key":"DEMO_API_KEY","cache":"miss"', self.both(self.FULL))

    def test_it_is_taken(self) -> None:
        event = event_of("Told", **{PLAIN: {"short": True}})
        self.assertEqual(json.loads(self.lines.line(event))["short"], True)

    def test_lines_of_other_kinds_between(self) -> None:
        failed = RECORD._replace(outcome="failed", request_id="r-2")
        for record in (RECORD, failed, RECORD, failed):
            told = json.loads(self.both(record))
            self.assertEqual((told["level"], told["request_id"]), ("WARN" if record is failed else "INFO", record[0]))

    def test_no_secret_in_what_every_line_has(self) -> None:
        self.lines = JsonLines(Redactor(["stream request", "skyproxy.telemetry"]))
        for _ in range(2):
            told = json.loads(self.both(RECORD))
            self.assertEqual((told["message"], told["logger"]), ("Up[redacted] completed", "[redacted].records"))

    def test_no_secret_in_any_field(self) -> None:
        texts = [name for name, value in self.FULL._asdict().items() if type(value) is str and name != "outcome"]
        self.assertEqual(len(texts), 10)
        for secret in (KEY, "Bearer 0123456789", "sk-0123456789", "gsk_0123456789", "AIza0123456789"):
            for name in texts:
                with self.subTest(name, secret=secret):
                    line = self.both(self.FULL._replace(**{name: f"a {secret}"}))
                    self.assertNotIn(secret.encode(), line)
                    self.assertIn(b"[redacted]", line)
        for name in ("bytes_out", "status", "attempts"):
            self.assertNotIn(b"987654", self.both(self.FULL._replace(**{name: 19876543})))

    def test_what_a_client_wrote(self) -> None:
        for model in ("a\ud800b", "\N{GRINNING FACE}" * 512, "x" * 5000, 'a\r\n{"level":"ERROR"}\x00\x1b'):
            line = self.both(RECORD._replace(model=model, upstream_model=model))
            self.assertLessEqual(len(json.loads(line)["model"]), 2048)
            self.assertEqual(line.count(b"\n"), 1)

    def test_numbers_that_json_does_not_know(self) -> None:
        self.both(RECORD._replace(bytes_out=2**80, cost=float("inf")))

    def test_no_part_of_a_secret_where_a_value_is_cut(self) -> None:
        for before in range(2030, 2050):
            self.assertNotIn(KEY[:4].encode(), self.both(RECORD._replace(model="x" * before + KEY)))

    def test_a_fault_inside_makes_a_minimal_line(self) -> None:
        line = self.lines.line({"log_time": "never", "log_format": "Told", PLAIN: {}})
        self.assertIn(b"Log event could not be written", line)
