from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.stored_answer import StoredAnswer
from tests.unit.cache.clients import EVENTS, JSON, SlowClient

HIT = (b"X-Skyproxy-Cache", b"hit")


class WholeTests(SynchronousTestCase):
    def test_is_answered_whole(self) -> None:
        client = SlowClient()
        answer = StoredAnswer(200, (JSON,), b'{"a":1}', stream=False)
        self.successResultOf(answer.replay(client, [HIT]))
        self.assertEqual((client.did, client.status, client.body), (["answer"], 200, b'{"a":1}'))
        self.assertEqual(client.headers, {b"content-type": JSON[1], b"x-skyproxy-cache": b"hit"})

    def test_size(self) -> None:
        self.assertEqual(StoredAnswer(200, ((b"ab", b"cd"), (b"e", b"")), b"123", stream=False).size, 8)


class StreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.body = b"".join(b"%07d\n" % number for number in range(50_000))
        self.answer = StoredAnswer(200, (EVENTS,), self.body, stream=True)

    def test_is_streamed_in_pieces(self) -> None:
        client = SlowClient()
        self.successResultOf(self.answer.replay(client, [HIT]))
        self.assertEqual(client.did, ["start", "finish"])
        self.assertEqual(client.headers, {b"content-type": EVENTS[1], b"x-skyproxy-cache": b"hit"})
        self.assertEqual(client.body, self.body)
        self.assertLessEqual(max(map(len, client.pieces)), 64 * 1024)

    def test_at_the_clients_pace(self) -> None:
        client = SlowClient(room=100_000)
        done = self.answer.replay(client)
        self.assertEqual(len(client.body), 2 * 64 * 1024)
        self.assertNoResult(done)
        client.read(room=1)
        self.assertEqual(len(client.body), 3 * 64 * 1024)
        self.assertNoResult(done)
        client.read()
        self.successResultOf(done)
        self.assertEqual(client.body, self.body)
        self.assertEqual(client.did, ["start", "finish"])

    def test_a_client_that_is_full_from_the_start(self) -> None:
        client = SlowClient(room=0)
        done = self.answer.replay(client)
        self.assertEqual((client.did, client.body), (["start"], b""))
        client.read()
        self.successResultOf(done)
        self.assertEqual(client.body, self.body)

    def test_a_client_that_leaves(self) -> None:
        client = SlowClient(room=1)
        done = self.answer.replay(client)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        client.read()
        self.assertEqual(len(client.body), 64 * 1024)
        self.assertEqual(client.did, ["start"])

    def test_a_client_with_a_fault(self) -> None:
        client = SlowClient()
        client.fault = RuntimeError("no")
        self.failureResultOf(self.answer.replay(client), RuntimeError)
        self.assertEqual(client.did, ["start"])

    def test_all_of_an_empty_one(self) -> None:
        client = SlowClient(room=0)
        self.successResultOf(StoredAnswer(200, (EVENTS,), b"", stream=True).replay(client))
        self.assertEqual(client.did, ["start", "finish"])
