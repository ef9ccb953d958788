"""How many requests at once a local server gets, where nobody has said so."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import ProviderConfig
from skyproxy.http.common.headers import Fields
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.local_capacity import Capacity, ServerReply, answers_few, asks, slots_of, usual_limit
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.exchange.upstream_request import UpstreamRequest
from skyproxy.upstream.guards.admission_control import Guards
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.upstream.guards.deployments import Deployments
from skyproxy.util.timers import Timers
from tests.unit.configs import config_of
from tests.unit.fakes import TIMEOUTS, Response, Upstream, attempt_of, given_up, pending_calls

NOTHING = ServerReply(404, None, "")
REQUEST = UpstreamRequest("/chat/completions", (), b"{}", TIMEOUTS)


def config(more: str = "", port: int = 8000, top: str = "", **environ: str) -> ProviderConfig:
    text = f"{top}\nproviders: {{p: {{base_url: 'http://127.0.0.1:{port}/v1'{more}}}}}"
    return config_of(text, **environ).providers["p"]


def models(owner: str, server: str = "") -> ServerReply:
    return ServerReply(200, {"data": [{"id": "m", "owned_by": owner}]}, server)


class KnownTests(SynchronousTestCase):
    """Without asking."""

    def test_who_has_said_it(self) -> None:
        for more, top, environ, limit in (
            (", max_concurrent: 7", "defaults: {max_concurrent: 9}", {"SKYPROXY_DEFAULT_MAX_CONCURRENT": "11"}, 7),
            ("", "defaults: {max_concurrent: 9}", {"SKYPROXY_DEFAULT_MAX_CONCURRENT": "11"}, 9),
            ("", "", {"SKYPROXY_DEFAULT_MAX_CONCURRENT": "11"}, 11),
            ("", "", {}, None),
            (", dialect: openai", "", {}, None),
        ):
            told = config(more, 11434, top, **environ)
            self.assertEqual(asks(told), limit is None and "openai" not in more)
            expected = limit or (25 if "openai" in more else 4)
            self.assertEqual(usual_limit(told), expected, (more, top, environ))

    def test_ports(self) -> None:
        limits = {port: usual_limit(config("", port)) for port in (11434, 8080, 1234, 5001, 8000, 30000, 1001)}
        self.assertEqual(limits, {11434: 4, 8080: 4, 1234: 4, 5001: 4, 8000: 25, 30000: 25, 1001: 25})
        elsewhere = config_of("providers: {p: {base_url: 'https://llm.example:8080/v1'}}").providers["p"]
        self.assertEqual((usual_limit(elsewhere), asks(elsewhere)), (25, False))

    def test_slots(self) -> None:
        for value, slots in (
            ({"total_slots": 1}, 1), ({"total_slots": 16, "model_path": "x"}, 16), ({"total_slots": 0}, None),
            ({"total_slots": True}, None), ({"total_slots": "4"}, None), ({"total_slots": 10**9}, None),
            ({"role": "router"}, None), ([1], None), (None, None),
        ):  # fmt: skip
            self.assertEqual(slots_of(ServerReply(200, value, "")), slots)

    def test_names(self) -> None:
        for port, props, told, few in (
            (8000, NOTHING, models("library"), True),
            (8000, NOTHING, models("llamacpp"), True),
            (8000, NOTHING, models("organization_owner"), True),
            (8000, NOTHING, models("koboldcpp"), True),
            (8000, ServerReply(401, None, "llama.cpp"), NOTHING, True),
            (8000, NOTHING, models("someone", "llama.cpp"), True),
            (8000, NOTHING, models("someone", "uvicorn"), False),
            (8000, NOTHING, NOTHING, False),
            (8000, NOTHING, models("vllm"), False),
            (11434, NOTHING, models("vllm"), False),
            (8080, NOTHING, models("sglang"), False),
            (8080, NOTHING, models("tgi-model"), False),
            (8080, ServerReply(401, None, ""), ServerReply(401, None, ""), True),
            (11434, NOTHING, models("someones-name"), True),
            (1234, NOTHING, ServerReply(200, ["odd"], ""), True),
            (8000, NOTHING, ServerReply(200, {"data": [1, {"owned_by": 2}]}, ""), False),
        ):
            self.assertEqual(answers_few(port, props, told), few, (port, props, told))


class Server(Upstream):
    """Also asked what it is.

    :ivar got: the URL of each such question.
    :ivar questions: their Deferreds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.got: list[str] = []
        self.sent_headers: list[Fields] = []
        self.questions: list[Deferred[Any]] = []

    def get(self, url: str, headers: Fields) -> Deferred[Any]:
        self.got.append(url)
        self.sent_headers.append(headers)
        self.questions.append(Deferred())
        return self.questions[-1]

    def tell(self, value: Any, status: int = 200, **headers: str) -> None:
        fields = [(name.encode(), text.encode()) for name, text in headers.items()]
        self.questions[-1].callback(Response(status, fields, json.dumps(value).encode()))


class CapacityTests(SynchronousTestCase):
    """Asking."""

    def setUp(self) -> None:
        self.build(config())

    def build(self, told: ProviderConfig, most: int | None = 50) -> None:
        self.clock = Clock()
        self.server = Server()
        client: Any = self.server
        timers = Timers(self.clock)
        limiter = Limiter(timers, max_concurrent=usual_limit(told), max_pending=100)
        self.capacity = Capacity(told, client, timers, limiter, most)
        guards = Guards(limiter, Deployments(timers, None, told.name))
        self.provider = Provider(told, timers, guards, client, self.clock.seconds, None, self.capacity)

    def send(self) -> Deferred[Answer]:
        return given_up(self, Deferred.fromCoroutine(self.provider.send(REQUEST, attempt_of(self.clock))))

    @property
    def limit(self) -> int:
        return self.provider.limits().max_concurrent

    def test_the_slots_of_llama_cpp(self) -> None:
        self.send()
        self.assertEqual((len(self.server.posted), self.server.got), (1, ["http://127.0.0.1:8000/props"]))
        self.server.tell({"total_slots": 2})
        self.assertEqual((self.limit, len(self.server.got)), (2, 1))
        for _ in range(3):
            self.send()
        self.assertEqual((len(self.server.posted), len(self.server.got)), (2, 2))

    def test_more_than_few(self) -> None:
        self.build(config("", 8080))
        sent = [self.send() for _ in range(6)]
        self.assertEqual(len(self.server.posted), 4)
        self.server.tell({"total_slots": 6})
        self.assertEqual((self.limit, len(self.server.posted), len(sent)), (6, 6, 6))

    def test_no_more_than_connections(self) -> None:
        self.build(config(", max_connections: 8"), 8)
        self.send()
        self.server.tell({"total_slots": 64})
        self.assertEqual(self.limit, 8)

    def test_others_by_their_names(self) -> None:
        for owner, limit in (("library", 4), ("vllm", 25), ("someone", 25)):
            self.build(config())
            self.send()
            self.server.tell({"error": "not found"}, 404)
            self.assertEqual(self.server.got[1], "http://127.0.0.1:8000/v1/models")
            self.server.tell({"data": [{"id": "m", "owned_by": owner}]})
            self.assertEqual(self.limit, limit)

    def test_vllm_at_the_port_of_llama_cpp(self) -> None:
        self.build(config("", 8080))
        self.assertEqual(self.limit, 4)
        self.send()
        self.server.tell({}, 404)
        self.server.tell({"data": [{"id": "m", "owned_by": "vllm"}]})
        self.assertEqual(self.limit, 25)

    def test_with_its_key(self) -> None:
        self.build(config(", api_key_env: KEY", KEY="sk-local"))
        self.send()
        self.assertEqual(self.server.sent_headers, [[(b"Authorization", b"Bearer sk-local")]])

    def test_again_after_a_reconnect(self) -> None:
        self.server.busy = 1
        self.send()
        self.server.tell({"total_slots": 2})
        self.send()
        self.assertEqual(len(self.server.got), 1)
        self.server.busy = 0
        self.provider.guards.limiter.resize(5)
        self.send()
        self.assertEqual(len(self.server.got), 2)
        self.send()
        self.assertEqual(len(self.server.got), 2)
        self.server.tell({"total_slots": 3})
        self.assertEqual(self.limit, 3)

    def test_who_does_not_tell_is_asked_again_after_a_while(self) -> None:
        self.server.busy = 1
        self.send()
        self.server.questions[-1].errback(Failure(ConnectionRefusedError()))
        self.assertEqual(self.limit, 25)
        self.send()
        self.assertEqual(len(self.server.got), 1)
        self.clock.advance(5)
        self.send()
        self.assertEqual(len(self.server.got), 2)
        self.clock.advance(5)
        self.flushLoggedErrors()
        self.assertEqual(self.limit, 25)

    def test_answers_without_sense(self) -> None:
        for data in (b"", b"<html>", b"[" * 100_000, b"null"):
            self.build(config())
            self.send()
            for _ in range(2):
                self.server.questions[-1].callback(Response(200, [], data))
            self.assertEqual((self.limit, len(self.server.got)), (25, 2))

    def test_answers_in_parts(self) -> None:
        self.send()
        response = Response()
        self.server.questions[-1].callback(response)
        response.send(b'{"total_', b'slots": 3}').end()
        self.assertEqual(self.limit, 3)

    def test_answers_without_an_end(self) -> None:
        self.send()
        response = Response()
        self.server.questions[-1].callback(response)
        response.send(*[b" " * 500_000] * 4)
        self.assertTrue(response.transport.aborted)
        self.assertEqual(self.limit, 25)

    def test_nothing_is_asked_of_who_is_no_more(self) -> None:
        self.send()
        self.provider.retire()
        self.provider.close()
        self.assertFalse(self.capacity.due())
        self.assertEqual(len(self.server.got), 1)

    def test_nothing_is_left_running(self) -> None:
        sent = self.send()
        self.server.tell({"total_slots": 2})
        self.server.answer(whole=b"{}")
        self.successResultOf(sent).close(None)
        self.assertEqual(pending_calls(self.clock), [])
