"""Several worker processes behind one parent: ``proxy: {workers: N}``."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from http.client import HTTPException
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from skyproxy.process.workers.intake import MOST_UNTAKEN
from skyproxy.web.observations import MOST_UNDER_WAY
from tests.certificates import Authority
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, PROXY_TWISTD, DemoProvider, Process, Proxy, environment, eventually
from tests.e2e.raw import Answer, ask, call, chat, open_request, read_all, read_until
from tests.e2e.test_access import Guarded

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="connections cannot be passed there")


CLOSE = b"Connection: close\r\n"


class Workers(Proxy):
    """skyproxy with two workers, which serve."""

    def __init__(self, cwd: Path, config: dict[str, Any], *arguments: str, **options: Any) -> None:
        super().__init__(cwd, config, "--workers", "2", *arguments, **options)
        if hasattr(self, "address"):
            eventually(lambda: all(each["serves"] for each in self.workers()), "both workers serve")

    def stats(self) -> dict[str, Any]:
        """What the API tells."""
        told: dict[str, Any] = call(self, "GET", "/api/stats").json()
        return told

    def workers(self) -> list[dict[str, Any]]:
        """Its workers."""
        found: list[dict[str, Any]] = self.stats()["workers"]
        return found

    def metrics(self) -> dict[str, float]:
        """Its samples, by name and labels."""
        lines = call(self, "GET", "/metrics").body.decode().splitlines()
        return {name: float(value) for line in lines if line[:1] != "#" for name, value in [line.rsplit(" ", 1)]}

    def served(self) -> float:
        """Requests that went well."""
        return sum(
            value
            for name, value in self.metrics().items()
            if name.startswith("skyproxy_requests_total") and 'outcome="ok"' in name
        )


@pytest.fixture(scope="module")
def pair(start_for_module: Starter, demo: DemoProvider) -> Workers:
    """Two workers before *demo*."""
    process: Workers = start_for_module(Workers, config_for(demo))
    return process


@pytest.mark.parametrize("number", [10, 100])
def test_connections_are_spread(pair: Workers, number: int) -> None:
    eventually(lambda: sum(each["connections"] for each in pair.workers()) <= 1, "others have left")
    before = [each["connections"] for each in pair.workers()]
    opened = [socket.create_connection(pair.address) for _ in range(number)]
    try:
        eventually(lambda: sum(each["connections"] for each in pair.workers()) >= number, "all are with workers")
        counts = [each["connections"] for each in pair.workers()]
        # One more asks for these figures.
        assert max(counts) <= (number + sum(before) + 1) / 2 + 2, counts
    finally:
        for each in opened:
            each.close()


def test_all_workers_are_one(pair: Workers) -> None:
    before = pair.served()
    lines = len(pair.records("Upstream request completed"))
    for _ in range(20):
        assert ask(pair, chat()).status == 200
    assert {pair.served() for _ in range(4)} == {before + 20}
    listed = call(pair, "GET", "/api/requests?limit=20").json()["requests"]
    assert len({each["id"] for each in listed}) == 20
    told = {call(pair, "GET", f"/api/requests/{listed[index]['id']}").json()["id"] for index in (0, 1)}
    assert told == {listed[0]["id"], listed[1]["id"]}
    assert call(pair, "GET", "/api/costs").json()["requests"] >= 20
    eventually(lambda: len(pair.records("Upstream request completed")) >= lines + 20, "each is in the log, once")
    assert b"<title>skyproxy</title>" in call(pair, "GET", "/").body
    assert call(pair, "GET", "/nothing").status == 404
    refused = call(pair, "GET", "/api/stats", headers={"Host": "evil.example", "X-Skyproxy-Peer": '["UNIX", null]'})
    assert refused.status == 403


def test_what_was_said_is_that_of_the_request(start: Starter, demo: DemoProvider) -> None:
    config = config_for(demo)
    config["proxy"] = {**config.get("proxy", {}), "record_bodies": "all"}
    proxy = start(Workers, config)
    for number in range(12):
        assert ask(proxy, chat(user=f"{number}."), {"X-Request-Id": "same"}).status == 200

    def rows() -> Any:
        found = call(proxy, "GET", "/api/requests").json()["requests"]
        return found if len(found) == 12 else None

    said = []
    for row in eventually(rows, "all are counted"):
        found = call(proxy, "GET", f"/api/bodies/same?number={row['number']}").json()
        assert abs(found["at"] - row["at"] - row["seconds"]) < 0.01
        said.append(json.loads(found["request"]["text"])["user"])
    assert sorted(said, key=float) == [f"{number}." for number in range(12)]
    assert call(proxy, "GET", "/api/bodies/same?number=99").json()["request"] is None


def test_events_come_from_all(pair: Workers) -> None:
    with socket.create_connection(pair.address, PATIENCE) as connection:
        connection.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        data = connection.recv(65536)
        ids = []
        for number in range(4):
            ids.append(f"seen-{number}")
            ask(pair, chat(), {"X-Request-Id": ids[-1]})
        until = time.monotonic() + PATIENCE
        while not all(each.encode() in data for each in ids) and time.monotonic() < until:
            data += connection.recv(65536)
        assert all(data.count(b'"id":"%b"' % each.encode()) >= 1 for each in ids)


def test_a_client_that_sends_headers_of_ours_is_no_other(pair: Workers) -> None:
    answer = call(pair, "GET", "/api/now", headers={"X-Skyproxy-Peer": "nonsense", "Origin": "http://evil.example"})
    assert answer.status == 403


class Load:
    """Clients that ask again and again, each time on a connection of its own."""

    def __init__(self, proxy: Proxy, clients: int, model: str = "demo:guard;first=0.05") -> None:
        self._proxy = proxy
        self._model = model
        self.good = self.bad = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(clients)]
        for each in self._threads:
            each.start()

    def _ask_on(self) -> None:
        while not self._ended.is_set():
            try:
                good = ask(self._proxy, chat(self._model)).status == 200
            except (OSError, HTTPException):
                good = False
            with self._lock:
                self.good += good
                self.bad += not good

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()
        for each in self._threads:
            each.join(PATIENCE)


def test_what_a_kill_takes(start: Starter, demo: DemoProvider) -> None:
    proxy: Workers = start(Workers, config_for(demo, max_pending=200))
    load = Load(proxy, 12)
    seen: list[dict[str, float]] = [proxy.metrics()]
    try:
        for number in (0, 1):
            good = load.good
            eventually(lambda good=good: load.good > good + 30, "requests are answered")  # type: ignore[misc]
            seen.append(proxy.metrics())
            bad = load.bad
            os.kill(proxy.workers()[number]["pid"], signal.SIGKILL)
            eventually(
                lambda number=number: proxy.workers()[number]["restarts"] and proxy.workers()[number]["serves"],  # type: ignore[misc]
                "it is started again",
            )
            seen.append(proxy.metrics())
            # What was in it, and no more: the other worker serves on, and the port is the parent's.
            assert load.bad - bad <= 12
    finally:
        load.end()
    eventually(lambda: proxy.stats()["providers"]["demo"]["permits"]["in_use"] == 0, "all permits are back")
    seen.append(proxy.metrics())
    for before, after in pairwise(seen):
        fell = {
            name: (value, after.get(name))
            for name, value in before.items()
            if name.partition("{")[0].endswith(("_total", "_count", "_bucket")) and after.get(name, 0.0) < value
        }
        assert not fell
    # One that was answered and not yet told may be missing, of each worker that was killed.
    assert load.good - 24 <= proxy.served() <= load.good + load.bad
    connections = [open_request(proxy, chat("demo:guard;first=0.5"), extra=CLOSE) for _ in range(24)]
    assert all(b"200 OK" in read_all(each) for each in connections)
    assert len(proxy.records("A worker ended: it is started again")) == 2
    assert proxy.stop() == 0


def test_a_worker_that_hangs_holds_nobody_up(start: Starter, demo: DemoProvider) -> None:
    proxy: Workers = start(Workers, config_for(demo))
    pid = proxy.workers()[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        # Both get some; what the one has not taken goes to the other.
        connections = [open_request(proxy, chat(), extra=CLOSE) for _ in range(10)]
        assert all(b"200 OK" in read_all(each) for each in connections)
        proxy.record("A worker does not answer: others get the connections", worker=0)
        began = time.monotonic()
        age = proxy.metrics()['skyproxy_worker_figures_age_seconds{worker="0"}']
        assert age > 1 and time.monotonic() - began < 20
        assert [ask(proxy, chat()).status for _ in range(4)] == [200] * 4
        missing = "1 of 2 workers does not serve."
        eventually(lambda: call(proxy, "GET", "/api/now").json()["sentence"]["text"] == missing, "the page says so")
    finally:
        os.kill(pid, signal.SIGCONT)
    proxy.record("A worker answers again", worker=0)
    eventually(lambda: [ask(proxy, chat()).status for _ in range(4)] and proxy.workers()[0]["age"] < 2, "it is back")
    assert proxy.stop() == 0


def test_the_end_loses_nothing(start: Starter, demo: DemoProvider) -> None:
    proxy: Workers = start(Workers, config_for(demo, {"drain_timeout": "30s"}))
    streams = [
        open_request(proxy, chat("demo:guard;chunks=20;delay=0.1", stream=True), f"end-{n}", CLOSE) for n in range(8)
    ]
    eventually(lambda: proxy.stats()["providers"]["demo"]["permits"]["in_use"] == 8, "all are under way")
    pids = [each["pid"] for each in proxy.workers()]
    late = [socket.create_connection(proxy.address) for _ in range(4)]
    proxy.child.send_signal(signal.SIGTERM)
    assert all(b"data: [DONE]" in read_all(each) for each in streams)
    assert proxy.wait() == 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    records = proxy.records("Upstream request completed")
    assert {f"end-{n}" for n in range(8)} <= {each["request_id"] for each in records}
    for each in late:
        each.close()


def test_a_second_signal_does_not_wait(start: Starter, demo: DemoProvider) -> None:
    proxy: Workers = start(Workers, config_for(demo, {"drain_timeout": "60s"}))
    stream = open_request(proxy, chat("demo:guard;first=50", stream=True))
    eventually(lambda: proxy.stats()["providers"]["demo"]["permits"]["in_use"] == 1, "it is under way")
    began = time.monotonic()
    proxy.child.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    proxy.child.send_signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert time.monotonic() - began < 30
    stream.close()


def test_workers_end_with_their_parent(start: Starter, demo: DemoProvider) -> None:
    proxy: Workers = start(Workers, config_for(demo))
    pids = [each["pid"] for each in proxy.workers()]
    proxy.child.kill()
    proxy.child.wait()
    eventually(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "they have ended")


def written(proxy: Proxy, config: dict[str, Any]) -> None:
    path = proxy.folder / "proxy.yaml"
    path.with_suffix(".new").write_text(yaml.safe_dump(config))
    path.with_suffix(".new").replace(path)


def models_of(proxy: Proxy) -> set[str]:
    return {ask(proxy, chat()).headers["x-skyproxy-model"] for _ in range(6)}


def test_all_or_none_take_a_configuration(start: Starter, demo: DemoProvider) -> None:
    config = config_for(demo)
    proxy: Workers = start(Workers, config)
    assert models_of(proxy) == {"guard"}
    config["model_slots"]["default"]["model"] = "guard;delay=0"
    written(proxy, config)
    proxy.child.send_signal(signal.SIGHUP)
    proxy.record("Configuration reloaded")
    eventually(lambda: models_of(proxy) == {"guard;delay=0"}, "all serve by it")
    (proxy.folder / "proxy.yaml").write_text("providers: {}\n")
    proxy.child.send_signal(signal.SIGHUP)
    proxy.record("Configuration not reloaded, the old one serves on")
    assert models_of(proxy) == {"guard;delay=0"}
    # One that begins anew begins with what serves, not with what the file has.
    os.kill(proxy.workers()[0]["pid"], signal.SIGKILL)
    eventually(lambda: proxy.workers()[0]["restarts"] and proxy.workers()[0]["serves"], "it is started again")
    assert models_of(proxy) == {"guard;delay=0"}
    assert proxy.stop() == 0


def acted(proxy: Proxy, path: str, sent: dict[str, Any]) -> Answer:
    session = call(proxy, "GET", "/api/session", headers={"Origin": proxy.origin})
    cookie = session.headers["set-cookie"].partition(";")[0]
    headers = {"Cookie": cookie, "Origin": proxy.origin, "X-Skyproxy-Csrf": session.json()["csrf"]}
    return call(proxy, "POST", path, sent, headers)


def test_a_pause_holds_everywhere(start: Starter, demo: DemoProvider) -> None:
    config = config_for(demo)
    config["providers"]["other"] = config["providers"]["demo"]
    config["model_slots"]["default"]["fallbacks"] = ["other:guard"]
    proxy: Workers = start(Workers, config)

    def providers() -> set[str]:
        return {ask(proxy, chat()).headers["x-skyproxy-provider"] for _ in range(6)}

    assert providers() == {"demo"}
    told = acted(proxy, "/api/pause", {"provider": "demo"})
    assert told.status == 200, told.body
    eventually(lambda: providers() == {"other"}, "no worker asks it")
    os.kill(proxy.workers()[1]["pid"], signal.SIGKILL)
    eventually(lambda: proxy.workers()[1]["restarts"] and proxy.workers()[1]["serves"], "it is started again")
    assert providers() == {"other"}
    assert acted(proxy, "/api/undo/last", {}).status == 200
    eventually(lambda: providers() == {"demo"}, "it is asked again")


def test_clients_that_stay_keep_nobody_out(start: Starter, demo: DemoProvider) -> None:
    proxy: Workers = start(Workers, config_for(demo))
    # As many as would wait if none of those before had been taken.
    with ExitStack() as kept:
        for _ in range(2 * MOST_UNTAKEN + 20):
            client = kept.enter_context(socket.create_connection(proxy.address, PATIENCE))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in read_until(client, b"\r\n")
        assert ask(proxy, chat()).status == 200


def test_a_request_can_be_ended_at_once_however_many_there_are(start: Starter, demo: DemoProvider) -> None:
    proxy: Workers = start(Workers, config_for(demo, max_concurrent=50))
    body = chat("demo:guard;chunks=1000;delay=0.05", stream=True)
    streams = [open_request(proxy, body, f"end-{number}", CLOSE) for number in range(2 * MOST_UNDER_WAY + 6)]
    for number, stream in enumerate(streams):
        read_until(stream, b'"role"')
        told = acted(proxy, f"/api/cancel/end-{number}", {}) if number > 2 * MOST_UNDER_WAY else None
        assert told is None or told.status == 200, told.body
    assert b"[DONE]" not in read_all(streams[-1])
    for stream in streams:
        stream.close()


def test_limits_hold_in_sum(start: Starter, demo: DemoProvider) -> None:
    proxy: Workers = start(Workers, config_for(demo, max_concurrent=5, max_pending=100))
    assert proxy.stats()["providers"]["demo"]["permits"]["limit"] == 5
    demo.reset()
    connections = [open_request(proxy, chat("demo:guard;first=0.2"), extra=CLOSE) for _ in range(30)]
    assert all(b"200 OK" in read_all(each) for each in connections)
    assert demo.stats()["peak_active"] <= 5


def test_other_endpoints(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    key, certificate, _ = Authority().write(tmp_path, "127.0.0.1")
    path = tmp_path / "api.sock"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = config_for(demo)
    listen = [
        f"unix:{path}",
        f"ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}",
    ]
    config["proxy"]["listen"] = listen
    process = start(Plain, config)
    body = json.dumps(chat()).encode()
    sent = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
    for number in range(4):
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(PATIENCE)
            plain.connect(str(path))
            plain.sendall(sent % (len(body), body))
            assert b"200 OK" in read_all(plain), number
        context = ssl._create_unverified_context()
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port), PATIENCE)) as secure:
            secure.sendall(sent % (len(body), body))
            assert b"200 OK" in read_all(secure), number
    assert process.stop() == 0
    assert not path.exists()


@pytest.mark.skipif(not hasattr(os, "memfd_create") or os.geteuid() != 0, reason="takes root")
def test_a_key_that_only_root_can_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    try:
        subprocess.run([sys.executable, "-c", "import skyproxy"], user=65534, check=True, env=environment())
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this Python, or skyproxy, is root's alone")
    key, certificate, _ = Authority().write(tmp_path, "127.0.0.1")
    key.chmod(0o600)
    listen = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    command = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile", "", "--uid", "65534", "--gid", "65534"]
    options = ["skyproxy", "--workers", "2", "--listen", listen]
    process = Process([*command, *options], tmp_path, environment(HOME=str(tmp_path), XDG_RUNTIME_DIR=""))
    try:
        port = int(process.wait_for(r"listens at https://127\.0\.0\.1:(\d+)")[1])
        context = ssl._create_unverified_context()
        for _ in range(4):
            with context.wrap_socket(socket.create_connection(("127.0.0.1", port), PATIENCE)) as secure:
                secure.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert b"200 OK" in read_all(secure)
        assert process.stop() == 0
    finally:
        process.kill()


def test_one_that_cannot_begin_is_started_again(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    key, certificate, _ = Authority().write(tmp_path, "127.0.0.1")
    path, log_file = tmp_path / "api.sock", tmp_path / "skyproxy.log"
    config = config_for(demo, {"log_file": str(log_file)})
    config["proxy"]["listen"] = [
        f"unix:{path}",
        f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}",
    ]
    process = start(Plain, config)
    eventually(lambda: log_file.read_text().count("A worker serves") == 2, "both serve")
    workers = Path(f"/proc/{process.child.pid}/task/{process.child.pid}/children").read_text().split()
    text = key.read_text()
    key.write_text("no key")
    for each in workers:
        os.kill(int(each), signal.SIGKILL)
    reason = "there is no private key"
    eventually(lambda: log_file.read_text().count(reason) > 1, "both are tried again, and the log tells why")
    key.write_text(text)
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(PATIENCE)
        plain.connect(str(path))
        plain.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in read_all(plain)
    assert process.stop() == 0


class Plain(Proxy):
    """Likewise, listening where its configuration says."""

    def __init__(self, cwd: Path, config: dict[str, Any]) -> None:
        (cwd / "proxy.yaml").write_text(yaml.safe_dump(config))
        command = [*PROXY_TWISTD, "-n", "--pidfile", "", "skyproxy", "--config", "proxy.yaml", "--workers", "2"]
        Process.__init__(self, command, cwd, environment(HOME=str(cwd)))
        self.wait_for("skyproxy listens at")


def test_log_lines_are_whole(start: Starter, demo: DemoProvider) -> None:
    config = config_for(demo, {"log_max_size": "64KiB", "log_keep": 100})
    proxy: Workers = start(Workers, config)
    load = Load(proxy, 8, "demo:guard;delay=0;first=0")
    eventually(lambda: load.good > 400, "there is something to log")
    load.end()
    assert proxy.stop() == 0
    files = sorted(proxy.folder.glob("skyproxy.log*"))
    assert len(files) > 1
    lines = [line for each in files for line in each.read_text().splitlines()]
    records = [json.loads(line) for line in lines]
    ended = [each for each in records if each["message"] == "Upstream request completed"]
    assert len(ended) == len({each["request_id"] for each in ended}) == load.good


def test_one_process_has_nothing_of_it(proxy: Proxy) -> None:
    assert "workers" not in call(proxy, "GET", "/api/stats").json()
    assert b"skyproxy_worker" not in call(proxy, "GET", "/metrics").body
    children = Path(f"/proc/{proxy.child.pid}/task/{proxy.child.pid}/children")
    assert not children.exists() or not re.findall(r"\d+", children.read_text())


def test_commands_reach_all(start: Starter, demo: DemoProvider) -> None:
    proxy: Workers = start(Workers, config_for(demo))

    def run(*arguments: str) -> Any:
        env = environment(HOME=str(proxy.folder), XDG_CONFIG_HOME=str(proxy.folder / "none"))
        command = [sys.executable, "-m", "skyproxy", *arguments, "--pid", str(proxy.child.pid)]
        done = subprocess.run(command, cwd=proxy.folder, env=env, capture_output=True, text=True, check=False)
        return done

    for _ in range(6):
        ask(proxy, chat())
    told = json.loads(run("status", "--json").stdout)
    assert told["pid"] == proxy.child.pid and len(told["stats"]["workers"]) == 2
    assert told["stats"]["providers"]["demo"]["outcomes"]["ok"] == 6
    assert run("reload").returncode == 0
    stream = open_request(proxy, chat("demo:guard;chunks=10;delay=0.1", stream=True), "last", CLOSE)
    eventually(lambda: proxy.stats()["providers"]["demo"]["permits"]["in_use"] == 1, "it is under way")
    assert run("stop", "--no-wait").returncode == 0
    assert b"data: [DONE]" in read_all(stream)
    assert proxy.wait() == 0


def test_a_daemon(demo: DemoProvider, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "proxy.yaml").write_text(yaml.safe_dump(config_for(demo)))
    command = [*PROXY_TWISTD, "skyproxy", "--config", "proxy.yaml", "--workers", "2", "--listen", str(port)]
    subprocess.run(command, cwd=tmp_path, env=environment(HOME=str(tmp_path)), check=True, timeout=PATIENCE)
    pid = int((tmp_path / "twistd.pid").read_text())
    try:
        daemon: Any = SimpleNamespace(address=("127.0.0.1", port))
        assert [ask(daemon, chat()).status for _ in range(4)] == [200] * 4
        assert len(call(daemon, "GET", "/api/stats").json()["workers"]) == 2
    finally:
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: not (tmp_path / "twistd.pid").exists(), "it has ended, and removed its pid file")
    assert "Traceback" not in (tmp_path / "twistd.log").read_text()


def test_what_cannot_be(tmp_path: Path) -> None:
    env = environment(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / "none"))
    for arguments, said in (
        (("--workers", "0"), "workers"),
        (("--workers", "many"), "workers"),
        (("--workers", "2", "--with-game", "x.exe"), "--with-game serves with one process"),
    ):
        command = [sys.executable, "-m", "skyproxy", "run", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr, done


def test_keys_open_everywhere(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    guarded = Guarded(start, tmp_path, config_for(demo), "--workers", "2")
    key, admin = guarded.key("lydia"), guarded.key("--admin")
    # Each on a connection of its own, so that both workers are asked.
    assert [guarded.ask(key).status for _ in range(4)] == [200] * 4
    assert [guarded.ask(None).status for _ in range(4)] == [401] * 4
    origin = {"Origin": guarded.run.base_url.removesuffix("/v1"), "Sec-Fetch-Site": "same-origin"}
    login = call(guarded.run, "POST", "/api/login", {"key": admin}, origin)
    cookie = login.headers["set-cookie"].partition(";")[0]
    session = call(guarded.run, "GET", "/api/session", None, {**origin, "Cookie": cookie})
    both = f"{cookie}; {session.headers['set-cookie'].partition(';')[0]}"
    page = {**origin, "Cookie": both, "X-Skyproxy-Csrf": session.json()["csrf"]}
    assert [ask(guarded.run, chat(), page).status for _ in range(4)] == [200] * 4
    assert 'reason="no key"' in guarded.get("/metrics", admin).body.decode()
    extra = b"Authorization: Bearer %b\r\n" % key.encode()
    streams = [open_request(guarded.run, chat("demo:guard;first=100", stream=True), "r", extra) for _ in range(4)]
    busy = "/api/stats", admin
    eventually(
        lambda: guarded.get(*busy).json()["providers"]["demo"]["permits"]["in_use"] == 4, "both workers have some"
    )
    told = guarded.command("keys", "revoke", "lydia", "--json").stdout
    assert json.loads(told)["ended"] == 4
    assert all(b"revoked" in read_until(each, b"revoked") for each in streams)
    assert [guarded.ask(key).status for _ in range(4)] == [401] * 4
    for each in streams:
        each.close()
