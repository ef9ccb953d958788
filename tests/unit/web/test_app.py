from __future__ import annotations

import gzip
import warnings
import zlib
from typing import Any

from twisted.internet.address import IPv4Address

from skyproxy.pipeline.client import refuse
from skyproxy.pipeline.request import Endpoint
from skyproxy.upstream.guards.refusals import BacklogFull
from skyproxy.web.request import ApiRequest
from tests.stock_wire import stock_wire
from tests.unit.web.support import WebCase

JSON = (b"Content-Type", b"application/json")


def echo(request: Any, client: Any) -> None:
    client.answer(200, [JSON], request.body)


_bare = zlib.compressobj(wbits=-15)
BARE = _bare.compress(b"{}") + _bare.flush()
"""Deflate without zlib's wrapping."""


class AppTests(WebCase):
    """The app on skyproxy's channel."""

    def test_every_path_leads_to_its_endpoint(self) -> None:
        self.proxy.act = echo
        for path, endpoint in (
            ("/v1/chat/completions", Endpoint.CHAT),
            ("/chat/completions", Endpoint.CHAT),
            ("/v1", Endpoint.CHAT),
            ("/v1/completions", Endpoint.COMPLETIONS),
            ("/v1/embeddings", Endpoint.EMBEDDINGS),
            ("/v1/responses", Endpoint.RESPONSES),
            ("/v1/audio/speech", Endpoint.SPEECH),
            ("/v1/audio/transcriptions", Endpoint.TRANSCRIPTIONS),
            ("/v1/", Endpoint.CHAT),
            ("/v1/chat/completions/", Endpoint.CHAT),
            ("/chat/completions/", Endpoint.CHAT),
            ("/completions", Endpoint.COMPLETIONS),
            ("/embeddings", Endpoint.EMBEDDINGS),
            ("/v1/embeddings/", Endpoint.EMBEDDINGS),
            ("/responses", Endpoint.RESPONSES),
            ("/audio/speech", Endpoint.SPEECH),
            ("/audio/transcriptions/", Endpoint.TRANSCRIPTIONS),
            ("/v1//chat/completions", Endpoint.CHAT),
            ("//chat/completions", Endpoint.CHAT),
        ):
            for _ in range(2):  # the second time the route is known
                answer = self.ask("POST", path, {"a": 1})
                self.assertEqual((answer.status, answer.json()), (200, {"a": 1}), path)
                self.assertEqual(self.proxy.served[-1][0].endpoint, endpoint)
        self.assertEqual(len(self.proxy.served), 38)

    def test_a_query_changes_nothing(self) -> None:
        self.proxy.act = echo
        self.assertEqual(self.ask("POST", "/v1/chat/completions?api-version=1", {}).status, 200)

    def test_what_the_proxy_is_told(self) -> None:
        self.proxy.act = echo
        self.ask(
            "POST", "/v1/chat/completions", {"a": 1}, Content_Type="application/json", X_Request_Id="id-7",
            HTTP_Referer="https://skyrim.example", X_Title="SkyrimNet", Accept="text/event-stream",
            Cookie="a=b", X_Forwarded_Host="elsewhere", Authorization="Bearer sk-client",
        )  # fmt: skip
        request = self.proxy.served[0][0]
        self.assertEqual((request.request_id, request.content_type), ("id-7", b"application/json"))
        self.assertEqual(
            list(request.headers),
            [
                (b"HTTP-Referer", b"https://skyrim.example"),
                (b"X-Title", b"SkyrimNet"),
                (b"Accept", b"text/event-stream"),
            ],
        )

    def test_request_ids(self) -> None:
        self.proxy.act = echo
        self.assertEqual(self.ask("POST", "/v1", {}, X_Request_Id="a.b:c/d-1").headers["x-request-id"], "a.b:c/d-1")
        for unsafe in ("a b", "<script>", "é", "x" * 129, "", "a;b"):
            answer = self.ask("POST", "/v1", {}, X_Request_Id=unsafe)
            self.assertRegex(answer.headers["x-request-id"], r"^t-[0-9a-f]+$")
            self.assertEqual(self.proxy.served[-1][0].request_id, answer.headers["x-request-id"])
        for method, path in (("GET", "/v1/models"), ("GET", "/nothing"), ("GET", "/v1"), ("OPTIONS", "/v1")):
            self.assertEqual(self.ask(method, path, X_Request_Id="me").headers["x-request-id"], "me")

    def test_made_ids_are_never_the_same(self) -> None:
        ids = {self.ask("GET", "/healthz").headers["x-request-id"] for _ in range(50)}
        self.assertEqual(len(ids), 50)

    def test_models(self) -> None:
        answer = self.ask("GET", "/v1/models")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
        self.assertEqual(answer.json()["object"], "list")
        self.assertEqual([model["id"] for model in answer.json()["data"]], ["default", "combat/fast"])
        for name in ("default", "combat/fast", "combat%2Ffast"):
            self.assertEqual(self.ask("GET", f"/v1/models/{name}").json()["object"], "model")
        for name in ("nobody", "default/more", "%ff", "%C3%A9"):
            answer = self.ask("GET", f"/v1/models/{name}")
            self.assertEqual((answer.status, answer.code), (404, "not_found"))

    def test_models_at_paths_that_clients_make(self) -> None:
        for path in ("/models", "/models/", "/v1/models/"):
            self.assertEqual(self.ask("GET", path).json()["object"], "list", path)
        for path in ("/models/combat/fast", "/v1/models/default/"):
            self.assertEqual(self.ask("GET", path).json()["object"], "model", path)
        self.assertEqual(self.ask("POST", "/models").status, 405)

    def test_health(self) -> None:
        self.assertEqual(self.ask("GET", "/healthz").json(), {"status": "ok", "timestamp": "2026-01-02T03:04:05.678Z"})

    def test_ready_until_it_leaves(self) -> None:
        self.assertEqual(self.ask("GET", "/readyz").json(), {"status": "ready"})
        self.proxy.leaving = True
        answer = self.ask("GET", "/readyz")
        self.assertEqual((answer.status, answer.code), (503, "shutting_down"))
        self.assertEqual(answer.headers["retry-after"], "1")
        self.assertEqual(self.ask("GET", "/healthz").status, 200)

    def test_head(self) -> None:
        for path, status in (("/healthz", 200), ("/v1/models", 200), ("/nothing", 404), ("/v1", 405)):
            with warnings.catch_warnings(record=True) as warned:
                answer = self.ask("HEAD", path)
            self.assertEqual((answer.status, answer.body), (status, b""), path)
            self.assertEqual(warned, [])

    def test_no_such_path(self) -> None:
        for path in ("/v2", "/v1/chat", "/v1//", "/%ff", "/v1/%80%81"):
            for method in ("GET", "POST"):
                answer = self.ask(method, path)
                self.assertEqual((answer.status, answer.code), (404, "not_found"), path)
                self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(self.proxy.served, [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_clients_that_ask_at_a_wrong_path_are_told_of(self) -> None:
        for path, status in (("/v1/v1/chat/completions", 404), ("/", 405)):
            answer = self.ask("POST", path, {"model": "default"})
            self.assertEqual(answer.status, status)
            self.assertIn("The API is at /v1/chat/completions", answer.json()["error"]["message"])
        self.ask("GET", "/favicon.ico")
        self.assertEqual(self.audit.refused, {"not_found": 1, "method_not_allowed": 1})

    def test_clients_that_open_a_websocket_are_told_that_there_are_none_and_told_of(self) -> None:
        for path, status in (("/v1/realtime?model=default", 404), ("/v1/responses", 405)):
            answer = self.ask("GET", path, Connection="Upgrade", Upgrade="WebSocket")
            self.assertEqual(answer.status, status)
            self.assertIn("WebSockets are not served here", answer.json()["error"]["message"])
        self.assertEqual(self.audit.refused, {"not_found": 1, "method_not_allowed": 1})

    def test_requests_that_nobody_reads_are_told_of(self) -> None:
        for headers, status, reason in (
            ({"Host": "mypc:35791"}, 403, "host_not_allowed"),
            ({"Origin": "https://evil.example"}, 403, "origin_not_allowed"),
            ({"Content_Encoding": "br"}, 415, "unsupported_encoding"),
            ({"Content_Encoding": "gzip"}, 400, "invalid_request"),
        ):
            answer = self.ask("POST", "/v1/chat/completions", {"model": "default"}, **headers)
            self.assertEqual((answer.status, self.audit.refused.get(reason)), (status, 1), reason)

    def test_pages_of_others_that_look_at_the_state_are_told_of(self) -> None:
        for number, path in enumerate(("/api/now", "/metrics", "/", "/v1/models"), 1):
            for headers, reason in (
                ({"Host": "evil.example"}, "host_not_allowed"),
                ({"Origin": "https://evil.example"}, "origin_not_allowed"),
            ):
                answer = self.ask("GET", path, **headers)
                self.assertEqual((answer.status, self.audit.refused.get(reason)), (403, number), (path, reason))

    def test_pictures_and_frames_of_others_pages_get_nothing(self) -> None:
        """Frames of a page, which reads nothing in them, took all the streams of events that there may be."""
        for path in ("/api/events", "/api/now", "/v1/models", "/metrics", "/"):
            for kind in ("iframe", "image", "empty"):
                answer = self.ask("GET", path, Sec_Fetch_Site="cross-site", Sec_Fetch_Dest=kind)
                self.assertEqual((answer.status, answer.code), (403, "origin_not_allowed"), path)
        for path, site, kind in (("/", "cross-site", "document"), ("/healthz", "cross-site", "image"),
                                 ("/", "none", "document"), ("/api/now", "same-origin", "empty")):  # fmt: skip
            self.assertEqual(self.ask("GET", path, Sec_Fetch_Site=site, Sec_Fetch_Dest=kind).status, 200, path)

    def test_an_answer_is_ended_once(self) -> None:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            for method, path in (("GET", "/nothing"), ("GET", "/v1"), ("OPTIONS", "/v1"), ("GET", "/healthz")):
                self.ask(method, path)
        self.assertEqual([str(each.message) for each in warned], [])

    def test_the_host_plays_no_part(self) -> None:
        for host in (b"a..b", b"a" * 70, b"xn--", b"", b"[::1]:80", b"127.0.0.1:1"):
            line = self.line().send(b"GET /healthz HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
            self.assertIn(b" 200 OK\r\n", line.received, host)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_wrong_method(self) -> None:
        for method, path, allowed in (
            ("GET", "/v1/chat/completions", "OPTIONS, POST"),
            ("PUT", "/v1", "OPTIONS, POST"),
            ("DELETE", "/v1/models", "GET, HEAD, OPTIONS"),
            ("POST", "/healthz", "GET, HEAD, OPTIONS"),
        ):
            for _ in range(2):
                answer = self.ask(method, path)
                self.assertEqual((answer.status, answer.code), (405, "method_not_allowed"))
                self.assertEqual(answer.headers["allow"], allowed)

    def test_names_of_pages_that_pretend_to_be_here(self) -> None:
        self.patch(ApiRequest, "getHost", lambda _: IPv4Address("TCP", "127.0.0.1", 35791))
        self.proxy.act = echo
        for method, path in ((b"GET", b"/v1/models"), (b"POST", b"/v1"), (b"GET", b"/metrics"), (b"GET", b"/nothing")):
            for host, refused in ((b"evil.example", True), (b"my.box:80", False), (b"a.localhost", False)):
                ask = b"%b %b HTTP/1.1\r\nHost: %b\r\nContent-Length: 2\r\n\r\n{}" % (method, path, host)
                line = self.line().send(ask)
                self.assertEqual(b"allowed_hosts" in line.received, refused, (path, host))
                self.assertEqual(b" 403 " in line.received, refused, (path, host))
        self.assertEqual(len(self.proxy.served), 2)

    def test_two_origins(self) -> None:
        ask = b"POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n%b\r\n{}"
        line = self.line().send(ask % (b"Origin: https://evil.example\r\nOrigin: https://chat.example\r\n"))
        self.assertIn(b" 403 ", line.received)
        self.assertEqual(self.proxy.served, [])

    def test_headers_of_the_connection_stay_here(self) -> None:
        self.proxy.act = echo
        self.ask("POST", "/v1", {}, X_Title="a", HTTP_Referer="b", Connection="keep-alive, X-Title")
        self.assertEqual([name for name, _ in self.proxy.served[0][0].headers if name != b"Accept"], [b"HTTP-Referer"])

    def test_options(self) -> None:
        answer = self.ask("OPTIONS", "/v1/chat/completions")
        self.assertEqual((answer.status, answer.body, answer.headers["allow"]), (204, b"", "OPTIONS, POST"))
        self.assertNotIn("content-length", answer.headers)
        self.assertNotIn("access-control-allow-origin", answer.headers)
        self.assertEqual(self.ask("OPTIONS", "/nothing").status, 404)

    # Browsers.

    def test_preflight(self) -> None:
        answer = self.ask(
            "OPTIONS", "/v1/chat/completions", Origin="https://chat.example",
            Access_Control_Request_Method="POST", Access_Control_Request_Headers="authorization,x-title",
        )  # fmt: skip
        self.assertEqual(answer.status, 204)
        self.assertEqual(answer.headers["access-control-allow-origin"], "https://chat.example")
        self.assertEqual(answer.headers["access-control-allow-headers"], "authorization,x-title")
        self.assertEqual(answer.headers["vary"], "Origin")

    def test_origins(self) -> None:
        self.proxy.act = echo
        for method, path in (("POST", "/v1"), ("GET", "/v1/models"), ("OPTIONS", "/v1"), ("GET", "/healthz")):
            allowed = self.ask(method, path, {}, Origin="https://chat.example")
            self.assertIn(allowed.status, (200, 204))
            self.assertEqual(allowed.headers["access-control-allow-origin"], "https://chat.example")
            count = len(self.proxy.served)
            refused = self.ask(method, path, {}, Origin="https://evil.example")
            self.assertEqual((refused.status, refused.code), (403, "origin_not_allowed"))
            self.assertNotIn("access-control-allow-origin", refused.headers)
            self.assertEqual(len(self.proxy.served), count)

    def test_a_page_can_read_why_it_was_refused(self) -> None:
        self.proxy.act = lambda request, client: refuse(client, BacklogFull("full", retry_after=1.2))
        answer = self.ask("POST", "/v1", {}, Origin="http://localhost:3000")
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "2"))
        self.assertEqual(answer.headers["access-control-allow-origin"], "http://localhost:3000")
        self.assertIn("Retry-After", answer.headers["access-control-expose-headers"])

    # Bodies.

    def test_bodies_are_made_plain(self) -> None:
        self.proxy.act = echo
        for encoding, body in (
            ("gzip", gzip.compress(b"{}")), ("x-gzip", gzip.compress(b"{}")), ("GZIP", gzip.compress(b"{}")),
            ("deflate", zlib.compress(b"{}")), ("identity", b"{}"), ("Deflate", BARE),
            ("gzip", gzip.compress(b"{") + gzip.compress(b"}")),
        ):  # fmt: skip
            answer = self.ask("POST", "/v1", body, Content_Encoding=encoding)
            self.assertEqual((answer.status, answer.body), (200, b"{}"), encoding)

    def test_bodies_that_cannot_be(self) -> None:
        squeezed = gzip.compress(b"{}")
        for encoding, body, status, code in (
            ("br", b"{}", 415, "unsupported_encoding"),
            ("gzip, gzip", squeezed, 415, "unsupported_encoding"),
            ("gzip", b"{}", 400, "invalid_request"),
            ("gzip", squeezed[:-3], 400, "invalid_request"),
            ("deflate", b"\x00", 400, "invalid_request"),
            ("gzip", BARE, 400, "invalid_request"),
        ):
            answer = self.ask("POST", "/v1", body, Content_Encoding=encoding)
            self.assertEqual((answer.status, answer.code), (status, code), encoding)
        self.assertEqual(self.proxy.served, [])

    def test_the_limit_of_a_body(self) -> None:
        self.proxy.act = echo
        self.assertEqual(self.ask("POST", "/v1", b"x" * 1000).status, 200)
        for body, headers in (
            (b"x" * 1001, {}),
            (gzip.compress(b"x" * 1001), {"Content_Encoding": "gzip"}),
            (gzip.compress(bytes(10_000_000)), {"Content_Encoding": "gzip"}),
        ):
            answer = self.ask("POST", "/v1", body, **headers)
            self.assertEqual((answer.status, answer.code), (413, "body_too_large"))
            self.assertIn("max_body", answer.json()["error"]["message"])
        self.assertEqual(len(self.proxy.served), 1)

    def test_a_large_body_stays_in_memory(self) -> None:
        self.proxy.act = echo
        line = self.line()
        line.send(self.post(b"x" * 99_999)[:-1])
        request: Any = self.proxy.served
        self.assertEqual(request, [])
        line.send(b"x")
        self.assertIn(b"413", line.received)

    # Faults.

    def test_a_fault_before_the_answer(self) -> None:
        def fail(request: Any, client: Any) -> None:
            raise ZeroDivisionError

        self.proxy.act = fail
        for _ in range(2):
            answer = self.ask("POST", "/v1", {}, X_Request_Id="at-fault")
            self.assertEqual((answer.status, answer.code), (500, "internal_error"))
            self.assertEqual(answer.headers["x-request-id"], "at-fault")
            self.assertNotIn("ZeroDivision", answer.body.decode())
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_fault_after_the_start_is_a_cut(self) -> None:
        def fail(request: Any, client: Any) -> None:
            client.start(200, [(b"Content-Type", b"text/event-stream")], Producer())
            client.write(b"data: 1\n\n")
            raise ZeroDivisionError

        self.proxy.act = fail
        for _ in range(2):
            line = self.line().send(self.post())
            self.assertIn(b"data: 1\n\n", line.body)
            self.assertFalse(line.body.endswith(b"0\r\n\r\n"))
            self.assertTrue(line.closing)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_fault_after_the_end_is_only_logged(self) -> None:
        def fail(request: Any, client: Any) -> None:
            client.answer(200, [JSON], b"{}")
            raise ZeroDivisionError

        self.proxy.act = fail
        for _ in range(2):
            answer = self.ask("POST", "/v1", {})
            self.assertEqual((answer.status, answer.body), (200, b"{}"))
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    # Streams and their ends.

    def test_a_stream(self) -> None:
        line = self.line().send(self.post())
        _, client = self.proxy.served[0]
        producer = Producer()
        client.start(200, [(b"Content-Type", b"text/event-stream")], producer)
        client.write(b"data: 1\n\n")
        self.assertIn(b"\r\n9\r\ndata: 1\n\n\r\n", line.received)
        self.assertIn(b"Transfer-Encoding: chunked", line.received)
        client.write(b"data: 2\n\n")
        client.finish()
        self.proxy.under_way[0].callback(None)
        self.assertTrue(line.received.endswith(b"0\r\n\r\n"))
        self.assertEqual(line.received.count(b"0\r\n\r\n"), 1)
        self.assertFalse(line.closing)
        self.assertEqual((client.bytes_out, client.status, client.streamed), (18, 200, True))

    def test_a_cut_is_never_ended(self) -> None:
        for known in (False, True):
            line = self.line().send(self.post())
            client = self.proxy.served[-1][1]
            client.start(200, [(b"Content-Type", b"text/event-stream")], Producer())
            client.write(b"data: 1\n\n")
            client.cut(b"data: no\n\n")
            self.proxy.under_way[-1].callback(None)
            self.assertIn(b"data: no\n\n", line.body, known)
            self.assertFalse(line.body.endswith(b"0\r\n\r\n"))
            self.assertTrue(line.closing)
            self.assertEqual(client.bytes_out, 9)

    def test_a_cut_for_http_1_0_is_a_reset(self) -> None:
        line = self.line().send(self.post(version=b"1.0"))
        client = self.proxy.served[0][1]
        client.start(200, [(b"Content-Type", b"text/event-stream")], Producer())
        client.write(b"data: 1\n\n")
        self.assertEqual(line.body, b"data: 1\n\n")
        client.cut(b"data: no\n\n")
        self.proxy.under_way[0].callback(None)
        self.assertTrue(line.aborted)

    def test_a_client_that_leaves(self) -> None:
        for _ in range(2):
            line = self.line().send(self.post())
            client = self.proxy.served[-1][1]
            cancelled = self.proxy.cancelled
            line.leave()
            self.assertEqual(self.proxy.cancelled, cancelled + 1)
            # Nobody minds what is said to it.
            client.answer(200, [JSON], b"{}")
            self.assertEqual(client.status, 200)

    def test_a_client_that_leaves_in_the_midst(self) -> None:
        line = self.line().send(self.post())
        client = self.proxy.served[0][1]
        producer = Producer()
        client.start(200, [(b"Content-Type", b"text/event-stream")], producer)
        client.write(b"data: 1\n\n")
        line.leave()
        self.assertEqual(self.proxy.cancelled, 1)
        for late in (lambda: client.write(b"x"), client.finish, lambda: client.cut(b"x")):
            late()
        self.assertNotIn(b"x", line.body.replace(b"text", b""))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_stream_begun_after_the_client_left(self) -> None:
        line = self.line().send(self.post())
        client = self.proxy.served[0][1]
        line.leave()
        client.start(200, [], Producer())
        client.write(b"x")
        client.finish()
        self.assertEqual(line.received, b"")

    def test_the_next_request_on_the_connection(self) -> None:
        self.proxy.act = echo
        line = self.line()
        for number in range(1, 4):
            line.send(self.post(b"{}"))
            self.assertEqual(line.received.count(b"200 OK"), number)

    def test_the_client_reads_and_its_producer_hears(self) -> None:
        line = self.line().send(self.post())
        client = self.proxy.served[0][1]
        producer = Producer()
        client.start(200, [], producer)
        client.write(b"x")
        line.transport.producer.pauseProducing()
        line.transport.producer.resumeProducing()
        self.assertEqual(producer.heard, ["pause", "resume"])


class StockWireAppTests(AppTests):
    """The same on Twisted's own channel."""

    wire = stock_wire


class Producer:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def pauseProducing(self) -> None:
        self.heard.append("pause")

    def resumeProducing(self) -> None:
        self.heard.append("resume")

    def stopProducing(self) -> None:
        self.heard.append("stop")
