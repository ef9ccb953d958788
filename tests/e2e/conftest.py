"""Processes for the tests: started once for a module, and ended by their own ids."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from compileall import compile_dir
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from tests.e2e.findings import Findings
from tests.e2e.forks import SWITCH, ForkServer
from tests.e2e.processes import PATIENCE, ROOT, TWISTD, DemoProvider, Process, Proxy, environment

Starter = Callable[..., Any]

LONGEST = (
    "shared_limits", "workers", "upgrade", "windows", "page_rare", "page_views", "access", "cache", "resilience",
    "page", "start", "workers_shares", "docs_lines", "trust", "actions", "commands_running", "server_wire",
    "page_costs", "commands_faults", "with_game", "page_actions", "activation", "command", "in_front", "prometheus",
    "budgets", "names", "limits", "commands", "page_login", "page_setup", "timelines", "proxies", "costs",
    "page_guides", "tokens", "tls_upstream", "workers_flights", "deploy", "workers_marks",
)  # fmt: skip
"""Files that take longest, by what follows ``test_``. They begin first, so that none is left when all others have
ended."""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile all modules before any process is kept from writing: one whose files are limited, as tests limit them,
    leaves half of a module's compiled form, which no later process can read.
    """
    if not hasattr(session.config, "workerinput") and not sys.dont_write_bytecode:
        compile_dir(ROOT / "skyproxy", quiet=1)


def starter(folder: Path) -> Iterator[Starter]:
    """Starts processes, also by several threads, each in a folder of its own below *folder*; ends them when it is
    resumed, or closed."""
    started: list[Process] = []

    def start(kind: type[Process], *arguments: Any, **options: Any) -> Any:
        process = kind.__new__(kind)
        # Before it is there: one that never says that it listens is a child, too.
        started.append(process)
        process.__init__(Path(mkdtemp(prefix="process", dir=folder)), *arguments, **options)  # type: ignore[misc]
        return process

    try:
        yield start
    finally:
        for process in reversed(started):
            if hasattr(process, "child"):
                process.kill()


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer | None]:
    """Starts processes by fork; None: they are fresh interpreters, as is the way of other systems than Linux."""
    if sys.platform != "linux" or os.environ.get(SWITCH) == "0":
        yield None
        return
    server = ForkServer(environment(), TWISTD, ROOT)
    yield server
    server.close()


@pytest.fixture(scope="module", autouse=True)
def forks(request: pytest.FixtureRequest, fork_server: ForkServer | None) -> Iterator[None]:
    """Processes are forked, unless ``pytestmark`` says that the module's are to be fresh."""
    Process.forks = None if request.node.get_closest_marker("fresh") else fork_server
    yield
    Process.forks = None


@pytest.fixture(autouse=True)
def fresh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test that is marked as ``fresh`` starts is a fresh interpreter: it is about the start itself."""
    if request.node.get_closest_marker("fresh"):
        monkeypatch.setattr(Process, "forks", None)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts processes that end with the test: ``start(Proxy, config)``."""
    yield from starter(tmp_path)


@pytest.fixture(scope="module")
def start_for_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Starts processes that end with the module."""
    yield from starter(tmp_path_factory.mktemp("module"))


@pytest.fixture(scope="module")
def demo(start_for_module: Starter) -> DemoProvider:
    """A demo provider with its control paths."""
    provider: DemoProvider = start_for_module(DemoProvider)
    return provider


@pytest.fixture(scope="module")
def proxy(start_for_module: Starter, demo: DemoProvider) -> Proxy:
    """skyproxy before *demo*."""
    process: Proxy = start_for_module(Proxy, config_for(demo))
    return process


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[socket.socket]:
    """Where a supervisor such as systemd is told how it goes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(PATIENCE)
        yield channel


@pytest.fixture
def findings(record_property: Callable[[str, object], None]) -> Findings:
    """Takes down figures."""
    return Findings(record_property)


def config_for(demo: DemoProvider, proxy: dict[str, Any] | None = None, **provider: Any) -> dict[str, Any]:
    """A configuration with *demo* as its one provider, asked once, whatever it answers."""
    plain = {
        "base_url": demo.base_url, "dialect": "local", "max_concurrent": 25, "max_retries": 0, "breaker": "off",
        "adaptive": False,
    }  # fmt: skip
    return {
        "proxy": {"drain_timeout": "2s", **(proxy or {})},
        "providers": {"demo": {**plain, **provider}},
        "model_slots": {
            "default": {"provider": "demo", "model": "guard"},
            "combat": {"provider": "demo", "model": "guard;delay=0", "params": {"temperature": 0.7}},
        },
    }


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest first; within a file the order is kept."""
    places = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_configure(config: pytest.Config) -> None:
    """Name the marks of these tests."""
    config.addinivalue_line("markers", "fresh: each process is a fresh interpreter, for the test is about the start")
