"""Paths, headers, bodies and errors, over real sockets."""

from __future__ import annotations

import gzip
import json
import zlib
from datetime import datetime

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy
from tests.e2e.raw import ask, call, chat, open_request, read_all


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions", "/v1"])
def test_chat_at_every_path_that_a_setting_may_lead_to(proxy: Proxy, path: str) -> None:
    answer = call(proxy, "POST", path, chat())
    assert answer.status == 200
    assert answer.json()["choices"][0]["message"]["content"]


def test_models(proxy: Proxy) -> None:
    answer = call(proxy, "GET", "/v1/models").json()
    assert answer["object"] == "list"
    assert answer["data"][0] == {"id": "default", "object": "model", "created": 0, "owned_by": "skyproxy"}
    missing = call(proxy, "GET", "/v1/models/no/such")
    assert (missing.status, missing.json()["error"]["code"]) == (404, "not_found")


def test_health(proxy: Proxy) -> None:
    answer = call(proxy, "GET", "/healthz").json()
    assert answer["status"] == "ok"
    assert datetime.fromisoformat(answer["timestamp"].replace("Z", "+00:00")).tzinfo is not None
    assert call(proxy, "GET", "/readyz").status == 200


def test_errors_have_openais_shape(proxy: Proxy) -> None:
    for method, path, body, status, code in (
        ("POST", "/v1/chat/completions", b"{", 400, "invalid_request"),
        ("POST", "/v1/chat/completions", b"", 400, "invalid_request"),
        ("POST", "/v1/chat/completions", b"[]", 400, "invalid_request"),
        ("POST", "/v1/chat/completions", b"[" * 100_000, 400, "invalid_request"),
        ("POST", "/v1/chat/completions", {"messages": []}, 400, "invalid_request"),
        ("POST", "/v1/chat/completions", {"model": "default", "messages": "hi"}, 400, "invalid_request"),
        ("POST", "/v1/chat/completions", chat("combta"), 400, "model_not_found"),
        ("POST", "/v1/audio/transcriptions", b"{}", 400, "invalid_request"),
        ("GET", "/nothing", None, 404, "not_found"),
        ("POST", "/v1/chat/completion", chat(), 404, "not_found"),
        ("GET", "/v1/chat/completions", None, 405, "method_not_allowed"),
        ("DELETE", "/v1/models", None, 405, "method_not_allowed"),
    ):
        answer = call(proxy, method, path, body)
        error = answer.json()["error"]
        assert (answer.status, error["code"]) == (status, code), (method, path, body)
        assert set(error) == {"message", "type", "param", "code"} and error["message"]
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-request-id"]


def test_unknown_slot_names_the_nearest(proxy: Proxy) -> None:
    assert "'combat'" in ask(proxy, chat("combta")).json()["error"]["message"]


def test_too_large_a_body(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, {"max_body": 1000}))
    assert ask(proxy, chat(user="x" * 1200)).status == 413
    squeezed = gzip.compress(json.dumps(chat(user="x" * 100_000)).encode())
    assert len(squeezed) < 1000
    assert ask(proxy, squeezed, {"Content-Encoding": "gzip"}).status == 413
    assert ask(proxy, chat(user="x" * 500)).status == 200


def test_large_prompts_arrive_whole(proxy: Proxy, demo: DemoProvider) -> None:
    text = "A dragon, é \U0001f409. " * 60_000
    body = chat()
    body["messages"][0]["content"] = text
    assert ask(proxy, body).status == 200
    assert int(demo.requests()[0]["headers"]["content-length"]) > len(text)


def test_compressed_requests(proxy: Proxy, demo: DemoProvider) -> None:
    plain = json.dumps(chat(seed=7)).encode()
    for encoding, data in (("gzip", gzip.compress(plain)), ("deflate", zlib.compress(plain))):
        assert ask(proxy, data, {"Content-Encoding": encoding}).status == 200
        received = demo.requests()[0]
        assert received["body"]["seed"] == 7
        assert "content-encoding" not in received["headers"]
    assert ask(proxy, plain, {"Content-Encoding": "gzip"}).status == 400
    assert ask(proxy, gzip.compress(plain)[:-9], {"Content-Encoding": "gzip"}).status == 400
    assert ask(proxy, plain, {"Content-Encoding": "br"}).status == 415


def test_what_goes_up(proxy: Proxy, demo: DemoProvider) -> None:
    headers = {
        "Authorization": "Bearer the-clients-own",
        "Cookie": "a=b",
        "HTTP-Referer": "https://skyrim.example",
        "X-Title": "SkyrimNet",
        "X-Request-Id": "up-1",
        "X-Forwarded-Host": "elsewhere",
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "1",
        "TE": "trailers",
    }
    answer = ask(proxy, chat("combat", temperature=0.2, unheard_of={"a": [1, None]}), headers)
    assert answer.headers["x-request-id"] == "up-1"
    received = demo.requests()[0]
    assert received["path"] == "/v1/chat/completions"
    assert received["body"] == chat("guard;delay=0", temperature=0.2, unheard_of={"a": [1, None]})
    up = received["headers"]
    assert (up["x-request-id"], up["http-referer"], up["x-title"]) == ("up-1", "https://skyrim.example", "SkyrimNet")
    assert up["content-type"] == "application/json"
    assert up["accept-encoding"] == "identity"
    assert not {"authorization", "cookie", "x-forwarded-host", "x-hop", "te"} & set(up)


def test_slot_params_are_defaults(proxy: Proxy, demo: DemoProvider) -> None:
    ask(proxy, chat("combat"))
    assert demo.requests()[0]["body"]["temperature"] == 0.7


def test_unsafe_request_ids_are_replaced(proxy: Proxy) -> None:
    assert (
        call(proxy, "GET", "/healthz", headers={"X-Request-Id": "a b<script>"}).headers["x-request-id"] != "a b<script>"
    )


def test_what_comes_down(proxy: Proxy) -> None:
    answer = ask(proxy, chat("demo:guard;cookie;ratelimit;retry_after=7;status=429"))
    assert answer.status == 429
    assert answer.headers["retry-after"] == "7"
    assert any(name.startswith("x-ratelimit-") for name in answer.headers)
    assert "set-cookie" not in answer.headers
    assert answer.json()["error"]["message"]


def test_answers_carry_the_requested_name(proxy: Proxy) -> None:
    assert ask(proxy, chat("default")).json()["model"] == "default"
    assert ask(proxy, chat("demo:guard")).json()["model"] == "demo:guard"


def test_provider_without_its_key(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, api_key_env="GUARD_API_KEY"))
    answer = ask(proxy, chat())
    assert (answer.status, answer.json()["error"]["code"]) == (503, "provider_not_configured")
    assert "GUARD_API_KEY" in answer.json()["error"]["message"]
    assert any("GUARD_API_KEY" in line for line in proxy.output)


def test_the_key_goes_up_and_nowhere_else(start: Starter, demo: DemoProvider) -> None:
    key = "sk-planted-0123456789abcdef"
    config = config_for(demo, api_key_env="GUARD_API_KEY", auth_header="X-Api-Key: ${API_KEY}")
    proxy = start(Proxy, config, env={"GUARD_API_KEY": key})
    answer = ask(proxy, chat(f"demo:guard;text={key}"))
    assert demo.requests()[0]["headers"]["x-api-key"] == key
    assert key not in str(answer.headers)
    proxy.stop()
    assert key not in "\n".join(proxy.output) and key not in proxy.log_file.read_text()


def test_unreachable_provider(start: Starter, demo: DemoProvider) -> None:
    config = config_for(demo)
    config["providers"]["demo"]["base_url"] = "http://127.0.0.1:9/v1"
    answer = ask(start(Proxy, config), chat())
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_unreachable")


@pytest.mark.parametrize(
    ("fault", "stream"),
    [
        ("reset", False), ("reset", True), ("lie_length", False), ("junk=status", False), ("redirect", False),
        ("redirect", True), ("headers=100000", False), ("bomb", False), ("empty", True), ("gzip", True),
    ],
)  # fmt: skip
def test_broken_providers(proxy: Proxy, fault: str, stream: bool) -> None:
    answer = ask(proxy, chat(f"demo:guard;{fault}", stream=stream))
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (502, "upstream_broken"), error


def test_compressed_answer_that_nobody_asked_for(proxy: Proxy) -> None:
    assert ask(proxy, chat("demo:guard;gzip")).json()["choices"][0]["message"]["content"]


def test_junk_after_an_answer_harms_nobody(proxy: Proxy) -> None:
    for _ in range(5):
        assert ask(proxy, chat("demo:guard;junk")).status == 200
        assert ask(proxy, chat()).json()["model"] == "default"


def test_timeouts_say_which(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, default_timeout="1s", idle_timeout="1s"))
    for body in (
        chat("demo:guard;hang"),
        chat("demo:guard;hang", stream=True),
        chat("demo:guard;head=300", stream=True),
    ):
        answer = ask(proxy, body)
        assert (answer.status, answer.json()["error"]["code"]) == (504, "upstream_timeout")
        assert "default_timeout" in answer.json()["error"]["message"]
    slow = read_all(open_request(proxy, chat("demo:guard;chunks=5;delay=300", stream=True)))
    assert b"200 OK" in slow and b"idle_timeout" in slow and b"[DONE]" not in slow


def test_a_slow_stream_is_not_ended_by_default_timeout(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, default_timeout="2s", idle_timeout="20s"))
    answer = ask(proxy, chat("demo:guard;chunks=8;delay=0.5", stream=True))
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_browsers(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, {"cors_origins": ["https://chat.example"]}))
    asked = {
        "Origin": "https://chat.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    preflight = call(proxy, "OPTIONS", "/v1/chat/completions", headers=asked)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "https://chat.example"
    assert preflight.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    for origin in ("https://chat.example", "http://localhost:3000"):
        answer = ask(proxy, chat(), {"Origin": origin})
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, origin)
        missing = call(proxy, "GET", "/nothing", headers={"Origin": origin})
        assert (missing.status, missing.headers["access-control-allow-origin"]) == (404, origin)
    for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example"):
        answer = ask(proxy, chat(), {"Origin": origin})
        assert (answer.status, answer.json()["error"]["code"]) == (403, "origin_not_allowed")


def test_the_client_cannot_choose_the_upstream(proxy: Proxy, demo: DemoProvider) -> None:
    demo.reset()
    body = chat(api_base="http://127.0.0.1:9/v1", base_url="http://127.0.0.1:9/v1")
    assert ask(proxy, body, {"X-Forwarded-Host": "127.0.0.1:9"}).status == 200
    absolute = call(proxy, "POST", "http://127.0.0.1:9/v1/chat/completions", chat())
    assert absolute.status == 200
    assert demo.stats()["total"] == 2
