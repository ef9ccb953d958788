"""The header lists of HTTP/2, as they are received."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.h2.headers import response_head


class ResponseHeadTests(SynchronousTestCase):
    def test_what_http_1_1_does_not_allow_goes_no_further(self) -> None:
        """A client that gets it over HTTP/1.1 takes nothing of the whole answer."""
        for value in (b"a\x1b[31m", b"\x01", b"a\x7f"):
            received = [(b":status", b"200"), (b"retry-after", value), (b"cf-ray", b"a\tb\xff")]
            self.assertEqual(list(response_head(received, b"POST").fields), [(b"cf-ray", b"a\tb\xff")])
