"""`twistd skyproxy` as a person starts it."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import (
    LOOPBACK,
    PATIENCE,
    TWISTD,
    DemoProvider,
    Process,
    Proxy,
    environment,
    eventually,
    run_to_end,
)
from tests.e2e.raw import ask, chat


def run(cwd: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A start that is meant to end by itself."""
    command = [TWISTD, "-n", "--pidfile", "", "skyproxy", *arguments]
    return run_to_end(command, cwd, environment(HOME=str(cwd), **(env or {})))


@pytest.mark.fresh
def test_embedded_default_serves_at_once(start: Starter) -> None:
    proxy = start(Proxy)
    answer = ask(proxy, chat("whatever-SkyrimNet-sends"))
    assert answer.status == 200 and answer.json()["choices"][0]["message"]["content"]
    stream = ask(proxy, chat("combat", stream=True))
    assert stream.body.endswith(b"data: [DONE]\n\n")
    assert any("embedded default" in line for line in proxy.output)
    command = next(line for line in proxy.output if "curl" in line)
    if not shutil.which("bash") or not shutil.which("curl"):
        pytest.skip("There is no bash with curl to try the line with.")
    shown = subprocess.run(
        ["bash", "-c", command[command.index("curl") :]], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert "data: [DONE]" in shown.stdout


def test_twistd_knows_it_as_it_was_installed(tmp_path: Path) -> None:
    installed = environment()
    del installed["PYTHONPATH"]
    shown = subprocess.run(
        [TWISTD, "skyproxy", "--help"], cwd=tmp_path, env=installed, capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert shown.returncode == 0 and "--listen" in shown.stdout, shown.stderr


def test_foreground_shows_the_same_events_readably(start: Starter) -> None:
    proxy = start(Proxy)
    ask(proxy, chat())
    proxy.record("Upstream request completed")
    eventually(
        lambda: any("Upstream request completed" in line and "provider=demo" in line for line in proxy.output),
        "the record is shown",
    )


def test_original_files_as_they_are(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    folder = tmp_path / "original"
    folder.mkdir()
    providers = {
        "proxy": {"listen_address": "127.0.0.1", "listen_port": 0, "log_level": "info", "log_file": "proxy.log"},
        "providers": {
            "demo": {
                "base_url": demo.base_url + "/chat/completions",
                "api_key_env": "DEMO_API_KEY",
                "auth_header": "Authorization: Bearer ${API_KEY}",
                "allowed_fields": ["model", "messages", "temperature", "stream"],
                "streaming_adapter": "openai",
                "default_timeout": "60s",
                "max_retries": 0,
            }
        },
    }
    routes = {
        "model_slots": {"default": {"provider": "demo", "model": "guard", "enable_reasoning": False}},
        "proxy": {"fallback_to_default": True},
    }
    (folder / "providers.yaml").write_text(yaml.safe_dump(providers))
    (folder / "routes.yaml").write_text(yaml.safe_dump(routes))
    (folder / ".env").write_text("DEMO_API_KEY=from-dot-env\n")
    proxy = start(Proxy, None, "--config", str(folder))
    assert ask(proxy, chat("GameMaster", top_k=4, temperature=1)).status == 200
    # Besides, it is asked what it is.
    (received,) = [each for each in demo.requests(3) if each["method"] == "POST"]
    assert received["headers"]["authorization"] == "Bearer from-dot-env"
    assert "top_k" not in received["body"] and received["body"]["temperature"] == 1
    dropped = proxy.record("Dropped fields the provider does not know")
    assert dropped["level"] == "DEBUG" and dropped["fields"] == ["top_k"]


def test_configuration_is_found_where_it_is_looked_for(demo: DemoProvider, tmp_path: Path, start: Starter) -> None:
    for number, place in enumerate(("skyproxy.yaml", "config/providers.yaml", ".config/skyproxy/skyproxy.yaml")):
        home = tmp_path / f"home{number}"
        file = home / place
        file.parent.mkdir(parents=True)
        config = config_for(demo)
        if place.startswith("config/"):
            (file.parent / "routes.yaml").write_text(yaml.safe_dump({"model_slots": config.pop("model_slots")}))
        file.write_text(yaml.safe_dump(config))
        process = Process(
            [TWISTD, "-n", "--pidfile", "", "skyproxy", "--listen", LOOPBACK], home, environment(HOME=str(home))
        )
        try:
            shown = process.wait_for(r"Configuration: (.*)").group(1)
            assert Path(place).parts[-1] in shown or str(file.parent) in shown
        finally:
            assert process.stop() == 0


def test_all_that_is_wrong_at_once(tmp_path: Path) -> None:
    (tmp_path / "skyproxy.yaml").write_text(
        "providers:\n  demo:\n    base_url: http://127.0.0.1:1/v1\n    max_concurent: 5\n    connect_timeout: soon\n"
        "model_slots:\n  default: {provider: dmo, model: guard}\n"
    )
    done = run(tmp_path)
    assert done.returncode != 0
    shown = done.stdout + done.stderr
    assert "Traceback" not in shown
    for expected in (
        r"skyproxy\.yaml:4.*providers\.demo\.max_concurent.*max_concurrent",
        r"skyproxy\.yaml:5.*providers\.demo\.connect_timeout",
        r"skyproxy\.yaml:7.*model_slots\.default\.provider.*demo",
    ):
        assert re.search(expected, shown), (expected, shown)


def test_what_cannot_start_says_so_in_one_line(tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    for arguments, expected in (
        (["--config", "missing.yaml"], "missing.yaml"),
        (["--listen", f"tcp:{port}:interface=127.0.0.1"], str(port)),
        (["--listen", "ssl:0:privateKey=missing.pem:certKey=missing.pem"], "missing.pem"),
        (["--listen", "nonsense"], "proxy.listen"),
        (["--log-level", "loud"], "proxy.log_level"),
        (["--log-file", "/proc/nowhere/x.log"], "/proc/nowhere"),
        (["--no-such-option"], "no-such-option"),
    ):
        done = run(tmp_path, *arguments)
        shown = (done.stdout + done.stderr).strip()
        assert done.returncode != 0, arguments
        assert expected in shown and "Traceback" not in shown, (arguments, shown)
    taken.close()


def certificate(folder: Path) -> Path:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*shlex.split(command), *names], cwd=folder, check=True, capture_output=True)
    return folder


def test_listening_with_tls(start: Starter, tmp_path: Path) -> None:
    folder = certificate(tmp_path)
    endpoint = f"ssl:0:interface=127.0.0.1:privateKey={folder}/key.pem:certKey={folder}/cert.pem"
    proxy = start(Proxy, None, "--listen", endpoint)
    assert proxy.base_url.startswith("https://")
    trust = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    with urllib.request.urlopen(proxy.origin + "/healthz", context=trust, timeout=PATIENCE) as answer:
        assert json.loads(answer.read())["status"] == "ok"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no daemons here")
def test_daemon(tmp_path: Path, demo: DemoProvider) -> None:
    port_finder = socket.create_server(("127.0.0.1", 0))
    port = port_finder.getsockname()[1]
    port_finder.close()
    # The log and the kept answers each have a thread, which the process must not begin before it has forked.
    kept = config_for(demo, {"cache": {"path": "answers.sqlite"}}, cache={"store": "sqlite"})
    kept["providers"]["keyless"] = {"base_url": demo.base_url, "api_key_env": "NO_SUCH_KEY"}
    kept["model_slots"]["keyless"] = {"provider": "keyless", "model": "guard"}
    (tmp_path / "skyproxy.yaml").write_text(yaml.safe_dump(kept))
    listen = f"tcp:{port}:interface=127.0.0.1"
    done = subprocess.run(
        [TWISTD, "--pidfile", "proxy.pid", "skyproxy", "--listen", listen, "--log-file", "proxy.jsonl"],
        cwd=tmp_path, env=environment(HOME=str(tmp_path)), timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    pid = int(
        eventually(lambda: (tmp_path / "proxy.pid").exists() and (tmp_path / "proxy.pid").read_text(), "pid file")
    )
    try:

        def healthy() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        eventually(healthy, "the daemon answers")
        for expected in ("miss", "hit"):
            body = json.dumps(chat("combat")).encode()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1", body, PATIENCE) as answer:
                assert answer.headers["X-Skyproxy-Cache"] == expected
        assert "listens at" in eventually(
            lambda: (tmp_path / "twistd.log").exists() and (tmp_path / "twistd.log").read_text(), "twistd.log"
        )
        # A flood of refusals.
        flood = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        for _ in range(300):
            flood.request("POST", "/v1", json.dumps(chat("keyless")))
            refused = flood.getresponse()
            refused.read()
            assert refused.status == 503
        flood.close()
    finally:
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: not (tmp_path / "proxy.pid").exists(), "the daemon ends and takes its pid file with it")
    messages = [json.loads(line)["message"] for line in (tmp_path / "proxy.jsonl").read_text().splitlines()]
    assert "All connection pools closed" in messages
    assert messages.count("Request refused") == 300
    shown = (tmp_path / "twistd.log").read_text()
    assert 20 <= shown.count("Request refused") < 300 and "More requests fail than are shown here" in shown


def test_imports_where_there_is_no_fork_and_no_sighup(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "for name in ('fork', 'setsid', 'getuid'): delattr(os, name)\n"
        "for name in ('SIGHUP', 'SIGUSR1'): delattr(signal, name)\n"
        "import skyproxy.tap, skyproxy.process.service\n"
        "from twisted.internet import reactor\n"
        "options = skyproxy.tap.Options()\n"
        f"options.parseOptions(['--listen', '{LOOPBACK}'])\n"
        "service = skyproxy.tap.makeService(options, reactor)\n"
        "service.privilegedStartService(); service.startService()\n"
        "reactor.callLater(0.2, lambda: service.stopService().addCallback(lambda _: reactor.stop()))\n"
        "reactor.run(); print('served')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(HOME=str(tmp_path)),
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert "served" in done.stdout, done.stderr


def test_listening_again_soon_after_a_kill(start: Starter, demo: DemoProvider) -> None:
    first = start(Proxy, config_for(demo))
    listen = f"tcp:{first.address[1]}:interface=127.0.0.1"
    first.kill()
    began = time.monotonic()
    assert ask(start(Proxy, config_for(demo), "--listen", listen), chat()).status == 200
    assert time.monotonic() - began < PATIENCE
