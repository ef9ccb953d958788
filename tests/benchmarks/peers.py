"""Other gateways, each in a folder of its own: Portkey and LiteLLM."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.benchmarks.machine import Tools
from tests.benchmarks.processes import Server, free_port, start
from tests.benchmarks.servers import Servers
from tests.e2e.processes import environment

_PORTKEY = "node/node_modules/@portkey-ai/gateway"
_LITELLM = "litellm/bin/litellm"
_SLOW_START = 120.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A gateway that runs.

    :ivar headers: what each request must bring.
    """

    name: str
    server: Server
    headers: Mapping[str, str] = field(default_factory=dict)


def install(folder: Path) -> None:
    """Fetch them, and autocannon, from npm and PyPI.

    :raise CalledProcessError: npm or pip failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    npm = ["npm", "install", "--prefix", str(folder / "node"), "--no-audit", "--no-fund"]
    pip = [str(folder / "litellm/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [*npm, "autocannon", "@portkey-ai/gateway"],
        [sys.executable, "-m", "venv", str(folder / "litellm")],
        [*pip, "litellm[proxy]"],
    ):
        print("$", *command, flush=True)
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def missing(folder: Path, tools: Tools) -> list[str]:
    """Those that cannot be started."""
    gone = []
    if tools.node is None or not (folder / _PORTKEY).is_dir():
        gone.append("Portkey (--peers)")
    if not (folder / _LITELLM).exists():
        gone.append("LiteLLM (--peers)")
    return gone


def versions(folder: Path) -> list[tuple[str, str]]:
    """Of those that are there."""
    found = []
    package = folder / _PORTKEY / "package.json"
    if package.is_file():
        found.append(("Portkey", str(yaml.safe_load(package.read_text())["version"])))
    for info in (folder / "litellm").glob("lib/*/site-packages/litellm-*.dist-info"):
        found.append(("LiteLLM", info.name.removesuffix(".dist-info").partition("-")[2]))
    return found


def start_peers(folder: Path, tools: Tools, servers: Servers, upstream: int) -> list[Peer]:
    """Those that are there, in front of a port of loopback.

    :raise NotStarted: one does not serve.
    """
    base_url = f"http://127.0.0.1:{upstream}/v1"
    peers = []
    if tools.node is not None and (folder / _PORTKEY).is_dir():
        port = free_port()
        command = [tools.node, str(folder / _PORTKEY / "build/start-server.js"), f"--port={port}", "--headless"]
        env = environment(NODE_ENV="production", TRUSTED_CUSTOM_HOSTS="127.0.0.1,localhost")
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": base_url}
        server = servers.started(start("portkey", command, port, servers.folder, env, _SLOW_START))
        peers.append(Peer("Portkey", server, headers))
    if (folder / _LITELLM).exists():
        port = free_port()
        settings = {"model": "openai/guard", "api_base": base_url, "api_key": "x"}
        config = servers.folder / "litellm.yaml"
        config.write_text(yaml.safe_dump({"model_list": [{"model_name": "default", "litellm_params": settings}]}))
        command = [str(folder / _LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        key = f"sk-{secrets.token_hex(32)}"  # without one it does not start
        env = environment(
            LITELLM_MASTER_KEY=key, LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="ERROR", HOME=str(servers.folder)
        )
        env.pop("PYTHONPATH")
        server = servers.started(
            start("litellm", [*command, "--num_workers", "1"], port, servers.folder, env, _SLOW_START)
        )
        peers.append(Peer("LiteLLM", server, {"Authorization": f"Bearer {key}"}))
    return peers
