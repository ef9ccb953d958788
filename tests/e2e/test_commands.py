"""The command ``skyproxy``, as a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import urllib.request
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.e2e.commands import PROGRAM, Run, skyproxy, written
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, ROOT, DemoProvider, Process, environment, eventually
from tests.e2e.raw import ask, chat, open_request, read_all


@pytest.mark.parametrize("reactor", ["select", None])
def test_run_says_what_it_is_and_ctrl_c_drains(
    start: Starter, demo: DemoProvider, tmp_path: Path, reactor: str | None
) -> None:
    config = config_for(demo)
    config["providers"]["keyless"] = {"base_url": "http://127.0.0.1:1/v1", "api_key_env": "NOBODY_API_KEY"}
    config["model_slots"]["diary"] = {"provider": "keyless", "model": "m"}
    path = written(tmp_path, config)
    run = start(Run, "--config", str(path), *(("--reactor", reactor) if reactor else ()))
    eventually(lambda: len(run.output) >= 7, "seven lines")
    parts = (
        "serves at http",
        "/v1/chat/completions",
        f"The page:       {run.base_url.removesuffix('/v1')}/",
        str(path),
        "diary by keyless:m",
        "NOBODY_API_KEY for keyless",
        "skyproxy chat",
    )
    lines = [line for line in run.output if not line.startswith("20")]  # those of the log begin with a date
    for line, part in zip(lines, parts, strict=True):
        assert part in line, run.output
    connection = open_request(run, chat("demo:guard;first=1"))
    eventually(lambda: demo.stats()["active"] == 1, "the request is under way")
    run.child.send_signal(signal.SIGINT)
    assert b"200 OK" in read_all(connection)
    assert run.wait() == 0
    assert not [line for line in run.output if "Traceback" in line]


@pytest.mark.skipif(sys.platform == "win32", reason="BROWSER names a program by a POSIX shell's rules")
def test_run_opens_the_page_once_it_serves(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    path, opened = written(tmp_path, config_for(demo)), tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf "%s" "$1" > {opened}\n')
    browser.chmod(0o755)
    run = start(Run, "--config", str(path), "--open", env={"BROWSER": str(browser)})
    eventually(lambda: opened.exists() and opened.read_text(), "the browser was started")
    with urllib.request.urlopen(opened.read_text(), timeout=PATIENCE) as page:
        assert b"<title>skyproxy</title>" in page.read()
    browser.write_text("#!/bin/sh\nexit 1\n")
    other = start(Run, "--config", str(path), "--open", env={"BROWSER": "", "DISPLAY": "", "WAYLAND_DISPLAY": ""})
    told = other.wait_for(r"--open: no browser could be started here\. Type (\S+) into one")
    assert told.group(1) == other.base_url.removesuffix("v1")
    assert run.stop(signal.SIGINT) == other.stop(signal.SIGINT) == 0


def test_run_tells_what_it_cannot_use(tmp_path: Path) -> None:
    written(tmp_path, {"providers": {"x": {"base_url": "127.0.0.1"}}})
    done = skyproxy(tmp_path, "run")
    assert done.returncode == 1 and "skyproxy.yaml:3: providers.x.base_url" in done.stderr
    done = skyproxy(tmp_path, "run", "--lisen", "1")
    assert done.returncode == 2 and "--listen" in done.stderr


def test_from_a_key_to_an_answer(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    folder = tmp_path / "none" / "skyproxy"
    key = "sk-or-v1-" + "0f" * 32
    done = skyproxy(
        tmp_path, "init", "--key-stdin", "--yes", "--no-local", "--base-url", demo.base_url, typed=f"{key}\n"
    )
    assert done.returncode == 0, done.stderr
    assert "That is a key of OpenRouter." in done.stdout and f"wrote {folder / 'skyproxy.yaml'}" in done.stdout
    assert done.stdout.endswith("Next: skyproxy check --live, then skyproxy run\n")
    assert key not in done.stdout + done.stderr + (folder / "skyproxy.yaml").read_text()
    assert (folder / ".env").stat().st_mode & 0o077 == 0
    assert json.loads(skyproxy(tmp_path, "check", "--json").stdout)["good"]
    run = start(Run, "--config", str(folder))
    demo.reset()
    done = skyproxy(tmp_path, "chat", "AgentDefault", "Hello", "--url", run.base_url)
    assert done.returncode == 0 and done.stdout.strip()
    assert demo.stats()["total"] == 1
    again = skyproxy(
        tmp_path, "init", "--key-stdin", "--yes", "--no-local", "--base-url", demo.base_url, typed=f"{key}\n"
    )
    assert again.returncode == 1 and "is not replaced" in again.stderr


def test_init_without_what_it_needs(demo: DemoProvider, tmp_path: Path) -> None:
    done = skyproxy(tmp_path, "init", "--no-local")
    assert done.returncode == 1 and "--provider openrouter --key-stdin --yes" in done.stderr
    done = skyproxy(tmp_path, "init", "--provider", "openrouter", "--yes")
    assert done.returncode == 1 and "--key-stdin" in done.stderr
    done = skyproxy(tmp_path, "init", "--provider", "openrouter", "--key-stdin", typed="Bearer sk-or-v1-x\n")
    assert done.returncode == 1 and "leave out 'Bearer'" in done.stderr
    done = skyproxy(tmp_path, "init", "--provider", "openrouter", "--key-stdin", typed="\n")
    assert done.returncode == 1 and "no key came: pipe it" in done.stderr
    done = skyproxy(tmp_path, "init", "--provider", "openrouter", "--key-stdin", "--base-url", "x/v1", typed="k\n")
    assert done.returncode == 2 and "--base-url must be a URL that begins with http" in done.stderr
    done = skyproxy(
        tmp_path, "init", "--provider", "mistral", "--key-stdin", "--base-url", "http://127.0.0.1:1", typed="abc\n"
    )
    assert done.returncode == 1 and "no list of models" in done.stderr and "abc" not in done.stderr
    assert skyproxy(tmp_path, "init", "--provider", "nobody").returncode == 2
    assert not (tmp_path / "none").exists()


def test_init_imports(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "model_list:\n  - {model_name: default, litellm_params: {model: groq/llama, api_key: gsk_x}}\n"
    )
    done = skyproxy(tmp_path, "init", "--import", "config.yaml", "--dir", "new")
    assert done.returncode == 0, done.stderr
    named = f"--config {tmp_path / 'new'}"
    assert done.stdout.endswith(f"Next: skyproxy check --live {named}, then skyproxy run {named}\n")
    told = json.loads(skyproxy(tmp_path, "check", "--config", "new", "--json").stdout)
    assert told["good"] and told["slots"] == [
        {"slot": "default", "provider": "groq", "model": "llama", "key": "GROQ_API_KEY"}
    ]
    done = skyproxy(tmp_path, "init", "--import", "nothing.yaml", "--dir", "other")
    assert done.returncode == 1 and "there is no" in done.stderr and not (tmp_path / "other").exists()


def test_check(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {
            "providers": {"a": {"base_url": "http://127.0.0.1:1/v1", "api_key_env": "A_API_KEY"}},
            "model_slots": {"default": {"provider": "a", "model": "m"}},
            "proxy": {"listen": 0, "log_file": "skyproxy.yaml"},
        },
    )
    done = skyproxy(tmp_path, "check")
    assert done.returncode == 1
    assert "A_API_KEY is not set" in done.stdout
    assert "set A_API_KEY" in done.stderr and "it is no log of skyproxy's" in done.stderr
    path.write_text(path.read_text().replace("skyproxy.yaml", "nowhere/x.log"))
    (tmp_path / ".env").write_text("A_API_KEY=sk-something\n")
    done = skyproxy(tmp_path, "check", "--config", str(path), "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and told["good"] and told["errors"] == []
    assert told["slots"] == [{"slot": "default", "provider": "a", "model": "m", "key": "A_API_KEY"}]
    assert "sk-something" not in done.stdout + done.stderr
    path.write_text("providers: {a: {base_url: 'http://127.0.0.1:1', max_concurent: 3}}\n")
    done = skyproxy(tmp_path, "check")
    assert done.returncode == 1 and "did you mean 'max_concurrent'?" in done.stderr
    assert not (tmp_path / "nowhere").exists(), "a check leaves nothing behind"
    path.write_text("model_list: [{model_name: x, litellm_params: {model: openai/x}}]\n")
    done = skyproxy(tmp_path, "check")
    assert done.returncode == 1 and "skyproxy init --import reads it" in done.stderr
    path.write_text(
        "providers: {a: {base_url: 'http://127.0.0.1:1/v1'}}\nmodel_slots: {combat: {provider: a, model: m}}\n"
    )
    done = skyproxy(tmp_path, "check")
    assert done.returncode == 0 and "SkyrimNet also asks for default, action_evaluation" in done.stdout


class Provider(BaseHTTPRequestHandler):
    """A provider that refuses all keys but one, and has one model."""

    def do_GET(self) -> None:
        good = self.headers["Authorization"] == "Bearer the-right-key"
        self._send(
            200 if good else 401, {"data": [{"id": "good-model"}]} if good else {"error": {"message": "bad key"}}
        )

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._send(200, {"choices": [{"message": {"content": "yes"}, "finish_reason": "length"}]})

    def _send(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing."""


def test_check_asks_the_providers(demo: DemoProvider, tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        own = f"http://127.0.0.1:{server.server_port}/v1"
        config = {
            "providers": {
                "mine": {"base_url": own, "api_key_env": "MINE_API_KEY"},
                "open": {"base_url": demo.base_url, "api_key_env": "OPEN_API_KEY"},
                "gone": {"base_url": "http://127.0.0.1:1/v1"},
            },
            "model_slots": {
                "default": {"provider": "mine", "model": "good-model"},
                "combat": {"provider": "open", "model": "guard;delay=0"},
            },
        }
        written(tmp_path, config)
        (tmp_path / ".env").write_text("MINE_API_KEY=the-right-key\nOPEN_API_KEY=any-other-key\n")
        demo.reset()
        done = skyproxy(tmp_path, "check", "--live", "--json")
        told = json.loads(done.stdout)
        assert [slot["answer"] for slot in told["slots"]] == [
            "good",
            "not tested (its list of models is open to every key)",
        ]
        assert {each["method"] for each in demo.requests(10)} == {"GET"}, "no request that spends tokens"
        done = skyproxy(tmp_path, "check", "--live", "--tokens")
        assert " ms" in done.stdout and "right-key" not in done.stdout + done.stderr
        config["model_slots"]["default"]["model"] = "god-model"
        config["model_slots"]["memory"] = {"provider": "gone", "model": "m"}
        written(tmp_path, config)
        (tmp_path / ".env").write_text("MINE_API_KEY=the-right-key\nOPEN_API_KEY=any-other-key\n")
        done = skyproxy(tmp_path, "check", "--live")
        assert done.returncode == 1 and "lists no model god-model: did you mean good-model?" in done.stderr
        assert "provider gone: no answer" in done.stderr
        (tmp_path / ".env").write_text("MINE_API_KEY=a-wrong-key\nOPEN_API_KEY=any-other-key\n")
        done = skyproxy(tmp_path, "check", "--live")
        assert done.returncode == 1 and "provider mine: MINE_API_KEY: refused: status 401\n" in done.stderr
        config["providers"] = {"openrouter": config["providers"]["mine"]}
        config["model_slots"] = {"default": {"provider": "openrouter", "model": "good-model"}}
        written(tmp_path, config)
        (tmp_path / ".env").write_text("MINE_API_KEY=a-wrong-key\n")
        refused = "refused: status 401; make another key at https://openrouter.ai/settings/keys\n"
        assert refused in skyproxy(tmp_path, "check", "--live").stderr
        assert skyproxy(tmp_path, "check", "--tokens").returncode == 2
    finally:
        server.shutdown()
        server.server_close()


def test_bug_report(tmp_path: Path) -> None:
    config = {
        "proxy": {"log_file": "x.log"},
        "providers": {
            "a": {
                "base_url": "http://127.0.0.1:1/v1",
                "api_key_env": "A_API_KEY",
                "headers": {"X-Api-Key": "literal-secret", "X-Title": "mine"},
                "proxy_url": "http://me:pass-secret@127.0.0.1:3128",
            }
        },
        "model_slots": {"default": {"provider": "a", "model": "m", "params": {"max_tokens": 77}}},
    }
    written(tmp_path, config)
    (tmp_path / ".env").write_text("A_API_KEY=the-secret-key\n")
    head = '{"timestamp":"2026-12-01T00:00:00.000Z","level":"INFO","message":'
    (tmp_path / "x.log").write_text(f'{head}"one"}}\n{head}"it said the-secret-key and sk-or-v1-secret00"}}\n')
    done = skyproxy(tmp_path, "bug-report", "-o", "report.zip", typed="n\n")
    assert done.returncode == 1 and not (tmp_path / "report.zip").exists()
    done = skyproxy(tmp_path, "bug-report", "-o", "report.zip", "--yes")
    assert os.name == "nt" or (tmp_path / "report.zip").stat().st_mode & 0o777 == 0o600
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        parts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(parts) == {"versions.txt", "check.json", "configuration-0-skyproxy.yaml", "log.jsonl"}
    slot = {"slot": "default", "provider": "a", "model": "m", "variables": "A_API_KEY"}
    assert json.loads(parts["check.json"])["slots"] == [slot]
    whole = "".join(parts.values())
    assert "secret" not in (whole + done.stdout).replace("[redacted]", ""), whole
    for kept in (
        "api_key_env: A_API_KEY",
        "X-Title: mine",
        "max_tokens: 77",
        '"message":"one"',
        "Twisted 2",
        '"good": true',
    ):
        assert kept in whole, kept
    for name, text in parts.items():
        assert f"--- {name} ({len(text)} characters)" in done.stdout
    # As Notepad and PowerShell may write it: keys are found in there, too.
    (tmp_path / "skyproxy.yaml").write_bytes((tmp_path / "skyproxy.yaml").read_text().encode("utf-16"))
    done = skyproxy(tmp_path, "bug-report", "-o", "utf-16.zip", "--yes")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "utf-16.zip") as archive:
        told = archive.read("configuration-0-skyproxy.yaml").decode()
    assert told == parts["configuration-0-skyproxy.yaml"]
    done = skyproxy(tmp_path, "bug-report", "-o", "report.zip", "--yes")
    assert done.returncode == 1 and "is not replaced" in done.stderr


def test_check_looks_at_the_port(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    env = {"XDG_RUNTIME_DIR": str(runtime)}
    with socket.create_server(("127.0.0.1", 0)) as other:
        path = written(tmp_path, config_for(demo, {"listen": f"tcp:{other.getsockname()[1]}:interface=127.0.0.1"}))
        done = skyproxy(tmp_path, "check", env=env)
        assert done.returncode == 1 and "the port is in use" in done.stderr
    assert skyproxy(tmp_path, "check", env=env).returncode == 0
    address = path.read_text().partition("listen: ")[2].partition("\n")[0]
    run = start(Run, "--config", str(path), "--listen", address, env=env)
    done = skyproxy(tmp_path, "check", env=env)
    assert done.returncode == 0 and "serves by this configuration already" in done.stdout, done.stderr
    told = json.loads(skyproxy(tmp_path, "check", "--json", env=env).stdout)
    assert told["good"] and str(run.child.pid) in told["notes"][0]
    assert ask(run, chat("combat")).json()["choices"], "it serves on"
    another = tmp_path / "another.yaml"
    another.write_text(path.read_text())
    done = skyproxy(tmp_path, "check", "--config", "another.yaml", env=env)
    assert done.returncode == 1 and f"skyproxy stop --pid {run.child.pid}" in done.stderr
    done = skyproxy(tmp_path, "check", env={"XDG_RUNTIME_DIR": str(tmp_path / "nobody")})
    assert done.returncode == 0 and "a skyproxy of another user serves there" in done.stdout


def test_schema(tmp_path: Path) -> None:
    done = skyproxy(tmp_path, "schema")
    schema = json.loads(done.stdout)
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    sample = ROOT / "skyproxy" / "config" / "sample"
    parts = [yaml.safe_load((sample / name).read_text("utf-8")) for name in ("providers.yaml", "routes.yaml")]
    good = {**parts[0], **parts[1]}
    assert list(validator.iter_errors(good)) == []
    assert list(validator.iter_errors(yaml.safe_load((sample.parent / "default.yaml").read_text("utf-8")))) == []
    for bad in (
        {"providers": {"x": {"base_url": "http://x", "max_concurent": 1}}},
        {"providers": {"x": {"base_url": "http://x"}}, "modelslots": {}},
        {"providers": {"x": {}}},
        {"providers": {"x": {"base_url": "http://x", "http2": 3}}},
        {"providers": {}},
    ):
        assert list(validator.iter_errors(bad)), bad


def test_help_version_and_what_there_is_not(tmp_path: Path) -> None:
    done = skyproxy(tmp_path, "--help")
    assert done.returncode == 0
    told = skyproxy(tmp_path, "run", "--help")
    assert told.returncode == 0 and "--help" in told.stdout
    done = skyproxy(tmp_path, "--version")
    assert done.returncode == 0 and done.stdout.startswith("skyproxy 0.") and "\nTwisted 2" in done.stdout
    assert skyproxy(tmp_path, "rum").returncode == 2
    assert skyproxy(tmp_path, "chat").returncode == 2


def test_demo(tmp_path: Path) -> None:
    process = Process([*PROGRAM, "demo"], tmp_path, environment())
    url = process.wait_for(r"listening on (http\S+)").group(1)
    done = skyproxy(tmp_path, "chat", "guard", "Hello", "--url", url)
    assert done.returncode == 0 and done.stdout.strip()
    assert process.stop(signal.SIGTERM if os.name != "nt" else signal.SIGINT) == 0


def test_what_happened_in_plain_words(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    env = {"XDG_RUNTIME_DIR": str(runtime), "MY_API_KEY": "sk-wrong-wrong-wrong"}
    config = config_for(demo, api_key_env="MY_API_KEY")
    config["model_slots"]["default"]["model"] = "guard;status=401"
    path = written(tmp_path, config)
    run = start(Run, "--config", str(path), env=env)
    assert ask(run, chat("default"), {"X-Request-Id": "refused/1"}).status == 401
    sentence, advice = "demo refuses your key.", "» Check MY_API_KEY; give Dialogue a fallback."
    done = skyproxy(tmp_path, "logs", "--request", "refused/1", env=env)
    assert done.returncode == 0 and done.stdout.startswith(sentence) and advice in done.stdout, done
    assert "+0.00 arrived for Dialogue" in done.stdout and "there is no other key" in done.stdout
    for command in ("status", "top"):
        told = skyproxy(tmp_path, command, env=env).stdout
        assert "demo refuses your key MY_API_KEY." in told and "Check it in the environment" in told, told
    told = json.loads(skyproxy(tmp_path, "status", "--json", env=env).stdout)
    assert told["now"]["sentence"]["code"] == "key_invalid"
    connection = open_request(run, chat("demo:guard;first=30"))
    eventually(lambda: "demo was asked" in skyproxy(tmp_path, "top", env=env).stdout, "it is shown under way")
    connection.close()
    done = skyproxy(tmp_path, "bug-report", "-o", "report.zip", "--yes", env=env)
    assert done.returncode == 0, done
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        state, requests = archive.read("state-0.txt").decode(), archive.read("requests-0.txt").decode()
    assert "demo refuses your key MY_API_KEY." in state and sentence in requests and advice in requests
    assert "sk-wrong" not in state + requests + done.stdout
    assert run.stop() == 0
    done = skyproxy(tmp_path, "logs", "--request", "refused/1", env=env)
    assert done.returncode == 1 and "has no log_file" in done.stderr
