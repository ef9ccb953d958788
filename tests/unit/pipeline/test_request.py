"""Requests that need not name a model."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import InvalidRequest
from skyproxy.pipeline.request import Endpoint, Request, parse
from skyproxy.pipeline.router import Router
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
