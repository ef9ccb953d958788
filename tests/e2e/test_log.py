"""The log of a real process."""

from __future__ import annotations

import signal
import stat
from datetime import datetime, timezone

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat


def test_the_record_of_a_request(proxy: Proxy) -> None:
    ask(proxy, chat("combat", stream=True), {"X-Request-Id": "logged-1"})
    record = proxy.record("Upstream request completed", request_id="logged-1")
    assert (record["provider"], record["model"], record["status"]) == ("demo", "combat", 200)
    assert (record["level"], record["outcome"], record["stream"]) == ("INFO", "ok", True)
    assert record["latency_ms"] >= record["ttfb_ms"] > 0
    assert record["bytes_out"] > 0
    age = datetime.now(timezone.utc) - datetime.fromisoformat(record["timestamp"].replace("Z", "+00:00"))
    assert 0 <= age.total_seconds() < 60


def test_every_line_of_a_request_has_its_id(proxy: Proxy) -> None:
    ask(proxy, chat("nobody"), {"X-Request-Id": "logged-2"})
    ask(proxy, chat("demo:guard;status=500"), {"X-Request-Id": "logged-3"})
    eventually(
        lambda: {"logged-2", "logged-3"} <= {each.get("request_id") for each in proxy.records()}, "both are logged"
    )


def test_no_body_and_no_client_key(proxy: Proxy) -> None:
    ask(
        proxy,
        chat(user="unmistakable-words goes where"),
        {"Authorization": "Bearer sk-client-secret-1", "X-Request-Id": "logged-4"},
    )
    proxy.record("Upstream request completed", request_id="logged-4")
    text = proxy.log_file.read_text() + "\n".join(proxy.output)
    assert "unmistakable-words" not in text and "sk-client-secret-1" not in text and "goes where" not in text


@pytest.mark.parametrize("by_signal", [True, False])
def test_rotation_loses_nothing(start: Starter, demo: DemoProvider, by_signal: bool) -> None:
    proxy = start(Proxy, config_for(demo))
    moved = proxy.log_file.with_suffix(".1")
    for number in range(40):
        ask(proxy, chat("combat"), {"X-Request-Id": f"rotated-{number}"})
        if number == 20:
            proxy.log_file.rename(moved)
            if by_signal:
                proxy.child.send_signal(signal.SIGUSR1)
            eventually(proxy.log_file.exists, "a new file is made")
    proxy.stop()
    old, new = moved.read_text(), proxy.log_file.read_text()
    for number in range(40):
        assert f'"rotated-{number}"' in old + new
    assert '"rotated-39"' in new
    assert stat.S_IMODE(proxy.log_file.stat().st_mode) == 0o600


def test_levels(start: Starter, demo: DemoProvider) -> None:
    config = config_for(demo, allowed_fields=["temperature"])
    for level, expected in (("debug", {"DEBUG", "INFO"}), ("info", {"INFO"})):
        proxy = start(Proxy, config, "--log-level", level)
        ask(proxy, chat("combat", top_k=3), {"X-Request-Id": "leveled"})
        proxy.stop()
        assert {record["level"] for record in proxy.records() if record.get("request_id") == "leveled"} == expected
