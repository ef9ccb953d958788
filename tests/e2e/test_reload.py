"""SIGHUP: another configuration, without a restart."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")


def reload(proxy: Proxy, config: dict[str, Any]) -> dict[str, Any]:
    """Have *proxy* go on with *config*; what it logs of that."""
    before = len(proxy.records("Configuration reloaded"))
    (proxy.folder / "proxy.yaml").write_text(yaml.safe_dump(config))
    proxy.child.send_signal(signal.SIGHUP)
    eventually(lambda: len(proxy.records("Configuration reloaded")) > before, "reloaded")
    return proxy.records("Configuration reloaded")[-1]


def test_answers_are_kept_where_the_new_configuration_says(start: Starter, tmp_path: Path) -> None:
    demo = start(DemoProvider)
    rule = {"store": "sqlite", "ttl": "60s"}
    proxy = start(Proxy, config_for(demo))
    for name in ("one", "two"):
        path = tmp_path / f"{name}.sqlite"
        reload(proxy, config_for(demo, {"cache": {"path": str(path)}}, cache=rule))
        told = [ask(proxy, chat("combat")).headers["x-skyproxy-cache"] for _ in range(2)]
        assert told == ["miss", "hit"] and path.exists()
    reload(proxy, config_for(demo, {"cache": {"path": str(tmp_path / "one.sqlite")}}, cache=rule))
    assert ask(proxy, chat("combat")).headers["x-skyproxy-cache"] == "hit"
    assert proxy.stop() == 0


def test_names_that_went_are_told(start: Starter, demo: DemoProvider) -> None:
    config = config_for(demo)
    proxy = start(Proxy, config)
    del config["model_slots"]["combat"]
    config["model_slots"]["memory"] = {"provider": "demo", "model": "guard"}
    record = reload(proxy, config)
    assert (record["slots_added"], record["slots_removed"]) == (["memory"], ["combat"])
    assert "providers_added" not in record and "providers_removed" not in record
