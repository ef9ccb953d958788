"""``watch: true``: another configuration, without a restart and without a signal."""

from __future__ import annotations

from typing import Any

import yaml

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat


def with_slot(demo: DemoProvider, name: str, watch: bool = True) -> dict[str, Any]:
    """A configuration that is watched, with one more slot."""
    config = config_for(demo, {"watch": watch})
    config["model_slots"][name] = {"provider": "demo", "model": "guard;delay=0"}
    return config


def write(proxy: Proxy, config: dict[str, Any]) -> None:
    (proxy.folder / "proxy.yaml").write_text(yaml.safe_dump(config))


def test_files_that_change_are_read_again(start: Starter, demo: DemoProvider) -> None:
    (start_with, then) = (with_slot(demo, name) for name in ("memory", "dreams"))
    proxy = start(Proxy, start_with)
    assert (ask(proxy, chat("memory")).status, ask(proxy, chat("dreams")).status) == (200, 400)
    write(proxy, then)
    eventually(lambda: ask(proxy, chat("dreams")).status == 200, "the new slot serves")
    assert ask(proxy, chat("memory")).status == 400
    # What cannot be read changes nothing, and is told once.
    (proxy.folder / "proxy.yaml").write_text("providers: [")
    record = proxy.record("Configuration not reloaded, the old one serves on")
    assert "proxy.yaml:1" in record["problems"]
    assert ask(proxy, chat("dreams")).status == 200
    write(proxy, with_slot(demo, "memory", watch=False))
    eventually(lambda: ask(proxy, chat("memory")).status == 200, "it is read again once it is mended")
    assert proxy.stop() == 0
    assert len(proxy.records("Configuration not reloaded, the old one serves on")) == 1
    assert len(proxy.records("Configuration reloaded")) == 2


def test_the_file_of_keys_too(start: Starter, demo: DemoProvider) -> None:
    config = config_for(demo, {"watch": True}, api_key_env="GUARDS_KEY")
    proxy = start(Keyed, config)
    assert ask(proxy, chat("combat")).status == 200
    (proxy.folder / ".env").write_text("GUARDS_KEY=sk-another-key-of-the-guards\n")
    proxy.record("Configuration reloaded")
    assert ask(proxy, chat("combat")).status == 200
    assert demo.requests(1)[0]["headers"]["authorization"] == "Bearer sk-another-key-of-the-guards"


class Keyed(Proxy):
    """skyproxy with a ``.env`` beside its configuration."""

    def __init__(self, cwd: Any, config: dict[str, Any]) -> None:
        (cwd / ".env").write_text("GUARDS_KEY=sk-one-key-of-the-guards\n")
        super().__init__(cwd, config)
