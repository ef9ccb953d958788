"""Spans of real requests, as a receiver of OTLP sees them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.processes import PATIENCE, DemoProvider, Process, Proxy, eventually
from tests.e2e.raw import ask, call, chat, open_request

pytest.importorskip("opentelemetry.proto")
from tests.e2e.spans import Receiver

KEY = "sk-planted-0123456789-abcdef"
INTERNAL, SERVER, CLIENT = 1, 2, 3
ERROR = 2
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """A receiver that takes all."""
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def traced(start_for_module: Starter, demo: DemoProvider, receiver: Receiver) -> Proxy:
    """A proxy that sends *receiver* its spans."""
    config = config_of(demo, receiver.url, headers={"X-Receiver": "${RECEIVER_KEY}"}, service_name="house")
    proxy: Proxy = start_for_module(Proxy, config, env={"K": KEY, "RECEIVER_KEY": "let-me-in-please"})
    return proxy


def config_of(demo: DemoProvider, endpoint: str | None, **telemetry: Any) -> dict[str, Any]:
    plain = {
        "base_url": demo.base_url, "dialect": "local", "max_retries": 0, "breaker": "off", "adaptive": False,
        "api_key_env": ["K"],
    }  # fmt: skip
    config: dict[str, Any] = {
        "proxy": {"drain_timeout": "2s", "telemetry": {"endpoint": endpoint, **telemetry}},
        "providers": {
            "first": plain, "second": plain, "busy": {**plain, "max_concurrent": 1},
            "again": {**plain, "max_retries": 1},
        },
        "model_slots": {
            "default": {"provider": "first", "model": "guard;delay=0"},
            "falls": {"provider": "first", "model": "guard;status=500", "fallbacks": ["second:guard;delay=0"]},
            "hedged": {
                "provider": "first", "model": "guard;first=3", "hedge_after": "100ms",
                "fallbacks": ["second:guard;delay=0"],
            },
            "waits": {"provider": "busy", "model": "guard;first=0.4"},
            "retried": {"provider": "again", "model": "guard;status=503;fail=1;delay=0"},
        },
    }  # fmt: skip
    if endpoint is None:
        del config["proxy"]["telemetry"]
    return config


def spans_of(receiver: Receiver, request_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = eventually(lambda: receiver.of_request(request_id), f"the spans of {request_id}")
    return found


def test_what_requests_come_to(demo: DemoProvider, receiver: Receiver, traced: Proxy) -> None:
    proxy = traced
    usage = {"stream_options": {"include_usage": True}}
    ask(proxy, chat(stream=True, user="planted-body", **usage), {"X-Request-Id": "plain"})
    ask(proxy, chat("falls"), {"X-Request-Id": "falls"})
    ask(proxy, chat("retried"), {"X-Request-Id": "retried"})
    ask(proxy, chat("hedged", stream=True), {"X-Request-Id": "hedged"})
    held = open_request(proxy, chat("waits"), "held")
    ask(proxy, chat("waits"), {"X-Request-Id": "waited"})
    held.close()
    ask(proxy, chat("nobody"), {"X-Request-Id": "nobody"})

    request, sending = spans_of(receiver, "plain")
    assert (request["name"], request["kind"], request["parent"]) == ("POST /v1/chat/completions", SERVER, "")
    assert request["attributes"]["http.response.status_code"] == 200
    assert request["attributes"]["skyproxy.slot"] == "default" and request["attributes"]["skyproxy.outcome"] == "ok"
    assert {"first_token", "first_sentence"} <= set(request["events"])
    assert (sending["name"], sending["kind"], sending["parent"]) == ("chat guard;delay=0", CLIENT, request["id"])
    assert request["start"] <= sending["start"] <= sending["end"] <= request["end"] + 1_000_000
    assert abs(request["start"] / 1e9 - time.time()) < PATIENCE
    said = sending["attributes"]
    assert said["gen_ai.operation.name"] == "chat" and said["gen_ai.provider.name"] == "first"
    assert said["gen_ai.request.model"] == "guard;delay=0" and said["gen_ai.usage.input_tokens"] > 0
    assert said["gen_ai.usage.output_tokens"] > 0 and 0 < said["gen_ai.response.time_to_first_chunk"] < PATIENCE
    assert said["server.address"] == "127.0.0.1" and str(said["server.port"]) in demo.base_url
    assert request["resource"]["service.name"] == "house"
    assert request["schema"] == "https://opentelemetry.io/schemas/1.41.0"
    headers, path, _ = receiver.requests[0]
    assert (headers["x-receiver"], path) == ("let-me-in-please", "/v1/traces")

    request, *sendings = spans_of(receiver, "falls")
    assert [each["attributes"]["skyproxy.provider"] for each in sendings] == ["first", "second"]
    assert (sendings[0]["status"], sendings[0]["attributes"]["error.type"]) == (ERROR, "500")
    assert (sendings[1]["status"], request["status"]) == (0, 0) and "fallback" in request["events"]

    request, *sendings = spans_of(receiver, "retried")
    assert [each["attributes"]["http.response.status_code"] for each in sendings] == [503, 200]
    assert "retry" in request["events"]

    request, *others = spans_of(receiver, "hedged")
    (hedge,) = [each for each in others if each["name"] == "hedge"]
    slow, quick = sorted((each for each in others if each["kind"] == CLIENT), key=lambda each: each["start"])
    assert (hedge["kind"], hedge["parent"], hedge["attributes"]["skyproxy.hedge.won"]) == (
        INTERNAL,
        request["id"],
        True,
    )
    assert (slow["parent"], quick["parent"]) == (request["id"], hedge["id"])
    assert (slow["status"], quick["attributes"]["skyproxy.answered"]) == (0, True)

    request, *others = spans_of(receiver, "waited")
    (queue,) = [each for each in others if each["name"] == "queue busy"]
    assert queue["parent"] == request["id"] and queue["end"] - queue["start"] > 50_000_000

    (request,) = spans_of(receiver, "nobody")
    assert request["attributes"]["error.type"] == "model_not_found" and request["status"] == 0

    text = "".join(str(each) for _, _, each in receiver.requests)
    assert KEY not in text and "planted" not in text and "Who goes there" not in text and "let-me-in" not in text
    page = call(proxy, "GET", "/metrics").body.decode()
    assert "skyproxy_traces_exported_total 7.0" in page or "skyproxy_traces_exported_total 8.0" in page
    assert 'skyproxy_traces_lost_total{reason="unreachable"} 0.0' in page


def test_traces_of_others_go_on(demo: DemoProvider, receiver: Receiver, traced: Proxy) -> None:
    proxy = traced
    given = {"X-Request-Id": "joined", "traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
    ask(proxy, chat(), given)
    request, sending = spans_of(receiver, "joined")
    assert (request["trace"], request["parent"], request["state"]) == (TRACE, PARENT, "vendor=1")
    headers = demo.requests()[0]["headers"]
    assert (headers["traceparent"], headers["tracestate"]) == (f"00-{TRACE}-{sending['id']}-01", "vendor=1")
    # One that is not recorded elsewhere is not here, and the provider is told so.
    ask(proxy, chat(), {"X-Request-Id": "unsampled", "traceparent": f"00-{TRACE}-{PARENT}-00"})
    (parent,) = {each["headers"]["traceparent"] for each in demo.requests()}
    assert parent.startswith(f"00-{TRACE}-") and parent.endswith("-00")
    # What is no traceparent is none.
    ask(proxy, chat(), {"X-Request-Id": "wrong", "traceparent": f"00-{TRACE}-{'0' * 16}-01"})
    request, _ = spans_of(receiver, "wrong")
    assert request["trace"] != TRACE and request["parent"] == ""
    assert not receiver.of_request("unsampled")


def test_nothing_where_nothing_is_said(start: Starter, demo: DemoProvider, receiver: Receiver) -> None:
    proxy = start(Proxy, config_of(demo, None), env={"K": KEY})
    assert ask(proxy, chat(), {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=1"}).status == 200
    assert not {"traceparent", "tracestate"} & demo.requests()[0]["headers"].keys()
    assert not os.path.exists(f"/proc/{proxy.child.pid}") or "span exporter" not in threads(proxy)
    # It begins and ends with the configuration, without a restart.
    path = proxy.folder / "proxy.yaml"
    before = path.read_text()
    for number, (telemetry, sent) in enumerate(
        ((f"\n  telemetry: {{endpoint: '{receiver.url}'}}", True), ("", False)), 1
    ):
        path.write_text(before.replace("proxy:", f"proxy:{telemetry}", 1))
        proxy.child.send_signal(signal.SIGHUP)
        eventually(lambda: len(proxy.records("Configuration reloaded")) == number, "reloaded")  # noqa: B023
        assert ask(proxy, chat(), {"X-Request-Id": f"r{number}"}).status == 200
        assert ("traceparent" in demo.requests()[0]["headers"]) is sent
    assert len(spans_of(receiver, "r1")) == 2 and not receiver.of_request("r2")


def threads(proxy: Process) -> str:
    folder = f"/proc/{proxy.child.pid}/task"
    return " ".join(open(f"{folder}/{each}/comm").read() for each in os.listdir(folder))


def test_a_receiver_that_is_dead_or_slow_costs_nobody_anything(start: Starter, demo: DemoProvider) -> None:
    receiver = Receiver()
    receiver.delay = 10 * PATIENCE
    slow = start(Proxy, config_of(demo, receiver.url), env={"K": KEY})
    dead = start(Proxy, config_of(demo, "http://127.0.0.1:1"), env={"K": KEY})
    for proxy in (slow, dead):
        for _ in range(20):
            assert ask(proxy, chat()).status == 200
    record = dead.record("Spans cannot be sent; requests go on, and what is lost is counted in /metrics")
    assert "refused" in record["problem"].lower() and record["endpoint"] == "http://127.0.0.1:1"
    for proxy in (slow, dead):
        proxy.child.send_signal(signal.SIGTERM)
    assert (slow.wait(), dead.wait()) == (0, 0)
    assert len(dead.records(record["message"])) == 1
    receiver.close()
