from __future__ import annotations

from typing import Any

from h2.errors import ErrorCodes
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import CancelledError
from twisted.internet.error import (
    ConnectBindError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
)
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web._newclient import (
    ParseError,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)

from skyproxy.errors import OutOfSockets, ProxyRefused, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from skyproxy.http.client.tunnel import ProxyTrouble
from skyproxy.http.common.errors import RequestNotSent
from skyproxy.http.h1.response_reader import BadResponse
from skyproxy.http.h2.errors import MalformedMessage, PeerMisbehaved, StreamReset
from skyproxy.upstream.exchange.failures import causes, map_failure


def wrapped(kind: Any, *errors: Exception) -> Exception:
    error: Exception = kind([Failure(each) for each in errors])
    return error


class MapFailureTests(SynchronousTestCase):
    """map_failure()."""

    def assertMapped(self, error: Exception, expected: type[Exception]) -> Any:
        mapped = map_failure(error, "guard", 7.5)
        self.assertIs(type(mapped), expected)
        return mapped

    def test_no_connection(self) -> None:
        for error in (ConnectionRefusedError(), NoRouteError(), DNSLookupError(), SSL.Error([])):
            self.assertIn("'guard'", self.assertMapped(error, UpstreamUnreachable).message)
        self.assertIn("'guard'", self.assertMapped(VerificationError(errors=[]), UpstreamUnreachable).message)

    def test_an_authority_that_is_not_known(self) -> None:
        unknown = SSL.Error([("SSL routines", "", "certificate verify failed")])
        message = self.assertMapped(unknown, UpstreamUnreachable).message
        for part in ("'guard'", "certificate verify failed", "antivirus", "system's store", "ca_file"):
            self.assertIn(part, message)
        other = SSL.Error([("SSL routines", "", "wrong version number")])
        self.assertNotIn("antivirus", self.assertMapped(other, UpstreamUnreachable).message)

    def test_a_proxy_is_not_the_provider(self) -> None:
        for trouble, told in (
            (ProxyTrouble("proxy:3128", "it answered 407 No", 407), "USER:PASSWORD"),
            (ProxyTrouble("proxy:3128", "it closed the connection"), "proxy_url: off"),
        ):
            mapped = self.assertMapped(trouble, ProxyRefused)
            for part in ("proxy:3128", "'guard'", trouble.reason, told):
                self.assertIn(part, mapped.message)

    def test_no_socket_is_not_the_providers_fault(self) -> None:
        mapped = self.assertMapped(ConnectBindError(24, "Too many open files"), OutOfSockets)
        self.assertIn("ulimit", mapped.message)
        self.assertNotIn("guard", mapped.message)

    def test_connect_timeout(self) -> None:
        for error in (ConnectTimeout(), TCPTimedOutError()):
            mapped = self.assertMapped(error, UpstreamTimeout)
            self.assertEqual(mapped.timer, "connect_timeout")
            self.assertIn("7.5 s", mapped.message)

    def test_a_connection_that_broke(self) -> None:
        for error in (
            wrapped(ResponseNeverReceived, ConnectionLost()),
            wrapped(ResponseNeverReceived, ConnectionDone()),
            wrapped(ResponseFailed, ConnectionLost()),
            wrapped(ResponseFailed, ParseError("junk", b"?")),
            wrapped(RequestTransmissionFailed, ConnectionLost()),
            wrapped(ResponseFailed, wrapped(ResponseNeverReceived, ConnectionLost())),
            RequestNotSent(),
        ):
            self.assertMapped(error, UpstreamBroken)

    def test_what_is_no_http(self) -> None:
        for error, rule in (
            (BadResponse("Expected HTTP/."), "Expected HTTP/."),
            (MalformedMessage("The response has no valid status."), "The response has no valid status."),
            (PeerMisbehaved("Bearer sk-secret", ErrorCodes.PROTOCOL_ERROR), "http2: off"),
        ):
            message = self.assertMapped(wrapped(ResponseFailed, error), UpstreamBroken).message
            for part in ("'guard'", rule, "base_url"):
                self.assertIn(part, message)
            self.assertNotIn("sk-secret", message)

    def test_plain_http_where_tls_was_expected(self) -> None:
        error = SSL.Error([("SSL routines", "", "wrong version number")])
        self.assertIn("base_url begins with http.", self.assertMapped(error, UpstreamUnreachable).message)

    def test_what_a_provider_says_over_tls_as_it_leaves(self) -> None:
        """One that wants a certificate of its clients says so after the handshake."""
        for reason, told in (("tlsv13 alert certificate required", True), ("unexpected eof while reading", False)):
            error = wrapped(ResponseNeverReceived, SSL.Error([("SSL routines", "", reason)]))
            self.assertEqual(reason in self.assertMapped(error, UpstreamBroken).message, told)

    def test_a_provider_that_wants_http11(self) -> None:
        for code, told in ((ErrorCodes.HTTP_1_1_REQUIRED, True), (ErrorCodes.INTERNAL_ERROR, False)):
            mapped = self.assertMapped(wrapped(ResponseFailed, StreamReset(code)), UpstreamBroken)
            self.assertEqual("http2: off" in mapped.message, told)

    def test_cancelled_stays_cancelled(self) -> None:
        error = CancelledError()
        self.assertIs(map_failure(error, "guard", 1.0), error)
        self.assertMapped(wrapped(ResponseNeverReceived, CancelledError()), CancelledError)
        self.assertMapped(wrapped(ResponseFailed, ConnectionLost(), CancelledError()), CancelledError)

    def test_what_is_not_known_is_raised(self) -> None:
        error = ZeroDivisionError()
        with self.assertRaises(ZeroDivisionError) as caught:
            map_failure(error, "guard", 1.0)
        self.assertIs(caught.exception, error)

    def test_no_key_and_no_body_in_a_message(self) -> None:
        error = wrapped(ResponseFailed, ParseError("junk", b"Authorization: Bearer sk-secret"))
        self.assertNotIn("sk-secret", self.assertMapped(error, UpstreamBroken).message)

    def test_causes_outermost_first(self) -> None:
        inner, middle = ConnectionLost(), ZeroDivisionError()
        outer = wrapped(ResponseFailed, wrapped(ResponseNeverReceived, inner), middle)
        found = list(causes(outer))
        self.assertIs(found[0], outer)
        self.assertEqual(found[2:], [inner, middle])
