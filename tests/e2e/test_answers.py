"""What providers answer in odd shapes: known for what it is, and brought down as it came."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy
from tests.e2e.raw import Answer, ask, call, chat

WORD = 'data: {"choices":[{"index":0,"delta":{"content":"Halt"},"finish_reason":null}]}\n\n'
STOP = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = "data: [DONE]\n\n"

SOON = 25.0
"""Seconds that no answer takes of which all has come. The idle timeout is 30."""


def given(body: str, *faults: str) -> str:
    """The demo's model that answers with *body*."""
    return ";".join(["guard", f"body={quote(body, safe=' ')}", *faults])


def event(**fields: Any) -> str:
    return f"data: {json.dumps(fields, separators=(',', ':'))}\n\n"


@pytest.fixture(scope="module")
def careful(start_for_module: Starter, demo: DemoProvider) -> Proxy:
    """skyproxy with a slot for each answer of ``BAD``, all of which fall back to a good one."""
    config = config_for(demo)
    config["providers"]["second"] = {**config["providers"]["demo"]}
    for name, body in BAD.items():
        config["model_slots"][name] = {
            "provider": "demo",
            "model": given(body, *(["end=hang"] if name.startswith("silent") else [])),
            "fallbacks": ["second:guard;delay=0;text=saved"],
            "first_token_timeout": 0.5,
        }
    process: Proxy = start_for_module(Proxy, config)
    return process


BAD = {
    "silent-reason": event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": ""}]),
    "silent-null": "data: null\n\ndata:\n\n",
    "silent-ping": 'event: ping\ndata: {"type":"ping"}\n\n',
    "silent-usage": event(choices=None, usage={"prompt_tokens": 3}),
    "vllm": event(object="error", message="maximum context length is 32768 tokens", type="BadRequestError", code=400),
    "named": 'event: error\ndata: {"code":400,"details":"maximum context length is 9 tokens"}\n\n',
    "number": 'event: error\ndata: {"code":400,"details":"bad"}\n\n',
    "reason": event(
        choices=[{"index": 0, "finish_reason": "error", "error": {"code": 502, "message": "Provider returned error"}}]
    ),
    "detail": event(detail="model runner died"),
    "field": f'error: {{"code":500,"message":"Compute error.","type":"server_error"}}\n\n{DONE}',
    "bare": event(choices=[]) + '{\n "error": {\n  "code": 503,\n  "message": "overloaded"\n }\n}\n',
    "groq": event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], x_groq={"error": "over capacity"}),
    "refused": event(choices=[{"index": 0, "delta": {}, "finish_reason": "refusal"}]) + DONE,
}


@pytest.mark.parametrize("slot", list(BAD))
def test_a_stream_that_begins_badly_goes_to_the_next_candidate(careful: Proxy, slot: str) -> None:
    answer = ask(careful, chat(slot, stream=True), {"X-Request-Id": f"bad-{slot}"})
    assert b"saved" in answer.body and answer.headers["x-skyproxy-provider"] == "second"
    record = careful.record("Upstream request completed", request_id=f"bad-{slot}")
    assert (record["outcome"], record["provider"]) == ("ok", "second")


@pytest.mark.parametrize("end", ["hang", "abort"])
@pytest.mark.parametrize(
    ("stream", "options"),
    [
        (WORD + STOP, {}),
        (WORD + STOP + event(choices=[], usage={"total_tokens": 3}), {"stream_options": {"include_usage": True}}),
        (WORD + DONE, {}),
    ],
)
def test_what_has_said_all_is_complete(proxy: Proxy, end: str, stream: str, options: dict[str, Any]) -> None:
    began = time.monotonic()
    request_id = f"complete-{end}-{len(stream)}"
    body = chat("demo:" + given(stream, f"end={end}"), stream=True, **options)
    answer = ask(proxy, body, {"X-Request-Id": request_id})
    # The end is proper, or http.client would have raised IncompleteRead.
    assert answer.body == stream.encode()
    assert time.monotonic() - began < SOON
    record = proxy.record("Upstream request completed", request_id=request_id)
    assert record["outcome"] == "ok"


def test_token_counts_that_do_not_come_are_waited_for(proxy: Proxy) -> None:
    body = chat("demo:" + given(WORD + STOP, "end=hang"), stream=True, stream_options={"include_usage": True})
    began = time.monotonic()
    assert ask(proxy, body).body == (WORD + STOP).encode()
    assert 1.0 <= time.monotonic() - began < SOON


def test_a_real_stream_without_done(proxy: Proxy) -> None:
    answer = ask(proxy, chat("demo:guard;chunks=5;delay=0;done=no;end=hang", stream=True))
    assert b'"finish_reason":"stop"' in answer.body and b"[DONE]" not in answer.body


def test_nothing_behind_done_goes_down(proxy: Proxy) -> None:
    answer = ask(proxy, chat("demo:" + given(WORD + DONE + "junk" + WORD), stream=True))
    assert answer.body == (WORD + DONE).encode()


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "application/octet-stream"])
@pytest.mark.parametrize("split", ["", "split"])
def test_a_stream_by_another_name(proxy: Proxy, content_type: str, split: str) -> None:
    faults = [f"content_type={quote(content_type)}", *([split] if split else [])]
    answer = ask(proxy, chat("demo:" + given(WORD + STOP + DONE, *faults), stream=True))
    assert answer.body == (WORD + STOP + DONE).encode()
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_a_response_that_has_failed_comes_down(proxy: Proxy, demo: DemoProvider) -> None:
    demo.reset()
    body = '{ "object":"response", "status":"failed","error":{"code":"server_error","message":"x"} }'
    headers = {"X-Request-Id": "failed-response"}
    answer = call(proxy, "POST", "/v1/responses", {"model": "demo:" + given(body), "input": "hi"}, headers)
    assert (answer.status, answer.body) == (200, body.encode())
    assert len(demo.requests(9)) == 1
    assert proxy.record("Upstream request completed", request_id="failed-response")["outcome"] == "upstream_error"


@pytest.mark.parametrize("odd", ['"\\ud800"', "-Infinity", "12345678901234567890", "1e-400"])
def test_whole_answers_come_down_byte_for_byte(proxy: Proxy, odd: str) -> None:
    body = f'{{ "logprobs" : [{odd}], "model": "guard","choices":[{{}}] }}'
    model = "demo:" + given(body)
    answer = ask(proxy, chat(model))
    assert answer.body == body.replace('"guard"', json.dumps(model)).encode()


def test_statuses_that_are_none(proxy: Proxy) -> None:
    for status in (600, 999):
        assert ask(proxy, chat(f"demo:guard;status={status}")).status == 502


def models(answer: Answer) -> set[str]:
    if answer.headers["content-type"].startswith("application/json"):
        return {answer.json()["model"]}
    return {json.loads(line[6:])["model"] for line in answer.body.split(b"\n") if line.startswith(b"data: {")}


def test_the_models_name(proxy: Proxy, start: Starter, demo: DemoProvider) -> None:
    provider: Proxy = start(Proxy, config_for(demo, {"model_names": "provider"}))
    for stream in (False, True):
        own, others = (ask(each, chat("combat", stream=stream)) for each in (proxy, provider))
        assert (models(own), models(others)) == ({"combat"}, {"guard;delay=0"})
        for answer in (own, others):
            assert answer.headers["x-skyproxy-provider"] == "demo"
            assert answer.headers["x-skyproxy-model"] == "guard;delay=0"


def test_requests_go_up_byte_for_byte(proxy: Proxy, demo: DemoProvider) -> None:
    messages = b'"messages":[{"role":"user","content":"hi"}]'
    body = b'{ "model" : "demo:guard", %b,"seed":12345678901234567890123 , "top_p":1e-400}' % messages
    assert ask(proxy, body).status == 200
    request = demo.requests()[0]
    assert request["size"] == len(body) - len(b"demo:")
    assert request["body"]["seed"] == 12345678901234567890123
