from __future__ import annotations

import json
from io import StringIO

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from skyproxy.http import ServerLimits, Wire
from skyproxy.http.server.bounds import Admission, Bounds
from skyproxy.web.request import ApiRequest
from skyproxy.web.site import render_refusal, set_limits
from tests.unit.web.support import WebCase


class SiteTests(WebCase):
    def test_refusals_have_openais_shape(self) -> None:
        wrong = "invalid_request_error"
        for status, code, type_ in (
            (400, "invalid_request", wrong),
            (413, "body_too_large", wrong),
            (431, "invalid_request", wrong),
            (503, "too_many_bodies", "server_error"),
        ):
            kind, body = render_refusal(status, "why")
            self.assertEqual(kind, b"application/json")
            error = json.loads(body)["error"]
            self.assertEqual((error["message"], error["code"], error["type"]), ("why", code, type_))

    def test_what_http_forbids_is_answered_in_that_shape(self) -> None:
        for request, status in (
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"NONSENSE\r\n\r\n", 400),
            (b"POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n", 413),
        ):
            line = self.line().send(request)
            self.assertIn(b"HTTP/1.1 %d " % status, line.received)
            self.assertIn("message", json.loads(line.body)["error"])
        self.assertEqual(self.proxy.served, [])

    def test_who_is_not_let_in_gets_what_any_wrapper_can_work_with(self) -> None:
        self.site.admission = Admission(self.clock.seconds, dict)
        self.site.admission.bound(Bounds(most=0))
        transport = StringTransport()
        protocol = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 50_000))
        protocol.makeConnection(transport)
        self.assertTrue(transport.disconnecting)
        protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(transport.value(), b"")

    def test_requests_are_skyproxys_own(self) -> None:
        self.assertIs(self.site.requestFactory, ApiRequest)

    def test_there_is_no_access_log(self) -> None:
        self.site.startFactory()
        self.addCleanup(self.site.stopFactory)
        written = StringIO()
        self.site.logFile = written
        self.ask("GET", "/healthz")
        self.assertEqual(written.getvalue(), "")

    def test_new_limits_are_for_the_connections_to_come(self) -> None:
        before = self.line()
        set_limits(self.site, Wire(), ServerLimits(body_bytes=10), self.connections)
        after = self.line()
        for line in (before, after):
            line.send(self.post(b"x" * 500))
        self.assertEqual(len(self.proxy.served), 1)
        self.assertIn(b" 413 ", after.received)
        self.assertEqual(before.received, b"")
