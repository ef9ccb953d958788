"""What the clients that ask at a rate make of an answer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.benchmarks.openloop import Reply

REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nfull"


class ReplyTests(SynchronousTestCase):
    def test_however_it_is_cut(self) -> None:
        for size in range(1, len(REFUSAL) + 1):
            reply = Reply()
            ends = [reply.feed(REFUSAL[start : start + size]) for start in range(0, len(REFUSAL), size)]
            self.assertEqual((ends.pop(), reply.status, reply.advised), (True, 503, True), size)
            self.assertNotIn(True, ends)

    def test_without_advice_and_without_a_body(self) -> None:
        reply = Reply()
        self.assertTrue(reply.feed(b"HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n"))
        self.assertEqual((reply.status, reply.advised), (204, False))
