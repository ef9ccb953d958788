from __future__ import annotations

import gzip
import json
import time
import zlib
from email.utils import parsedate_to_datetime

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.demo import Demo
from tests.unit.demo.client import MESSAGES, Server


class BrokenAnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server(control=True)

    def outcome(self) -> str:
        """That of the last request."""
        outcome: str = self.server.control("requests?last=1")["requests"][0]["outcome"]
        return outcome

    def test_status(self) -> None:
        answer = self.server.stream("guard;status=429;retry_after=7").answer()
        self.assertEqual((answer.status, answer.headers["retry-after"]), (429, "7"))
        self.assertEqual(answer.json["error"]["type"], "rate_limit_error")

    def test_when_to_ask_again(self) -> None:
        now = time.time()
        model = "guard;fail=1;status=429;retry_date=60;retry_after_ms=1500;ratelimit_reset=1m2s"
        answer = self.server.chat(model).answer()
        self.assertApproximates(parsedate_to_datetime(answer.headers["retry-after"]).timestamp(), now + 60, 2)
        self.assertEqual(answer.headers["retry-after-ms"], "1500")
        self.assertEqual(answer.headers["x-ratelimit-remaining-requests"], "0")
        self.assertEqual(answer.headers["x-ratelimit-reset-requests"], "1m2s")
        healed = self.server.chat(model).answer()
        self.assertEqual([name for name in healed.headers if "retry" in name or "ratelimit" in name], [])

    def test_fail_counts_one_model_string(self) -> None:
        statuses = [self.server.chat("guard;fail=2").answer().status for _ in range(3)]
        self.assertEqual(statuses, [503, 503, 200])
        self.assertEqual(self.server.chat("guard;fail=2;cookie").answer().status, 503)

    def test_reset_and_hang(self) -> None:
        reset = self.server.stream("guard;reset")
        self.assertEqual((reset.transport.value(), reset.transport.aborted), (b"", True))
        self.assertEqual(self.outcome(), "faulted")
        hanging = self.server.stream("guard;hang")
        self.server.wait(1)
        self.assertEqual(hanging.transport.value(), b"")
        self.assertEqual(self.outcome(), "active")

    def test_cut_aborts_after_the_pieces(self) -> None:
        connection = self.server.stream("guard;text=a;chunks=9;cut=2;delay=0")
        self.assertFalse(connection.transport.aborted)
        self.server.wait(0.1)
        self.assertTrue(connection.transport.aborted)
        self.assertEqual(connection.answer().content, "a a ")
        self.assertFalse(connection.answer().complete)
        self.assertEqual(self.outcome(), "faulted")

    def test_cut_at_once_is_after_the_head(self) -> None:
        connection = self.server.stream("guard;cut=0")
        self.server.wait(0.1)
        self.assertEqual((connection.answer().status, connection.answer().body), (200, b""))
        self.assertTrue(connection.transport.aborted)

    def test_close_clean_is_proper_http(self) -> None:
        stream = self.server.stream("guard;text=a;chunks=9;close_clean=2;delay=0").answer()
        self.assertEqual((stream.content, stream.complete), ("a a ", True))
        self.assertNotIn("[DONE]", stream.events)
        self.assertIsNone(stream.events[-1]["choices"][0]["finish_reason"])
        whole = self.server.chat("guard;close_clean=2").answer()
        self.assertTrue(whole.complete)
        self.assertRaises(ValueError, json.loads, whole.body)

    def test_error_in_stream(self) -> None:
        stream = self.server.stream("guard;error_in_stream=1;delay=0").answer()
        self.assertEqual(stream.events[-1]["error"]["code"], 502)
        self.assertTrue(stream.complete)
        self.assertEqual(self.server.chat("guard;error_in_stream=1").answer().json["error"]["code"], 502)

    def test_empty(self) -> None:
        stream = self.server.stream("guard;empty").answer()
        self.assertEqual((stream.status, stream.body, stream.complete), (200, b"", True))
        self.assertEqual(self.server.chat("guard;empty").answer().headers["content-length"], "0")

    def test_lie_length(self) -> None:
        for connection in (
            self.server.chat("guard;lie_length"),
            self.server.stream("guard;lie_length;delay=0"),
        ):
            self.assertTrue(connection.transport.disconnecting)
            self.assertFalse(connection.answer().complete)

    def test_junk(self) -> None:
        self.assertIn(b"muttering", self.server.chat("guard;junk").answer().rest)
        self.assertTrue(self.server.chat("guard;junk=answer").answer().rest.startswith(b"HTTP/1.1 200 OK\r\n"))
        connection = self.server.chat("guard;junk=status")
        self.assertNotIn(b"HTTP", connection.transport.value())
        self.assertTrue(connection.transport.disconnecting)

    def test_redirect(self) -> None:
        answer = self.server.chat("guard;redirect").answer()
        self.assertEqual((answer.status, answer.headers["location"]), (302, "http://127.0.0.1:9/"))

    def test_bomb(self) -> None:
        answer = self.server.chat("guard;bomb").answer()
        self.assertTrue(answer.complete)
        self.assertTrue(9_000_000 < len(answer.body) < 12_000_000)
        inflated = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(answer.body[:100_000])
        self.assertTrue(len(inflated) > 90_000_000)


class OddAnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server()

    def test_first_and_head(self) -> None:
        first = self.server.chat("guard;first=2")
        head = self.server.chat("guard;head=2")
        self.assertEqual(first.transport.value(), b"")
        self.assertEqual((head.answer().status, head.answer().body), (200, b""))
        self.server.reactor.advance(2)
        self.assertTrue(first.answer().complete)
        self.assertTrue(head.answer().complete)

    def test_opening(self) -> None:
        stream = self.server.stream("guard;text=a;comments;opening=2;delay=0")
        self.assertIn(b"PROCESSING", stream.answer().body)
        self.assertEqual(
            (stream.answer().events[-1]["choices"][0]["delta"]["role"], stream.answer().content), ("assistant", "")
        )
        self.server.reactor.advance(2)
        self.assertEqual(stream.answer().content, "a")

    def test_comments_and_crlf(self) -> None:
        body = self.server.stream("guard;comments;crlf;chunks=2;delay=0").answer().body
        self.assertEqual(body.count(b": OPENROUTER PROCESSING\r\n\r\n"), 2)
        self.assertEqual(body.count(b"\n"), body.count(b"\r\n"))

    def test_split_goes_through_characters(self) -> None:
        connection = self.server.stream("guard;split;text=h%C3%A9;delay=0")
        self.assertEqual(connection.answer().body, b"d")
        self.server.reactor.advance(0)
        self.assertIn(b"\r\n1\r\n\xc3\r\n1\r\n\xa9\r\n", connection.transport.value())
        self.assertEqual(connection.answer().content, "h\u00e9")

    def test_gzip(self) -> None:
        whole = self.server.chat("guard;gzip;text=Halt").answer()
        self.assertEqual(whole.headers["content-encoding"], "gzip")
        self.assertIn(b"Halt", gzip.decompress(whole.body))
        stream = self.server.stream("guard;gzip;text=Halt;delay=0").answer()
        self.assertTrue(gzip.decompress(stream.body).endswith(b"data: [DONE]\n\n"))

    def test_headers(self) -> None:
        answer = self.server.chat("guard;headers=40;cookie;ratelimit;keep_alive=5").answer()
        self.assertEqual(answer.headers["x-demo-39"], "value 39")
        self.assertEqual(answer.headers["keep-alive"], "timeout=5")
        self.assertIn("set-cookie", answer.headers)
        self.assertIn("x-ratelimit-remaining-tokens", answer.headers)

    def test_a_close_that_was_not_announced(self) -> None:
        connection = self.server.chat("guard;keep_alive_close")
        self.assertTrue(connection.answer().complete)
        self.assertNotIn("connection", connection.answer().headers)
        self.assertTrue(connection.transport.disconnecting)


class FlowTests(SynchronousTestCase):
    def test_nothing_is_written_while_the_transport_is_full(self) -> None:
        server = Server(control=True)
        connection = server.stream("guard;chunks=100;delay=0.01")
        assert connection.transport.producer is not None
        connection.transport.producer.pauseProducing()
        before = connection.transport.value()
        server.wait(1)
        self.assertEqual(connection.transport.value(), before)
        connection.transport.producer.resumeProducing()
        server.wait(2)
        self.assertTrue(connection.answer().complete)
        self.assertEqual(server.control("stats")["chunks"], 100)

    def test_a_client_that_leaves_is_noticed_at_once(self) -> None:
        server = Server(control=True)
        idle = len(server.reactor.getDelayedCalls())
        connection = server.stream("guard;delay=5")
        connection.leave()
        self.assertEqual(len(server.reactor.getDelayedCalls()), idle)
        stats = server.control("stats")
        self.assertEqual((stats["cancelled"], stats["active"], stats["completed"]), (1, 0, 0))


class LimitTests(SynchronousTestCase):
    def test_concurrency(self) -> None:
        server = Server(control=True, concurrency=2)
        hanging = [server.chat("guard;hang") for _ in range(2)]
        refused = server.chat("guard").answer()
        self.assertEqual((refused.status, refused.headers["retry-after"]), (429, "1"))
        self.assertEqual(refused.json["error"]["code"], "rate_limit_exceeded")
        stats = server.control("stats")
        self.assertEqual((stats["active"], stats["peak_active"], stats["refused"]), (2, 2, 1))
        hanging[0].leave()
        self.assertEqual(server.chat("guard").answer().status, 200)

    def test_rate(self) -> None:
        server = Server(rate=2)
        self.assertEqual([server.chat("guard").answer().status for _ in range(3)], [200, 200, 429])
        server.reactor.advance(0.5)
        self.assertEqual([server.chat("guard").answer().status for _ in range(2)], [200, 429])


class ControlTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server(control=True)

    def test_stats(self) -> None:
        self.server.stream("guard;chunks=4;delay=0")
        self.server.chat("guard;status=500")
        self.server.chat("guard;hang")
        self.assertEqual(
            self.server.control("stats"),
            {
                "active": 1,
                "peak_active": 1,
                "total": 3,
                "completed": 2,
                "cancelled": 0,
                "faulted": 0,
                "refused": 0,
                "connections_open": 3,
                "connections_total": 3,
                "by_status": {"200": 1, "500": 1},
                "chunks": 4,
            },
        )

    def test_requests(self) -> None:
        connection = self.server.chat("guard", temperature=0.5)
        connection.ask("/v1/embeddings", "guard", input="x")
        self.server.connect().send("POST", "/v1/audio/transcriptions", b"\xff\x00", "multipart/form-data")
        first, second, third = self.server.control("requests")["requests"]
        self.assertEqual((first["n"], first["path"], first["method"]), (1, "/v1/chat/completions", "POST"))
        self.assertEqual(first["body"], {"model": "guard", "messages": MESSAGES, "temperature": 0.5})
        self.assertEqual(first["headers"]["host"], "demo")
        self.assertEqual((first["outcome"], first["status"]), ("completed", 200))
        self.assertTrue(first["started"] <= first["finished"])
        self.assertEqual(first["connection"], second["connection"])
        self.assertNotEqual(first["connection"], third["connection"])
        self.assertEqual((third["body"], third["raw"]), (None, "\xff\x00"))
        self.assertEqual([told["n"] for told in self.server.control("requests?last=2")["requests"]], [2, 3])

    def test_a_large_body_is_kept_in_part(self) -> None:
        self.server.chat("guard", user="x" * 300_000)
        told = self.server.control("requests")["requests"][0]
        self.assertEqual((told["body"], len(told["raw"])), (None, 200 * 1024))
        self.assertTrue(told["size"] > 300_000)

    def test_reset_keeps_what_is_open(self) -> None:
        hanging = self.server.chat("guard;hang")
        self.server.chat("guard;fail=1")
        self.assertEqual(self.server.control("reset"), 404)
        self.assertEqual(self.server.control("reset", "POST"), {})
        stats = self.server.control("stats")
        self.assertEqual((stats["active"], stats["peak_active"], stats["connections_open"]), (1, 1, 2))
        self.assertEqual((stats["total"], stats["connections_total"], stats["by_status"]), (0, 0, {}))
        hanging.leave()
        stats = self.server.control("stats")
        self.assertEqual((stats["active"], stats["cancelled"], stats["connections_open"]), (0, 0, 1))
        self.assertEqual(self.server.chat("guard;fail=1").answer().status, 503)


class LifeTests(SynchronousTestCase):
    def test_start_and_stop(self) -> None:
        server = Server()
        self.assertEqual(server.started, [None])
        self.assertRegex(server.demo.base_url, r"^http://127\.0\.0\.1:\d+/v1$")
        connection = server.stream("guard")
        stopped = server.demo.stop()
        self.assertTrue(connection.transport.aborted)
        self.assertNoResult(stopped)
        connection.settle()
        self.successResultOf(stopped)
        self.assertRaises(RuntimeError, lambda: server.demo.base_url)
        self.successResultOf(server.demo.stop())

    def test_stop_does_not_wait_for_ever(self) -> None:
        server = Server()
        server.stream("guard;hang")
        stopped = server.demo.stop()
        server.reactor.advance(2)
        self.successResultOf(stopped)

    def test_an_endpoint_that_is_none(self) -> None:
        self.failureResultOf(Demo(MemoryReactorClock(), listen="nonsense").start(), ValueError)
