"""Requests that need not name a model."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import InvalidRequest
from skyproxy.pipeline.request import Endpoint, Request, parse
from skyproxy.pipeline.router import Router
from skyproxy.upstream.exchange.timeouts import Timeouts
from skyproxy.upstream.exchange.upstream_request import UpstreamRequest
from tests.unit.configs import config_of

TEXT = """
proxy: {fallback_to_default: %s}
providers:
  guard: {base_url: "http://127.0.0.1:9/v1"}
model_slots:
  %s: {provider: guard, model: guard-large}
"""


def request(endpoint: Endpoint, body: bytes) -> Request:
    return Request(endpoint, "id", b"application/json", b"", (), body)


class NoModelTests(SynchronousTestCase):
    def test_the_responses_api_may_be_asked_without_one(self) -> None:
        router = Router(config_of(TEXT % ("true", "default")))
        for body in (b'{"input":"hi"}', b'{"input":"hi","model":null}'):
            parsed = parse(request(Endpoint.RESPONSES, body), router.default_model)
            sent = parsed.body_for(router.candidates(parsed.model)[0])
            self.assertEqual((parsed.model, sent.fields), ("default", {"input": "hi", "model": "guard-large"}))

    def test_where_nothing_serves_it_it_is_told_what_to_do(self) -> None:
        for text in (TEXT % ("false", "default"), TEXT % ("true", "combat")):
            with self.assertRaises(InvalidRequest) as caught:
                parse(request(Endpoint.RESPONSES, b'{"input":"hi"}'), Router(config_of(text)).default_model)
            self.assertEqual((caught.exception.status, caught.exception.param), (400, "model"))
            self.assertIn("fallback_to_default", caught.exception.message)

    def test_elsewhere_it_is_required(self) -> None:
        for endpoint in (Endpoint.CHAT, Endpoint.COMPLETIONS, Endpoint.EMBEDDINGS):
            with self.assertRaises(InvalidRequest):
                parse(request(endpoint, b'{"messages":[]}'), "default")


class NamesTests(SynchronousTestCase):
    def test_names_that_differ_in_the_case_of_letters(self) -> None:
        """Servers in Go would take the last of them for the model that is asked for, or for how long it may answer."""
        for name in ("Model", "MODEL", "N", "Max_Tokens", "max_to\u212aens", "me\u017fsages", "Stream"):
            body = {"model": "default", "messages": [], name: "other"}
            with self.assertRaises(InvalidRequest, msg=name) as caught:
                parse(request(Endpoint.CHAT, json.dumps(body).encode()))
            self.assertIn(f"write `{name.casefold()}`", caught.exception.message)
        body = {"model": "default", "messages": [], "Temperature": 1, "modell": 2, "tools": [{"Model": 1}]}
        self.assertEqual(parse(request(Endpoint.CHAT, json.dumps(body).encode())).model, "default")


class SpliceTests(SynchronousTestCase):
    """What is not changed for the provider goes up byte for byte."""

    NUMBERS = b'"a": -0, "b" :1e-400,"c":[0.1000000000000000055511151231257827, 12345678901234567890123]'

    def sent(self, data: bytes, settings: str = "", endpoint: Endpoint = Endpoint.CHAT) -> bytes:
        text = (TEXT % ("true", "default")).replace("guard-large}", f"guard-large{settings}}}")
        router = Router(config_of(text))
        parsed = parse(request(endpoint, data), router.default_model)
        return parsed.body_for(router.candidates(parsed.model)[0]).data

    def test_only_the_model_changes(self) -> None:
        for data in (
            b'{ "model" : "default", "messages":[] , %b }' % self.NUMBERS,
            b'{"messages":[{"role":"user","content":"\\u00e9 \\"model\\": 1"}], %b,"model":"default"}' % self.NUMBERS,
            b'{"tools":[{"model":"default!"}],"messages":[],%b,"model":"default"}\n' % self.NUMBERS,
        ):
            self.assertEqual(self.sent(data), data.replace(b'"default"', b'"guard-large"'))

    def test_nothing_changes(self) -> None:
        data = b'{"model": "guard-large", "messages": [], %b}' % self.NUMBERS
        self.assertEqual(self.sent(data.replace(b'"guard-large"', b'"guard:guard-large"')), data)

    def test_what_is_added_or_taken_away(self) -> None:
        data = b'{"model":"default","messages":[],"reasoning":{"effort":"high"},%b}' % self.NUMBERS
        params = ", params: {temperature: 0.5}, enable_reasoning: false"
        sent = self.sent(data, params)
        beginning = b'{"model":"guard-large","messages":[],"reasoning":{"effort":"none"},%b,' % self.NUMBERS
        self.assertTrue(sent.startswith(beginning), sent)
        added = json.loads(b"{" + sent[len(beginning) :])
        self.assertEqual(added, {"temperature": 0.5, "chat_template_kwargs": {"enable_thinking": False}})

    def test_a_byte_order_mark(self) -> None:
        data = b'{"model":"default","messages":[],%b}' % self.NUMBERS
        self.assertEqual(self.sent(b"\xef\xbb\xbf" + data), data.replace(b'"default"', b'"guard-large"'))

    def test_without_a_model(self) -> None:
        data = b'{"input":"hi",%b}' % self.NUMBERS
        self.assertEqual(self.sent(data, endpoint=Endpoint.RESPONSES), data[:-1] + b',"model":"guard-large"}')

    def test_fields_that_a_model_does_not_take_are_left_out(self) -> None:
        data = b'{"model":"m",%b,"reasoning":{},"thinking":1}' % self.NUMBERS
        value = json.loads(data)
        sent = UpstreamRequest("/", (), data, Timeouts(1, 1, 1, 1, 1), fields=value, added=frozenset(value))
        self.assertEqual(sent.without({"reasoning", "thinking"}).body, b'{"model":"m",%b}' % self.NUMBERS)
