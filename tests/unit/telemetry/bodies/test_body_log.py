"""The log of bodies, :mod:`skyproxy.telemetry.bodies.body_log`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import ProxySettings
from skyproxy.config.proxy_settings import BodySettings
from skyproxy.log.redaction import Redactor
from skyproxy.telemetry.bodies.body_log import CLEAN_SECONDS, WRITE_SECONDS, BodyLog
from skyproxy.telemetry.records import RequestRecord
from tests.unit.web.support import ImmediateWorker

RECORD = RequestRecord(
    request_id="r-1",
    endpoint="/chat/completions",
    slot="default",
    provider="openrouter",
    model="default",
    upstream_model="mistral",
    status=200,
    outcome="ok",
    stream=False,
    latency=1.0,
    time_to_first_byte=0.5,
    queue=0.0,
    bytes_out=2,
    error_code=None,
    attempts=1,
)


class BodyLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "bodies.sqlite"
        self.clock = Clock()
        self.wall = 1_000_000.0

    def log(self, mode: str = "all", **bodies: Any) -> BodyLog:
        worker: Any = ImmediateWorker()
        settings = self.settings(mode, **bodies)
        log = BodyLog(
            self.clock, settings, (self.path,), "run", lambda: Redactor(["hunter2"]),
            lambda: self.wall, worker,
        )  # fmt: skip
        log.open()
        return log

    def settings(self, mode: str, **bodies: Any) -> ProxySettings:
        return ProxySettings.model_validate({"record_bodies": mode, "bodies": BodySettings(**bodies)})

    def serve(self, log: BodyLog, number: int = 1, outcome: Any = "ok", kind: bytes = b"application/json") -> None:
        """One request, from its coming to its end."""
        recording = log.begin()
        if recording is not None:
            recording.begin(b"application/json")
            recording.add(b'{"said":"hunter2"}')
        ended: Any = SimpleNamespace(
            request=SimpleNamespace(body=b'{"model":"default"}', content_type=kind),
            client=SimpleNamespace(recording=recording),
        )
        log.completed(RECORD._replace(request_id=f"r-{number}", outcome=outcome), self.wall, number, ended)

    def find(self, log: BodyLog, request_id: str) -> Any:
        return self.successResultOf(log.find(request_id, None))

    def test_off(self) -> None:
        log = self.log("off")
        self.assertIsNone(log.begin())
        self.serve(log)
        self.assertIsNone(self.find(log, "r-1"))
        self.assertEqual(self.successResultOf(log.page(None, "", 9)).rows, [])
        self.assertFalse(self.path.exists())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_all(self) -> None:
        log = self.log()
        self.serve(log)
        found = self.find(log, "r-1")
        self.assertEqual(found.request.data, b'{"model":"default"}')
        self.assertEqual(found.answer.data, b'{"said":"[redacted]"}')
        self.assertEqual((found.row.run, found.row.number, found.row.outcome), ("run", 1, "ok"))

    def test_errors(self) -> None:
        log = self.log("errors")
        for number, outcome in enumerate(("ok", "cancelled", "failed", "upstream_error", "client_error", "refused")):
            self.serve(log, number, outcome)
        rows = self.successResultOf(log.page(None, "", 9)).rows
        self.assertEqual([row.outcome for row in rows], ["refused", "client_error", "upstream_error", "failed"])

    def test_files_in_forms_are_not_kept(self) -> None:
        log = self.log()
        self.serve(log, kind=b"Multipart/form-data; boundary=x")
        found = self.find(log, "r-1")
        self.assertEqual((found.request.data, found.request.size, found.request.is_text), (b"", 19, False))

    def test_large_ones_are_cut(self) -> None:
        log = self.log(max_body=10)
        self.serve(log)
        found = self.find(log, "r-1")
        self.assertEqual((found.request.data, found.request.size), (b'{"model":"', 19))
        self.assertEqual((found.answer.data, found.answer.size), (b'{"said":"h', 18))

    def test_it_is_written_after_a_while(self) -> None:
        log = self.log()
        self.serve(log)
        self.assertFalse(self.path.exists())
        self.clock.advance(WRITE_SECONDS)
        self.assertTrue(self.path.exists())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_waits_is_written_at_the_end(self) -> None:
        log = self.log()
        self.serve(log)
        self.successResultOf(log.close(1.0))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsNotNone(self.find(self.log("off"), "r-1"))

    def test_no_memory_is_lost_and_there_is_a_bound(self) -> None:
        log = self.log()
        before = log._allowance.left
        for number in range(50):
            self.serve(log, number)
        self.clock.advance(WRITE_SECONDS)
        self.assertEqual(log._allowance.left, before)
        log._allowance.left = 100
        self.serve(log, 99)
        self.assertEqual(log.lost, 1)
        self.assertEqual(log._allowance.left, 100)

    def test_a_file_that_cannot_be_used_is_told_once(self) -> None:
        self.path.write_bytes(b"my save game")
        log = self.log()
        for number in range(3):
            self.serve(log, number)
            self.clock.advance(WRITE_SECONDS)
        self.assertEqual(log.lost, 3)
        self.assertEqual(self.path.read_bytes(), b"my save game")

    def test_old_ones_go_though_nothing_is_recorded_any_more(self) -> None:
        first = self.log()
        self.serve(first)
        self.successResultOf(first.close(1.0))
        self.wall += 23 * 3600
        self.assertIsNotNone(self.find(self.log("off"), "r-1"))
        self.wall += 2 * 3600
        self.assertIsNone(self.find(self.log("off"), "r-1"))

    def test_old_ones_go_while_it_runs(self) -> None:
        log = self.log(keep=600.0)
        self.serve(log)
        self.clock.advance(WRITE_SECONDS)
        self.wall += 601
        self.clock.advance(CLEAN_SECONDS)
        self.serve(log, 2)
        self.clock.advance(WRITE_SECONDS)
        self.assertIsNone(self.find(log, "r-1"))
        self.assertIsNotNone(self.find(log, "r-2"))

    def test_switched_while_it_runs(self) -> None:
        log = self.log("off")
        log.use(self.settings("all"))
        self.assertEqual(log.since, self.wall)
        self.wall += 10
        log.use(self.settings("errors"))
        self.assertEqual(log.since, self.wall - 10)
        recording = log.begin()
        assert recording is not None
        log.use(self.settings("off"))
        self.assertIsNone(log.since)
        self.assertIsNone(log.begin())
