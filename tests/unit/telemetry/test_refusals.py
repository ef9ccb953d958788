"""Refusals of providers, as the log tells of them."""

from __future__ import annotations

import json
from typing import Any

from twisted.logger import LogEvent, Logger, LogLevel
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.formats.error_body import masker, read_error
from skyproxy.formats.error_kinds import kind_of
from skyproxy.telemetry.refusals import _MOST, AGAIN_SECONDS, Refusal, Refusals

KEY = "sk-very-secret-indeed"


class ComplaintTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 0.0
        self.events: list[LogEvent] = []
        self.refusals = Refusals(lambda: self.now, Logger(observer=self.events.append))

    def hear(self, status: int, message: str, model: str = "m", **error: Any) -> None:
        body = read_error(json.dumps({"error": {"message": message, **error}}).encode(), b"application/json")
        complaint = Refusal("r1", "guard", model, status, kind_of(status, body), body.message)
        self.refusals.heard(complaint, masker([KEY]))

    def test_in_the_providers_own_words(self) -> None:
        for status, kind in ((401, "key_invalid"), (402, "no_credit"), (404, "model_unknown"), (429, "rate")):
            self.hear(status, f"No,\nnot with {KEY}. " + "x" * 400)
            event = self.events[-1]
            self.assertEqual((event["log_level"], event["kind"], event["status"]), (LogLevel.warn, kind, status))
            self.assertTrue(event["said"].startswith("No, not with ***. x"))
            self.assertEqual(len(event["said"]), 300)
            self.assertEqual((event["request_id"], event["provider"], event["upstream_model"]), ("r1", "guard", "m"))

    def test_what_may_repeat_a_prompt_is_not_told(self) -> None:
        self.hear(400, "Invalid: the holy grail", type="invalid_request_error")
        self.hear(400, "the holy grail", code="content_filter")
        self.assertEqual([event["kind"] for event in self.events], ["client", "content"])
        for event in self.events:
            self.assertEqual(event["log_level"], LogLevel.info)
            self.assertNotIn("grail", repr(event))

    def test_once_a_minute_with_the_count_of_the_others(self) -> None:
        for _ in range(5):
            self.hear(429, "Slow down.")
        self.hear(429, "Slow down.", model="other")
        self.hear(401, "No such key.")
        self.assertEqual([event["others"] for event in self.events], [0, 0, 0])
        self.now = AGAIN_SECONDS
        self.hear(429, "Slow down.")
        self.assertEqual([event["others"] for event in self.events], [0, 0, 0, 4])

    def test_models_without_number(self) -> None:
        for number in range(2 * _MOST):
            self.hear(404, "No.", model=f"m{number}")
        self.assertEqual(len(self.refusals._logged), _MOST)

    def test_any_body(self) -> None:
        for data in (b"", b"\xff\x00", b"<html><h1>Nope</h1></html>", b"[]", b"{}"):
            body = read_error(data, b"")
            self.refusals.heard(Refusal("r", "g", repr(data), 403, kind_of(403, body), body.message), masker([]))
        self.assertEqual(len(self.events), 5)
