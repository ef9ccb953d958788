from __future__ import annotations

import gzip
from typing import Any

from treq.testing import RequestTraversalAgent, StringStubbingResource
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IAgent, IBodyProducer
from zope.interface import implementer
from zope.interface.verify import verifyObject

from skyproxy.http.common.headers import OutgoingHeaders
from skyproxy.upstream.exchange.treq_client import NoCookies, PreparedUrl, ProviderClient, raw_of

FIXED = [(b"Host", b"provider.example"), (b"Accept-Encoding", b"identity"), (b"Authorization", b"Bearer key")]
BASE = "https://provider.example/api/v1"


class Pool:
    """In the place of the pool."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def statistics(self) -> Any:
        return "statistics"

    def retire(self) -> None:
        self.asked.append("retire")

    def closeCachedConnections(self) -> Deferred[None]:
        self.asked.append("close")
        return Deferred()


@implementer(IAgent)
class NotingAgent:
    """Notes what is asked of it; what it answers is the test's to say."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes, Any, Any]] = []
        self.answers: list[Deferred[Any]] = []
        self.cancelled = 0

    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Deferred[Any]:
        self.asked.append((method, uri, headers, bodyProducer))
        self.answers.append(Deferred(self._cancel))
        return self.answers[-1]

    def _cancel(self, _: Any) -> None:
        self.cancelled += 1


@implementer(IAgent)
class TraversingAgent:
    """An agent whose responses, from a resource in memory, have what those of skyproxy.http have."""

    def __init__(self, resource: Any) -> None:
        self._agent = RequestTraversalAgent(resource)
        self.asked: list[bytes] = []

    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Deferred[Any]:
        self.asked.append(uri)

        def raw(response: Any) -> Any:
            response.raw_headers = [(name, each) for name, all in response.headers.getAllRawHeaders() for each in all]
            return response

        answer = self._agent.request(method, uri, headers, bodyProducer).addCallback(raw)
        self._agent.flush()
        return answer


class Collecting(Protocol):
    """Keeps a body, and how it ended."""

    def __init__(self) -> None:
        self.data = b""
        self.reason: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008
        self.reason = reason


class OneRequest(SynchronousTestCase):
    """What reaches the agent."""

    def setUp(self) -> None:
        self.agent = NotingAgent()
        self.pool = Pool()
        self.client = ProviderClient(BASE, FIXED, self.agent, self.pool, Clock())  # type: ignore[arg-type]

    def test_a_post_to_the_path_below_the_base_url(self) -> None:
        self.client.post("/chat/completions", [(b"Content-Type", b"application/json")], b"{}")
        method, uri, headers, body = self.agent.asked[0]
        self.assertEqual((method, uri), (b"POST", BASE.encode() + b"/chat/completions"))
        self.assertEqual(headers.fields(), [*FIXED, (b"Content-Type", b"application/json")])
        self.assertEqual((body.data, body.length), (b"{}", 2))
        verifyObject(IBodyProducer, body)

    def test_treq_adds_nothing(self) -> None:
        self.client.post("/embeddings", [], b"{}")
        headers = self.agent.asked[0][2]
        self.assertIsInstance(headers, OutgoingHeaders)
        self.assertEqual(headers.lines(), b"".join(b"%b: %b\r\n" % field for field in FIXED))

    def test_the_url_is_prepared_once_for_each_path(self) -> None:
        for _ in range(3):
            self.client.post("/embeddings", [], b"{}")
        self.assertIs(self.client._urls["/embeddings"], self.client._urls["/embeddings"])
        self.assertEqual(list(self.client._urls), ["/embeddings"])
        self.assertEqual({uri for _, uri, _, _ in self.agent.asked}, {BASE.encode() + b"/embeddings"})

    def test_hosts_that_are_no_names_of_the_dns(self) -> None:
        for host in ("[::1]:8", "gaming_pc:1234", "10.0.0.7"):
            agent = NotingAgent()
            base_url = f"http://{host}/v1"
            client = ProviderClient(base_url, FIXED, agent, Pool(), Clock())  # type: ignore[arg-type]
            self.assertNoResult(client.post("/embeddings", [], b"{}"))
            self.assertEqual(agent.asked[0][1], f"http://{host}/v1/embeddings".encode())

    def test_failures_come_as_the_agent_gives_them(self) -> None:
        done = self.client.post("/embeddings", [], b"{}")
        self.agent.answers[0].errback(ZeroDivisionError())
        self.failureResultOf(done, ZeroDivisionError)

    def test_cancelling_reaches_the_agent(self) -> None:
        done = self.client.post("/embeddings", [], b"{}")
        done.cancel()
        self.assertEqual(self.agent.cancelled, 1)
        self.failureResultOf(done, CancelledError)

    def test_the_pools_part(self) -> None:
        self.assertEqual(self.client.connections(), "statistics")
        self.client.retire()
        self.assertNoResult(self.client.close())
        self.assertEqual(self.pool.asked, ["retire", "close"])


class Answers(SynchronousTestCase):
    """What comes back through treq from an agent in memory."""

    def setUp(self) -> None:
        self.seen: list[dict[bytes, list[bytes]]] = []
        self.bodies: list[bytes] = []
        self.reply: tuple[int, dict[bytes, bytes], bytes] = (200, {}, b"")

        def respond(method: bytes, url: str, params: Any, headers: Any, data: bytes) -> Any:
            self.seen.append({name.lower(): values for name, values in headers.items()})
            self.bodies.append(data)
            return self.reply

        self.agent = TraversingAgent(StringStubbingResource(respond))
        self.client = ProviderClient(BASE, FIXED, self.agent, Pool(), Clock())  # type: ignore[arg-type]

    def post(self) -> Any:
        return raw_of(self.successResultOf(self.client.post("/chat/completions", [], b'{"a": 1}')))

    def test_the_request_as_it_arrives(self) -> None:
        response = self.post()
        self.assertEqual(response.code, 200)
        self.assertEqual(self.bodies, [b'{"a": 1}'])
        self.assertEqual(self.seen[0][b"accept-encoding"], [b"identity"])
        self.assertEqual(self.seen[0][b"authorization"], [b"Bearer key"])

    def test_cookies_are_not_kept(self) -> None:
        self.reply = (200, {b"Set-Cookie": b"session=1; Path=/"}, b"")
        for _ in range(3):
            self.assertIn((b"Set-Cookie", b"session=1; Path=/"), self.post().raw_headers)
        for headers in self.seen:
            self.assertNotIn(b"cookie", headers)

    def test_redirects_are_not_followed(self) -> None:
        for status in (301, 302, 303, 307, 308):
            self.reply = (status, {b"Location": b"https://elsewhere.example/"}, b"")
            self.assertEqual(self.post().code, status)
        self.assertEqual(self.agent.asked, [BASE.encode() + b"/chat/completions"] * 5)

    def test_nothing_is_decoded(self) -> None:
        squeezed = gzip.compress(b"plain")
        self.reply = (200, {b"Content-Encoding": b"gzip"}, squeezed)
        response = self.post()
        self.assertIn((b"Content-Encoding", b"gzip"), response.raw_headers)
        body = Collecting()
        response.deliverBody(body)
        self.assertEqual(body.data, squeezed)
        self.assertIsNotNone(body.reason)


class Parts(SynchronousTestCase):
    """The URL and the jar."""

    def test_a_prepared_url_says_what_it_was_made_of(self) -> None:
        for text in (
            BASE + "/chat/completions", "http://127.0.0.1:1234/v1", "http://[::1]:8/a%20b", "http://gaming_pc:80/v1",
            "https://x.example./v1//a;b=c",
        ):  # fmt: skip
            url = PreparedUrl.of(text)
            self.assertEqual(url.to_text(), text)
            self.assertIs(url.to_uri(), url)

    def test_the_jar_stays_empty(self) -> None:
        jar = NoCookies()
        jar.add_cookie_header(None)
        jar.extract_cookies(None, None)
        self.assertEqual(list(jar), [])
