"""Who may ask: keys, refusals, and what is open to whom; on processes."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from skyproxy.access.keys import hash_of, new_key
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, DemoProvider, Process, environment, eventually, run_to_end
from tests.e2e.raw import Answer, ask, call, chat, open_request, read_all, read_until
from tests.e2e.test_activation import AS_SYSTEMD
from tests.e2e.test_commands import PROGRAM, Run, skyproxy

MESSAGES = [{"role": "user", "content": "Who goes there?"}]


def state(folder: Path) -> dict[str, str]:
    """Where skyproxy and its commands keep their files."""
    return {"XDG_STATE_HOME": str(folder / "state")}


class Guarded:
    """skyproxy before a provider, in a folder of its own, and its commands."""

    def __init__(self, start: Starter, folder: Path, config: dict[str, Any], *options: str) -> None:
        self.folder = folder
        self.path = folder / "skyproxy.yaml"
        self.write(config)
        runtime = folder / "run"
        runtime.mkdir(mode=0o700)
        self.env = {"XDG_RUNTIME_DIR": str(runtime), **state(folder)}
        self.log = folder / "log.jsonl"
        given = ("--config", str(self.path), "--log-file", str(self.log), "--log-level", "debug", *options)
        self.run: Any = start(Run, *given, env=self.env)

    def write(self, config: dict[str, Any]) -> None:
        self.path.write_text(yaml.safe_dump(config, sort_keys=False))

    def command(self, *arguments: str, code: int = 0) -> Any:
        done = skyproxy(self.folder, *arguments, env=self.env)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done

    def key(self, *arguments: str) -> str:
        key: str = self.command("keys", "create", *arguments).stdout.strip()
        return key

    def get(self, path: str, key: str | None = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return call(self.run, "GET", path, None, {**sent, **({"Authorization": f"Bearer {key}"} if key else {})})

    def ask(self, key: str | None, model: str = "default", **fields: Any) -> Answer:
        return ask(self.run, chat(model, **fields), {"Authorization": f"Bearer {key}"} if key else {})

    def records(self, namespace: str = "skyproxy.audit") -> list[dict[str, Any]]:
        return [each for each in map(json.loads, self.log.read_text().split("\n")[:-1]) if each["logger"] == namespace]

    def told(self, message: str) -> list[dict[str, Any]]:
        return [each for each in self.records() if each["message"] == message]

    @property
    def store(self) -> Path:
        return Path(json.loads(self.command("keys", "list", "--json").stdout)["store"])


@pytest.fixture
def demo(start: Starter) -> DemoProvider:
    provider: DemoProvider = start(DemoProvider)
    return provider


@pytest.fixture
def guarded(start: Starter, demo: DemoProvider, tmp_path: Path) -> Guarded:
    return Guarded(start, tmp_path, config_for(demo))


def code(answer: Answer) -> str:
    found: str = answer.json()["error"]["code"]
    return found


def test_a_first_key_closes_the_door_and_the_last_one_that_is_revoked_does_not_open_it(guarded: Guarded) -> None:
    assert guarded.get("/v1/models").status == 200, "nobody is asked for a key yet"
    done = guarded.command("keys", "create", "lydia-pc", "--slots", "default", "--budget", "5/day")
    key = done.stdout.strip()
    assert re.fullmatch("sky-[0-9A-Za-z]{49}", key) and key not in done.stderr and "not shown again" in done.stderr
    refused = guarded.get("/v1/models")
    assert (refused.status, code(refused), refused.headers["www-authenticate"]) == (401, "invalid_api_key", "Bearer")
    assert [each["id"] for each in guarded.get("/v1/models", key).json()["data"]] == ["default"]
    assert guarded.ask(key).status == 200
    for model in ("combat", "demo:guard", "unheard of"):
        other = guarded.ask(key, model)
        assert (other.status, code(other)) == (404, "model_not_found") and "'default'" in other.body.decode()
        assert "combat" not in other.body.decode().replace(f"'{model}'", "")
    assert guarded.get("/v1/models/combat", key).status == 404
    for path in ("/healthz", "/readyz"):
        assert guarded.get(path).status == 200
    for path in ("/api/now", "/api/stats", "/metrics", "/api/events", "/api/setup", "/api/session", "/api/requests/x"):
        assert guarded.get(path).status == 401, path
        assert guarded.get(path, key).status == 401, f"{path} is not for clients"
    assert guarded.get("/").status == 200, "it shows nothing without its data"
    mode = stat.S_IMODE(guarded.store.stat().st_mode)
    assert mode == 0o600
    guarded.command("keys", "revoke", "lydia-pc")
    assert guarded.get("/v1/models", key).status == guarded.get("/v1/models").status == 401
    assert "Did you mean" not in guarded.command("keys", "revoke", "lydia-pc", code=1).stderr
    assert guarded.run.stop() == 0


def test_a_large_request_without_a_good_key_is_refused_by_its_head(guarded: Guarded) -> None:
    key = guarded.command("keys", "create", "lydia-pc").stdout.strip()
    metrics = guarded.command("keys", "create", "--metrics").stdout.strip()
    size = 9_000_000

    def sent(path: str, field: str, body: bytes = b"") -> tuple[bytes, socket.socket]:
        """What comes first, and the connection."""
        connection = socket.create_connection(guarded.run.address, PATIENCE)
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n{field}\r\n\r\n".encode() + body
        )
        return connection.recv(65536), connection

    length = f"Content-Length: {size}"
    for path in ("/v1/chat/completions", "/v1/embeddings?x=y", "/v1/"):
        for field in (
            length, f"Authorization: Bearer {metrics}\r\n{length}", f"x-api-key: wrong\r\n{length}",
            "Transfer-Encoding: chunked", "Content-Length: 5",
        ):  # fmt: skip
            first, connection = sent(path, field)
            assert first.startswith(b"HTTP/1.1 401 ") and b"Connection: close\r\n" in first, (path, field, first)
            while connection.recv(65536):
                pass
            connection.close()
    first, connection = sent("/v1/chat/completions", length, b"x" * 1000)
    assert first.startswith(b"HTTP/1.1 401 "), "it does not wait, and more comes"
    connection.sendall(b"x" * (size - 1000))
    connection.close()
    first, connection = sent("/v1/chat/completions", f"Authorization: Bearer {key}\r\n{length}")
    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.close()
    text = "x" * size
    assert guarded.ask(None, messages=[{"role": "user", "content": text}]).status == 401
    assert guarded.ask(key, messages=[{"role": "user", "content": text}]).status == 200


def test_a_key_that_was_typed_wrong_is_told_from_one_that_nobody_knows(guarded: Guarded) -> None:
    key = guarded.key("lydia")
    for wrong, meant in (
        (key[:-1], "52 characters instead of 53"),
        (key[:20] + ("x" if key[20] != "x" else "y") + key[21:], "typed wrong"),
        (new_key(), "nobody here knows it"),
        ("anything", "nobody here knows it"),
    ):
        answer = guarded.get("/v1/models", wrong)
        assert answer.status == 401 and meant in answer.json()["error"]["message"], wrong
        assert wrong not in answer.body.decode() or wrong == "anything"


def test_real_clients(guarded: Guarded, demo: DemoProvider) -> None:
    key = guarded.key("lydia")
    client = openai.OpenAI(base_url=guarded.run.base_url, api_key=key, max_retries=0)
    assert client.chat.completions.create(model="default", messages=MESSAGES).choices[0].message.content
    stream = client.chat.completions.create(model="default", messages=MESSAGES, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    stranger = openai.OpenAI(base_url=guarded.run.base_url, api_key="sk-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as refused:
        stranger.models.list()
    assert refused.value.code == "invalid_api_key"
    limited = openai.OpenAI(base_url=guarded.run.base_url, api_key=guarded.key("faendal", "--slots", "combat"))
    with pytest.raises(openai.NotFoundError) as not_found:
        limited.chat.completions.create(model="default", messages=MESSAGES)
    assert not_found.value.code == "model_not_found"
    # As Anthropic's SDK and Azure's send it, and as curl does.
    for header in ("x-api-key", "api-key", "X-Api-Key"):
        assert ask(guarded.run, chat(), {header: key}).status == 200, header
    command = ["curl", "-s", f"{guarded.run.base_url}/chat/completions", "-H", f"Authorization: Bearer {key}",
               "-H", "Content-Type: application/json", "-d", json.dumps(chat())]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert json.loads(done.stdout)["choices"]
    # The key is in no log, and did not go up.
    for request in demo.requests(5):
        assert key not in json.dumps(request) and "x-api-key" not in {each.lower() for each in request["headers"]}
    time.sleep(0.3)
    for path in guarded.folder.rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), path
    assert key not in "\n".join(guarded.run.output)


def test_the_client_is_on_every_record(guarded: Guarded) -> None:
    key, admin, metrics = guarded.key("lydia"), guarded.key("--admin"), guarded.key("--metrics")
    assert guarded.ask(key).status == 200
    slow = open_request(guarded.run, chat("demo:guard;first=2"), extra=f"Authorization: Bearer {key}\r\n".encode())
    eventually(
        lambda: [each["client"] for each in guarded.get("/api/now", admin).json()["under_way"]] == ["lydia"],
        "under way",
    )
    slow.close()
    (row,) = [each for each in guarded.get("/api/requests", admin).json()["requests"] if each["outcome"] == "ok"]
    assert row["client"] == "lydia"
    assert guarded.get(f"/api/requests/{row['id']}", admin).json()["client"] == "lydia"
    assert guarded.get("/api/costs", admin).json()["by_client"][0]["client"] == "lydia"
    text = guarded.get("/metrics", metrics).body.decode()
    assert 'skyproxy_client_requests_total{client="lydia",outcome="ok"} 1.0' in text
    assert guarded.get("/metrics", admin).status == 200 and guarded.get("/metrics", key).status == 401
    for path in ("/api/now", "/v1/models"):
        assert guarded.get(path, metrics).status == 401, "it opens /metrics and nothing else"
    assert guarded.get("/v1/models", admin).status == 200
    assert guarded.get("/api/setup", admin).json()["needs_key"] is True
    record = eventually(lambda: [r for r in guarded.records("skyproxy.telemetry.records") if r.get("client")], "logged")
    assert record[0]["client"] == "lydia"
    told = json.loads(guarded.command("keys", "usage", "lydia", "--json").stdout)
    assert told["clients"][0]["client"] == "lydia" and told["clients"][0]["requests"] == 2
    refusals = eventually(lambda: guarded.told("Refused at the door"), "the log tells of it")
    assert {"reason", "address", "path"} <= refusals[0].keys() and refusals[0]["address"] == "127.0.0.1"
    acts = guarded.told("Admin act")
    assert acts[0]["what"] == "Client lydia has a key now." and "admin socket" in acts[0]["by"]


def test_answers_are_shared_within_a_client_only(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    guarded = Guarded(start, tmp_path, config_for(demo, cache="on"))
    one, other = guarded.key("lydia"), guarded.key("faendal")
    again = guarded.command("keys", "rotate", "lydia", "--grace", "1h").stdout.strip()
    found = [guarded.ask(each, temperature=0).headers["x-skyproxy-cache"] for each in (one, one, again, other)]
    assert found == ["miss", "hit", "hit", "miss"]


def test_a_revoked_key_ends_its_streams_and_no_others(guarded: Guarded) -> None:
    keys = {name: guarded.key(name) for name in ("lydia", "faendal")}
    body = chat("demo:guard;chunks=200;delay=0.05", stream=True)
    streams = {
        name: open_request(guarded.run, body, extra=f"Authorization: Bearer {key}\r\nConnection: close\r\n".encode())
        for name, key in keys.items()
    }
    for stream in streams.values():
        assert b"data:" in read_until(stream, b"\n\n")
    assert "1 of its requests were ended" in guarded.command("keys", "revoke", "lydia").stdout
    rest = read_all(streams["lydia"])
    assert b"invalid_api_key" in rest and b"[DONE]" not in rest
    assert b"[DONE]" in read_all(streams["faendal"])


def test_a_client_of_the_file_is_revoked_by_a_reload(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    key, other = new_key(), new_key()
    config = config_for(demo)
    config["clients"] = {"lydia": {"key_hash": hash_of(key)}, "faendal": {"key_hash": hash_of(other)}}
    guarded = Guarded(start, tmp_path, config)
    body = chat("demo:guard;chunks=200;delay=0.05", stream=True)
    stream = open_request(guarded.run, body, extra=f"x-api-key: {key}\r\nConnection: close\r\n".encode())
    read_until(stream, b"\n\n")
    del config["clients"]["lydia"]
    guarded.write(config)
    guarded.command("reload")
    assert b"invalid_api_key" in read_all(stream)
    assert guarded.ask(key).status == 401 and guarded.ask(other).status == 200
    # The same name in both is refused, by whichever comes second; what held holds on.
    assert "stands under clients:" in guarded.command("keys", "create", "faendal", code=1).stderr
    guarded.command("keys", "create", "lydia")
    config["clients"]["lydia"] = {"key_hash": hash_of(key)}
    guarded.write(config)
    assert "keys revoke --forget lydia" in guarded.command("reload", code=1).stderr
    assert guarded.ask(key).status == 401 and guarded.ask(other).status == 200
    guarded.command("keys", "revoke", "--forget", "lydia")
    guarded.command("reload")
    assert guarded.ask(key).status == 200


def test_keys_work_without_a_skyproxy_that_runs(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    guarded = Guarded(start, tmp_path, config_for(demo))
    assert guarded.run.stop() == 0
    done = guarded.command("keys", "create", "lydia", "--config", str(guarded.path), "--expires", "2020-01-01", code=1)
    assert "expires: must be a date or a time that is still to come" in done.stderr
    key = guarded.key("lydia", "--config", str(guarded.path), "--expires", "2999-01-01")
    told = json.loads(guarded.command("keys", "list", "--config", str(guarded.path), "--json").stdout)
    assert [each["name"] for each in told["clients"]] == ["lydia"]
    text = guarded.command("keys", "list", "--config", str(guarded.path)).stdout
    assert "lydia" in text and "2999-01-01" in text and key not in text
    for wrong, status in (
        (("keys", "create"), 2), (("keys", "create", "a b"), 2), (("keys", "create", "x", "--slots", "defualt"), 1),
        (("keys", "create", "x", "--budget", "5/dya"), 1), (("keys", "revoke", "lydai"), 1),
        (("keys", "rotate", "lydia", "--grace", "soon"), 2), (("keys", "create", "--admin", "--metrics"), 2),
    ):  # fmt: skip
        guarded.command(*wrong, "--config", str(guarded.path), code=status)
    lines = guarded.command("keys", "create", "aela", "--for-file", "--slots", "default", "--config", str(guarded.path))
    (guarded.folder / "more.yaml").write_text(lines.stdout)
    written = yaml.safe_load(lines.stdout)["clients"]["aela"]
    assert written["key_hash"] == hash_of(lines.stderr.split()[0]) and written["slots"] == ["default"]
    with guarded.path.open("a") as file:
        file.write(lines.stdout)
    # A second section of that name would make the file unusable.
    text = guarded.path.read_text()
    with guarded.path.open("a") as file:
        command = [*PROGRAM, "keys", "create", "faendal", "--for-file", "--config", str(guarded.path)]
        done = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, env=environment(), check=False)
    assert done.returncode == 1 and "has clients: already, in line" in done.stderr, done
    assert guarded.path.read_text() == text
    more = guarded.command("keys", "create", "faendal", "--for-file", "--config", str(guarded.path))
    assert "faendal" in more.stdout and "below that one, without the first" in more.stderr
    run: Any = start(Run, "--config", str(guarded.path), env=guarded.env)
    for each in (key, lines.stderr.split()[0]):
        assert ask(run, chat(), {"Authorization": f"Bearer {each}"}).status == 200
    assert "--key KEY" in "\n".join(run.output) and "any key" not in "\n".join(run.output)
    assert ask(run, chat()).status == 401
    done = skyproxy(guarded.folder, "keys", "hash", typed="\x16\n")
    assert done.returncode == 1 and "Ctrl-V" in done.stderr
    # PowerShell may begin with a mark.
    done = skyproxy(guarded.folder, "keys", "hash", typed=f"\ufeff{key}\n")
    assert done.stdout.strip() == hash_of(key)


def run_to_the_end(folder: Path, *arguments: str) -> Any:
    """`skyproxy run`, which is expected not to start."""
    given = environment(HOME=str(folder), XDG_CONFIG_HOME=str(folder / "none"), **state(folder))
    return run_to_end([*PROGRAM, "run", *arguments], folder, given)


def test_a_start_that_would_be_open_to_all_is_refused(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    config = config_for(demo)
    path = tmp_path / "skyproxy.yaml"
    path.write_text(yaml.safe_dump(config))
    for listen in ("tcp:0", "tcp:0:interface=0.0.0.0", "tcp:0:interface=\\:\\:"):
        done = run_to_the_end(tmp_path, "--config", str(path), "--listen", listen)
        assert done.returncode == 1, (listen, done.stdout)
        assert "skyproxy keys create NAME" in done.stderr and "access: {required: false}" in done.stderr
        assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 4
    assert run_to_the_end(tmp_path, "--listen", "tcp:0").returncode == 1, "nor does the demo"
    checked = skyproxy(tmp_path, "check", "--config", str(path), env=state(tmp_path))
    assert checked.returncode == 0
    path.write_text(yaml.safe_dump({**config, "proxy": {"listen": "tcp:0"}}))
    checked = skyproxy(tmp_path, "check", "--config", str(path), env=state(tmp_path))
    assert checked.returncode == 1 and "keys create NAME" in checked.stderr
    # Each of the two lines mends it.
    path.write_text(yaml.safe_dump({**config, "access": {"required": False}}))
    run = start(Everywhere, "--config", str(path), env=state(tmp_path))
    assert ask(run, chat()).status == 200
    run.stop()
    path.write_text(yaml.safe_dump(config))
    done = skyproxy(tmp_path, "keys", "create", "lydia", "--config", str(path), env=state(tmp_path))
    run = start(Everywhere, "--config", str(path), env=state(tmp_path))
    assert ask(run, chat()).status == 401
    assert ask(run, chat(), {"x-api-key": done.stdout.strip()}).status == 200


class Everywhere(Run):
    """``skyproxy run`` at all addresses."""

    command = (*PROGRAM, "run", "--listen", "tcp:0")


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_a_socket_of_systemds_is_judged_by_its_address(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    path = tmp_path / "skyproxy.yaml"
    path.write_text(yaml.safe_dump(config_for(demo)))
    for host, starts in (("127.0.0.1", True), ("0.0.0.0", False)):
        with socket.create_server((host, 0)) as listening:
            number = listening.fileno()
            command = [sys.executable, "-c", AS_SYSTEMD, str(number), *PROGRAM, "run", "--config", str(path)]
            given = environment(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / "none"), **state(tmp_path))
            run: Any = start(Anything, [*command, "--listen", "systemd:domain=INET:index=0"], given, (number,))
            if starts:
                run.wait_for("serves at")
                run.address = listening.getsockname()
                assert ask(run, chat()).status == 200
                assert run.stop() == 0
            else:
                assert run.wait() == 1
                assert any("keys create NAME" in line for line in run.output), run.output


class Anything(Process):
    """A command line."""

    def __init__(self, cwd: Path, command: list[str], env: dict[str, str], pass_fds: tuple[int, ...]) -> None:
        super().__init__(command, cwd, env, pass_fds)


def test_what_another_proxy_forwards_over_loopback(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    config = config_for(demo)
    guarded = Guarded(start, tmp_path, config)
    for header in ("Forwarded", "X-Forwarded-For", "Via"):
        answer = ask(guarded.run, chat(), {header: "for=192.0.2.1"})
        assert (answer.status, code(answer)) == (403, "forwarded_not_trusted"), header
        assert "trust_forwarded_from: [127.0.0.1]" in answer.json()["error"]["message"]
        assert guarded.get("/api/now", None, **{header: "x"}).status == 403
        assert guarded.get("/healthz", None, **{header: "x"}).status == 200
    assert demo.stats()["total"] == 0
    config["access"] = {"required": False}
    guarded.write(config)
    guarded.command("reload")
    assert ask(guarded.run, chat(), {"Via": "1.1 nginx"}).status == 200, "it was said in so many words"
    assert guarded.get("/api/now", None, Via="1.1 nginx").status == 403, "but that is for this machine"
    assert guarded.get("/api/now").status == 200
    config["access"] = {"trust_forwarded_from": ["127.0.0.1"]}
    guarded.write(config)
    assert guarded.run.stop() == 0
    done = run_to_the_end(tmp_path, "--config", str(guarded.path), "--listen", "tcp:0:interface=127.0.0.1")
    assert done.returncode == 1 and "behind a proxy" in done.stderr
    key, admin = (guarded.key(*each, "--config", str(guarded.path)) for each in (("lydia",), ("--admin",)))
    run = start(Run, "--config", str(guarded.path), env=guarded.env)
    forwarded = {"X-Forwarded-For": "192.0.2.1"}
    assert ask(run, chat(), forwarded).status == 401
    assert ask(run, chat(), {**forwarded, "x-api-key": key}).status == 200
    assert call(run, "GET", "/api/now", None, {**forwarded, "x-api-key": admin}).status == 200


def test_a_store_that_cannot_be_read_lets_nobody_in(guarded: Guarded, start: Starter) -> None:
    key = guarded.key("lydia")
    store = guarded.store
    content = store.read_bytes()
    for damage in (b"", content[:4096], b"#" * 9000):
        store.write_bytes(damage)
        assert str(store) in guarded.command("reload", code=1).stderr
        assert str(store) in guarded.command("keys", "create", "other", code=1).stderr
        assert store.read_bytes() == damage, "it is left as it is"
        assert guarded.ask(None).status == 401 and guarded.ask(key).status == 200, "what held holds on"
    store.unlink()
    assert "is gone" in guarded.command("reload", code=1).stderr
    assert guarded.ask(None).status == 401
    store.write_bytes(b"#" * 9000)
    assert guarded.run.stop() == 0
    done = run_to_the_end(guarded.folder, "--config", str(guarded.path), "--listen", "tcp:0:interface=127.0.0.1")
    assert done.returncode == 1 and str(store) in done.stderr
    store.write_bytes(content)
    run = start(Run, "--config", str(guarded.path), env=guarded.env)
    assert ask(run, chat()).status == 401 and ask(run, chat(), {"x-api-key": key}).status == 200


def test_a_file_that_is_not_ours_is_left_alone(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.sqlite"
    with sqlite3.connect(theirs) as database:
        database.execute("CREATE TABLE saves (x)")
    database.close()
    before = theirs.read_bytes()
    path = tmp_path / "skyproxy.yaml"
    path.write_text(yaml.safe_dump({**config_for(demo), "access": {"store": "theirs.sqlite"}}))
    done = skyproxy(tmp_path, "keys", "create", "lydia", "--config", str(path), env=state(tmp_path))
    assert done.returncode == 1 and "is left as it is" in done.stderr
    done = run_to_the_end(tmp_path, "--config", str(path), "--listen", "tcp:0:interface=127.0.0.1")
    assert done.returncode == 1 and "theirs.sqlite" in done.stderr
    assert theirs.read_bytes() == before and [each.name for each in tmp_path.glob("theirs*")] == ["theirs.sqlite"]


def test_an_admin_acts_from_another_machine(guarded: Guarded) -> None:
    """By a key in the header no page could act, so that nothing else is needed; the log tells who it was."""
    key, admin = guarded.key("lydia"), guarded.key("--admin")
    sent = {"slot": "combat"}
    for wrong in (key, new_key(), ""):
        assert call(guarded.run, "POST", "/api/pause", sent, {"x-api-key": wrong}).status == 401
    assert call(guarded.run, "POST", "/api/pause", sent, {"x-api-key": admin}).status == 200
    paused = eventually(lambda: guarded.told("Changed by hand"), "the log tells of it")
    assert paused[0]["by"].startswith(f"program with admin key {hash_of(admin)[7:15]} at 127.0.0.1")
    guarded.command("keys", "revoke", "admin")
    assert call(guarded.run, "POST", "/api/pause", sent, {"x-api-key": admin}).status == 401


def test_no_flood_of_lines(guarded: Guarded) -> None:
    guarded.key("lydia")
    for _ in range(300):
        assert guarded.get("/v1/models", "wrong").status == 401
    assert len(eventually(lambda: guarded.told("Refused at the door"), "the log tells of it")) == 1
