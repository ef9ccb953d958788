"""The instruments of a real process, against what its clients saw and what its provider counted."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from typing import Any

from prometheus_client import parser

from skyproxy.web.metrics.aliases import OLD_NAMES
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, call, chat, open_request, read_all, read_until
from tests.metric_rules import broken_rules

KEY = "sk-planted-0123456789-abcdef"
FAST = "guard;delay=0"
"""The model of the slot `combat`."""

Samples = dict[str, dict[tuple[str, ...], float]]


def metrics(proxy: Proxy) -> Samples:
    """What /metrics says, as prometheus_client reads it: by name, and by the values of its labels in their order."""
    answer = call(proxy, "GET", "/metrics")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found: Samples = {}
    for family in parser.text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            values = found.setdefault(sample.name.removeprefix("skyproxy_"), {})
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            assert labels not in values
            values[labels] = sample.value
    return found


def requests_of(found: Samples) -> dict[tuple[str, ...], int]:
    """Requests that are over, by outcome, provider and slot."""
    counted: Counter[tuple[str, ...]] = Counter()
    for (_, *labels), count in found["requests_total"].items():
        counted[tuple(labels)] += int(count)
    return {labels: count for labels, count in counted.items() if count}


def answers_of(found: Samples) -> dict[str, int]:
    """Answers and failures of the one provider, by status or reason."""
    names = ("upstream_answers_total", "upstream_failures_total")
    return {code: int(n) for name in names for (_, code), n in found[name].items() if n}


def stats(proxy: Proxy) -> Any:
    answer = call(proxy, "GET", "/api/stats")
    assert answer.status == 200
    return answer.json()


def abandon(proxy: Proxy, body: dict[str, Any], until: bytes | None = None) -> None:
    """Ask, and leave: at once, or when *until* has come."""
    connection = open_request(proxy, body)
    if until is not None:
        read_until(connection, until)
    connection.close()


def mix(proxy: Proxy, demo: DemoProvider) -> None:
    """Something of everything, to a provider with one permit and no queue."""
    for _ in range(5):
        assert ask(proxy, chat("combat")).status == 200
    for _ in range(4):
        assert ask(proxy, chat("combat", stream=True, stream_options={"include_usage": True})).status == 200
    for _ in range(3):
        assert ask(proxy, chat(stream=True)).status == 200
    for _ in range(2):
        assert ask(proxy, chat("demo:guard;status=429")).status == 429
    assert ask(proxy, chat("demo:guard;status=500")).status == 500
    assert ask(proxy, chat("demo:guard;status=404")).status == 404
    assert read_all(open_request(proxy, chat("demo:guard;cut=3;delay=0", stream=True))).endswith(b"}\n\n\r\n")
    assert ask(proxy, chat("demo:guard;reset")).status == 502
    # One that leaves in the middle, one that leaves before anything has come, and one that finds no permit meanwhile.
    abandon(proxy, chat("demo:guard;delay=0.05;chunks=400", stream=True), b'"content":"')
    eventually(lambda: demo.stats()["cancelled"] == 1, "the stream is cancelled")
    waiting = open_request(proxy, chat("demo:guard;hang"))
    eventually(lambda: demo.stats()["active"] == 1, "the permit is taken")
    assert ask(proxy, chat("combat")).status == 503
    waiting.close()
    eventually(lambda: demo.stats()["cancelled"] == 2, "the request is cancelled")
    for number in range(30):
        assert ask(proxy, chat(f"nobody-{number}")).status == 400
        assert ask(proxy, b"{").status == 400


def start_both(start: Starter, **provider: Any) -> tuple[DemoProvider, Proxy]:
    demo = start(DemoProvider)
    config = config_for(demo, max_concurrent=1, max_pending=0, api_key_env=["DEMO_KEY"], **provider)
    config["prices"] = {"demo:guard*": {"prompt": 1, "completion": 2}}
    proxy = start(Proxy, config, env={"DEMO_KEY": KEY})
    return demo, proxy


def test_metrics_agree_with_what_the_provider_counted(start: Starter) -> None:
    demo, proxy = start_both(start)
    mix(proxy, demo)
    found, upstream = metrics(proxy), demo.stats()

    # In the order of the labels: outcome, provider, slot.
    assert requests_of(found) == {
        ("ok", "demo", "combat"): 9,
        ("ok", "demo", "default"): 3,
        ("refused", "demo", "combat"): 1,
        ("upstream_error", "demo", "direct"): 3,
        ("client_error", "demo", "direct"): 1,
        ("failed", "demo", "direct"): 2,
        ("cancelled", "demo", "direct"): 2,
        ("client_error", "none", "none"): 60,
    }
    assert answers_of(found) == {**upstream["by_status"], "upstream_broken": 1}
    assert found["requests_total"][FAST, "ok", "demo", "combat"] == 9
    assert found["requests_total"]["other", "cancelled", "demo", "direct"] == 2
    to_demo = {labels: count for labels, count in requests_of(found).items() if labels[1] == "demo"}
    assert sum(to_demo.values()) - to_demo["refused", "demo", "combat"] == upstream["total"] == 20
    assert to_demo["cancelled", "demo", "direct"] == upstream["cancelled"]

    for name, count in (
        ("request_duration_seconds", 12), ("time_to_first_token_seconds", 7), ("time_to_first_sentence_seconds", 7),
        ("inter_token_gap_seconds", 7),
    ):  # fmt: skip
        # What only clients name was never answered well.
        assert found[f"{name}_count"] == {(FAST, "demo"): count - 3, ("guard", "demo"): 3, ("other", "demo"): 0}
        assert found[f"{name}_bucket"]["+Inf", "guard", "demo"] == 3
        assert 0 < found[f"{name}_sum"]["guard", "demo"] < 60
    assert found["request_seconds_count"] == {("demo",): 12}
    assert found["time_to_first_byte_seconds_count"] == {("demo",): 7}
    for name in ("slot_time_to_first_token_seconds", "slot_time_to_first_sentence_seconds"):
        assert found[f"{name}_count"] == {("combat",): 4, ("default",): 3, ("direct",): 0}
    assert found["queue_wait_seconds_count"]["demo",] == 12
    assert (found["permits_limit"]["demo",], found["queue_limit"]["demo",]) == (1, 0)
    assert found["key_rejected"] == {("DEMO_KEY", "demo"): 0}
    assert found["process_start_time_seconds"][()] <= time.time() < found["process_start_time_seconds"][()] + 600
    assert found["permits_in_use"] == found["queue_depth"] == found["retries_total"] == {("demo",): 0}
    assert found["pool_connections"]["demo", "busy"] == 0
    assert "breaker_state" not in found
    assert found["log_dropped_total"] == {(): 0}
    assert found["event_loop_lag_seconds_count"][()] > 0


def test_tokens_are_those_of_the_answers(start: Starter) -> None:
    demo, proxy = start_both(start)
    said: Counter[str] = Counter()
    for _ in range(3):
        usage = ask(proxy, chat("combat")).json()["usage"]
        said.update({kind: usage[f"{kind}_tokens"] for kind in ("prompt", "completion")})
    stream = ask(proxy, chat("combat", stream=True, stream_options={"include_usage": True})).body
    usage = json.loads(stream.split(b"\n\n")[-3].removeprefix(b"data: "))["usage"]
    said.update({kind: usage[f"{kind}_tokens"] for kind in ("prompt", "completion")})

    # In the order of the labels: kind, model, provider, slot.
    tokens = metrics(proxy)["tokens_total"]
    counted = {kind: tokens[kind, FAST, "demo", "combat"] for kind in ("prompt_uncached", "completion")}
    assert list(counted.values()) == [said["prompt"], said["completion"]]
    assert metrics(proxy)["tokens_estimated_total"][FAST, "demo", "combat"] == 0
    cost = (said["prompt"] + 2 * said["completion"]) / 1e6
    assert abs(metrics(proxy)["cost_usd_total"][FAST, "demo", "combat"] - cost) < 1e-12

    # A stream whose provider says nothing, and one that nobody reads to its end.
    ask(proxy, chat("demo:guard;usage=no;chunks=100;delay=0", stream=True))
    first = metrics(proxy)["tokens_total"]
    estimated = metrics(proxy)["tokens_estimated_total"]["other", "demo", "direct"]
    assert estimated == sum(number for labels, number in first.items() if labels[1:] == ("other", "demo", "direct"))
    assert 50 < first["completion", "other", "demo", "direct"] < 300
    abandon(proxy, chat("demo:guard;delay=0.05;chunks=400", stream=True), b'"content":"')
    eventually(lambda: demo.stats()["cancelled"] == 1, "the stream is cancelled")
    assert metrics(proxy)["tokens_estimated_total"]["other", "demo", "direct"] > estimated
    record = proxy.record("Request cancelled")
    assert (record["tokens_estimated"], record["key"]) == (True, "DEMO_KEY")
    assert record["tokens_prompt"] > 0 and record["cost"] > 0


def test_stats_agree_with_metrics(start: Starter) -> None:
    demo, proxy = start_both(start)
    mix(proxy, demo)
    found, told = metrics(proxy), stats(proxy)
    provider = told["providers"]["demo"]
    outcomes: Counter[str] = Counter()
    for (outcome, name, slot), count in requests_of(found).items():
        assert told["slots"][slot]["outcomes"][outcome] == count
        if name == "demo":
            outcomes[outcome] += int(count)
    assert provider["outcomes"] == outcomes
    of_kind = {"prompt": ("prompt_uncached", "prompt_cached"), "completion": ("completion", "reasoning"),
               "cached": ("prompt_cached",), "reasoning": ("reasoning",)}  # fmt: skip
    for whole, kinds in of_kind.items():
        counted = sum(value for labels, value in found["tokens_total"].items() if labels[0] in kinds)
        assert provider["tokens"][whole] == counted
    assert provider["tokens"]["estimated"] == sum(found["tokens_estimated_total"].values())
    assert provider["responses"] == answers_of(found)
    assert (provider["latency"]["count"], provider["time_to_first_token"]["count"]) == (12, 7)
    for times in (provider["latency"], provider["time_to_first_token"], told["slots"]["combat"]["latency"]):
        assert 0 < times["p50"] <= times["p95"] <= times["p99"] <= times["max"] < 60
    assert provider["permits"] == {"in_use": 0, "available": 1, "limit": 1, "max_concurrent": 1}
    assert (provider["queue"], provider["breaker"]) == ({"waiting": 0, "max_pending": 0}, None)
    (key,) = provider["keys"]
    # The one that found no permit took no key.
    assert (key["variable"], key["busy"], key["requests"]) == ("DEMO_KEY", 0, demo.stats()["total"])
    assert sum(slot["tokens"]["prompt"] for slot in told["slots"].values()) == provider["tokens"]["prompt"]
    assert told["uptime"] > 0 and told["log_dropped"] == 0
    assert told["event_loop_lag"]["count"] > 0 and told["event_loop_lag"]["max"] >= 0
    assert told["retry_budget"]["requests"] == sum(outcomes.values())


def test_while_requests_are_under_way(start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo, max_concurrent=3, max_pending=5))
    held = [open_request(proxy, chat("demo:guard;hang")) for _ in range(5)]
    eventually(lambda: demo.stats()["active"] == 3, "all permits are taken")

    def shown() -> bool:
        found = metrics(proxy)
        busy = found["pool_connections"]["demo", "busy"]
        under_way = found["requests_under_way"][()]
        return (found["permits_in_use"]["demo",], found["queue_depth"]["demo",], busy, under_way) == (3, 2, 3, 5)

    eventually(shown, "three have permits, two wait")
    assert stats(proxy)["providers"]["demo"]["queue"]["waiting"] == 2
    for connection in held:
        connection.close()
    eventually(lambda: metrics(proxy)["permits_in_use"]["demo",] == 0, "all have left")
    assert requests_of(metrics(proxy)) == {("cancelled", "demo", "direct"): 5}


def test_the_breaker_and_retries(start: Starter) -> None:
    demo = start(DemoProvider)
    breaker = {"consecutive": 4, "open_for": "60s"}
    proxy = start(Proxy, config_for(demo, max_retries=1, breaker=breaker))
    assert metrics(proxy)["breaker_state"] == {("demo",): 0}
    for _ in range(2):
        assert ask(proxy, chat("demo:guard;status=500")).status == 500
    found, told = metrics(proxy), stats(proxy)["providers"]["demo"]
    assert found["breaker_state"] == {("demo",): 0}
    assert (found["retries_total"]["demo",], told["retries"]) == (2, 2)
    assert answers_of(found) == {"500": 4}
    assert demo.stats()["by_status"] == {"500": 4}
    (deployment,) = told["deployments"]
    assert (deployment["model"], deployment["breaker"]["state"]) == (None, "open")
    assert (told["outcomes"], told["latency"]["count"]) == ({"upstream_error": 2}, 0)


def test_counts_go_on_after_a_reload(start: Starter) -> None:
    _, proxy = start_both(start)
    for number in (1, 2, 3):
        assert ask(proxy, chat("combat")).status == 200
        found = metrics(proxy)
        assert answers_of(found) == {"200": number}
        assert requests_of(found) == {("ok", "demo", "combat"): number}
        path = proxy.folder / "proxy.yaml"
        path.write_text(path.read_text().replace("max_concurrent: ", "max_concurrent: 1"))
        proxy.child.send_signal(signal.SIGHUP)
        eventually(lambda expected=number: len(proxy.records("Configuration reloaded")) == expected, "reloaded")
    assert stats(proxy)["providers"]["demo"]["permits"]["max_concurrent"] == 50


def test_no_key_and_no_words_of_the_client(start: Starter) -> None:
    demo, proxy = start_both(start)
    ask(proxy, chat("combat", user="planted-user"), {"Authorization": "Bearer sk-client-planted-key-1"})
    ask(proxy, chat("planted-model"))
    ask(proxy, chat("demo:guard;text=planted-answer"))
    assert demo.requests()[0]["headers"]["authorization"] == f"Bearer {KEY}"
    for path in ("/metrics", "/api/stats"):
        page = call(proxy, "GET", path).body
        assert b"planted" not in page and b"Bearer" not in page and KEY.encode() not in page
        assert b"DEMO_KEY" in page


def test_by_the_rules_of_naming(start: Starter) -> None:
    demo, proxy = start_both(start)
    mix(proxy, demo)
    assert broken_rules(call(proxy, "GET", "/metrics").body.decode(), OLD_NAMES) == []


def test_a_page_that_rebinds_its_name(proxy: Proxy) -> None:
    port = proxy.address[1]
    for path in ("/metrics", "/api/stats"):
        for host, status in (
            ("localhost", 200), (f"localhost:{port}", 200), (f"127.0.0.1:{port}", 200), ("evil.example", 403),
            (f"evil.example:{port}", 403), ("127.0.0.1.evil.example", 403),
        ):  # fmt: skip
            assert call(proxy, "GET", path, headers={"Host": host}).status == status
    assert call(proxy, "GET", "/healthz", headers={"Host": "evil.example"}).status == 200


def test_reading_does_not_disturb_what_it_measures(proxy: Proxy) -> None:
    before = steady(metrics(proxy))
    for _ in range(50):
        metrics(proxy)
        stats(proxy)
    assert steady(metrics(proxy)) == before


def steady(found: Samples) -> Samples:
    """What does not change while nothing happens."""
    unsteady = ("event_loop_lag_seconds", "process_", "python_")
    return {name: values for name, values in found.items() if not name.startswith(unsteady)}
