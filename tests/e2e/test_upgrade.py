"""A new process takes over from the old one, and no request is lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from skyproxy.command.running import Running
from tests.e2e.commands import PROGRAM
from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.processes import PATIENCE, PROXY_TWISTD, DemoProvider, environment, eventually, run_to_end
from tests.e2e.raw import ask, call, chat, open_request, read_all, read_until, send_request
from tests.e2e.sizes import size
from tests.e2e.test_activation import AS_SYSTEMD
from tests.e2e.upgrades import Upgraded, is_there, upgraded_under_load

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets are passed on POSIX, and /proc is Linux's")

DRAIN = {"drain_timeout": "60s"}


def test_no_request_is_lost(start: Starter, demo: DemoProvider, findings: Findings) -> None:
    proxy: Upgraded = start(Upgraded, config_for(demo, DRAIN, max_concurrent=100))
    first = proxy.pid
    stream = open_request(proxy, chat("demo:guard;chunks=40;delay=0.1", stream=True))
    read_until(stream, b'"role"')
    upgraded_under_load(proxy, size(100, 3), size(100_000, 1_500), findings)
    assert b"[DONE]" in read_all(stream)
    proxy.gone(first)
    assert proxy.child.returncode == 0
    assert proxy.stop() == 0


def test_no_request_is_lost_by_workers(start: Starter, demo: DemoProvider, findings: Findings) -> None:
    proxy: Upgraded = start(Upgraded, config_for(demo, DRAIN, max_concurrent=100), "--workers", "2")
    workers = [each["pid"] for each in call(proxy, "GET", "/api/stats").json()["workers"]]
    upgraded_under_load(proxy, size(20, 1), size(20_000, 300), findings)
    assert len(call(proxy, "GET", "/api/stats").json()["workers"]) == 2
    eventually(lambda: not any(map(is_there, workers)), "the old workers have ended")
    assert proxy.stop() == 0


@pytest.fixture(scope="module")
def proxy(start_for_module: Starter, demo: DemoProvider) -> Upgraded:
    process: Upgraded = start_for_module(Upgraded, config_for(demo, DRAIN))
    return process


def test_an_idle_connection_is_told_before_it_ends(proxy: Upgraded) -> None:
    asking = HTTPConnection(*proxy.address, timeout=PATIENCE)

    def last() -> bool:
        asking.request("GET", "/readyz")
        answer = asking.getresponse()
        assert answer.read() and answer.status == 200
        return answer.getheader("Connection") == "close"

    assert not last()
    before = asking.sock
    assert before is not None and proxy.upgrade()["good"]
    # The old process may not have begun to end yet. It hears each request on its connection until one is the last.
    eventually(lambda: asking.sock is not before or last(), "the answer says that the connection ends")
    assert asking.sock is None
    assert not last()


def test_changes_by_hand_go_on(proxy: Upgraded) -> None:
    assert proxy.running().ask("POST", "/api/pause", {"slot": "combat"})[0] == 200
    assert ask(proxy, chat("combat")).status == 503
    proxy.signalled()
    assert ask(proxy, chat("combat")).status == 503
    assert proxy.running().ask("POST", "/api/resume", {"slot": "combat"})[0] == 200
    assert ask(proxy, chat("combat")).status == 200


def test_one_that_fails_leaves_the_old_one(proxy: Upgraded) -> None:
    pid, path = proxy.pid, proxy.folder / "proxy.yaml"
    text = path.read_text()
    for how, config, seconds, reason in (
        ("", "providers: {", PATIENCE, "is not valid YAML"),
        ("raise SystemExit('nothing is installed')", text, PATIENCE, "nothing is installed"),
        ("os.kill(os.getpid(), 9)", text, PATIENCE, "signal 9"),
        ("import time; time.sleep(600)", text, 0.5, "has said nothing for 0.5 seconds"),
    ):
        proxy.how.write_text(how)
        path.write_text(config)
        told = proxy.upgrade(seconds)
        assert not told["good"] and reason in " ".join(told["problems"]), told
        assert proxy.pid == pid and ask(proxy, chat()).status == 200
    path.write_text(text)
    proxy.how.unlink()

    def failures() -> list[str]:
        return [each["level"] for each in proxy.records() if each["message"].startswith("The upgrade failed")]

    eventually(lambda: failures() == ["ERROR"] * 4, "all are in the log")
    eventually(lambda: len(list((proxy.runtime / "skyproxy").glob("*.sock"))) == 1, "nothing is left")


def test_a_worker_of_another_version_says_what_to_do(start: Starter, demo: DemoProvider) -> None:
    """Another version was installed, and a worker ends before somebody upgrades."""
    proxy: Upgraded = start(Upgraded, config_for(demo, DRAIN), "--workers", "2")
    proxy.how.write_text("import skyproxy; skyproxy.__version__ = '99.0'")
    os.kill(call(proxy, "GET", "/api/stats").json()["workers"][0]["pid"], signal.SIGKILL)
    reason = proxy.record("A worker could not begin", level="ERROR")["reason"]
    assert "(99.0, and not " in reason and "`skyproxy upgrade`" in reason
    assert ask(proxy, chat()).status == 200
    assert proxy.upgrade()["version"] == "99.0"
    assert [each["serves"] for each in call(proxy, "GET", "/api/stats").json()["workers"]] == [True, True]
    assert proxy.stop() == 0


def test_two_at_a_time(proxy: Upgraded) -> None:
    mark = proxy.folder / "started"
    proxy.how.write_text(f"import time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    first: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: first.append(proxy.upgrade()))
    asking.start()
    new = int(eventually(lambda: mark.exists() and mark.read_text(), "it is under way"))
    assert f"one is under way: process {new} starts" in proxy.upgrade()["problems"][0]
    os.kill(new, signal.SIGKILL)
    asking.join(PATIENCE)
    assert first[0]["problems"] == ["signal 9 ended it"]
    proxy.how.unlink()


def test_a_stop_ends_both(start: Starter, demo: DemoProvider) -> None:
    proxy: Upgraded = start(Upgraded, config_for(demo))
    proxy.how.write_text("import time; open('started', 'w').write(str(os.getpid())); time.sleep(600)")
    os.kill(proxy.pid, signal.SIGUSR2)
    mark = proxy.folder / "started"
    new = int(eventually(lambda: mark.exists() and mark.read_text(), "the new one starts"))
    proxy.child.send_signal(signal.SIGTERM)
    assert proxy.wait() == 0
    eventually(lambda: not is_there(new), "the new one has ended, too")


def test_what_is_asked_of_the_old_one_meanwhile_holds(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    """The new process has read the configuration, and its first worker the keys, when the old one is asked."""
    config = {**config_for(demo), "access": {"store": str(tmp_path / "clients.sqlite"), "required": True}}
    proxy: Upgraded = start(Upgraded, config, "--workers", "2")
    old = proxy.running()
    key = {"x-api-key": old.ask("POST", "/api/keys/create", {"name": "lydia"})[1]["key"]}
    assert ask(proxy, chat("combat"), key).status == 200
    mark, go = proxy.folder / "started", proxy.folder / "go"
    proxy.how.write_text(
        f"import time\nif any('workers.main' in each for each in sys.orig_argv):\n"
        f"    first, path = False, {str(mark)!r}\n"
        "    try: os.close(os.open(path, os.O_CREAT | os.O_EXCL)); first = True\n"
        "    except FileExistsError: pass\n"
        f"    while not first and not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    )
    told: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: told.append(old.ask("POST", "/api/upgrade", {}, 15 * PATIENCE)[1]))
    asking.start()
    try:
        eventually(lambda: len(proxy.records("A worker serves")) == 3, "one worker of the new process serves")
        # Commands find the one that serves.
        assert proxy.command("status").returncode == 0
        config["model_slots"]["late"] = config["model_slots"]["combat"]
        (proxy.folder / "proxy.yaml").write_text(yaml.safe_dump(config))
        assert proxy.command("reload").returncode == 0
        assert proxy.command("keys", "revoke", "lydia").returncode == 0
        late = {"x-api-key": old.ask("POST", "/api/keys/create", {"name": "serana"})[1]["key"]}
    finally:
        go.touch()
        asking.join(15 * PATIENCE)
    assert told[0]["good"] and proxy.pid == told[0]["pid"] != old.pid
    proxy.gone(old.pid)
    # Both workers are asked, in turn.
    for each, status in ((key, 401), (late, 200)):
        assert {ask(proxy, chat("late"), each).status for _ in range(4)} == {status}
    assert proxy.stop() == 0


@pytest.fixture
def runtime() -> Iterator[Path]:
    folder = Path(mkdtemp(prefix="daemon"))
    yield folder
    rmtree(folder)


def test_one_that_is_killed_meanwhile_is_replaced(start: Starter, demo: DemoProvider) -> None:
    config = config_for(demo)
    proxy: Upgraded = start(Upgraded, config)
    pid, mark, go = proxy.pid, proxy.folder / "started", proxy.folder / "go"
    proxy.how.write_text(
        f"import time\nopen({str(mark)!r}, 'w').close()\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    )
    os.kill(pid, signal.SIGUSR2)
    eventually(mark.exists, "the new one starts")
    os.kill(pid, signal.SIGKILL)
    proxy.gone(pid)
    # Nobody accepts now: who comes waits for the new one.
    waiting = open_request(proxy, chat(), extra=b"Connection: close\r\n")
    config["proxy"]["workers"] = 2
    (proxy.folder / "proxy.yaml").write_text(yaml.safe_dump(config))
    go.touch()
    assert b"200 OK" in read_all(waiting)
    assert proxy.pid != pid and len(call(proxy, "GET", "/api/stats").json()["workers"]) == 2
    assert proxy.stop() == -signal.SIGKILL


def test_a_daemon(demo: DemoProvider, tmp_path: Path, runtime: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    api, pid_file, lock = tmp_path / "api.sock", tmp_path / "twistd.pid", tmp_path / "api.sock.lock"
    config = config_for(demo, {"listen": [f"tcp:{port}:interface=127.0.0.1", f"unix:{api}"]})
    (tmp_path / "proxy.yaml").write_text(yaml.safe_dump(config))
    env = environment(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / "none"), XDG_RUNTIME_DIR=str(runtime))
    command = [*PROXY_TWISTD, "skyproxy", "--config", "proxy.yaml"]
    subprocess.run(command, cwd=tmp_path, env=env, check=True, timeout=PATIENCE)
    pid = int(pid_file.read_text())
    daemon: Any = SimpleNamespace(address=("127.0.0.1", port))

    def asked() -> bytes:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(PATIENCE)
            asking.connect(str(api))
            send_request(asking, chat(), extra=b"Connection: close\r\n")
            return read_all(asking)

    try:
        for gone in (False, True):
            if gone:
                # Somebody has removed it: it is made again.
                api.unlink()
            first = pid
            done = run_to_end([*PROGRAM, "upgrade"], tmp_path, env)
            pid = int(pid_file.read_text())
            assert done.returncode == 0 and f"process {pid}, skyproxy" in done.stdout, done
            eventually(lambda first=first: not is_there(first), "the old one has ended")
            # What was the old one's is there, and the new one's.
            assert pid != first and int(pid_file.read_text()) == pid and os.readlink(lock) == str(pid)
            assert b"200 OK" in asked() and ask(daemon, chat()).status == 200
        socket_file = runtime / "skyproxy" / f"{pid}.sock"
        assert Running(pid, socket_file).ask("GET", "/api/status")[1]["pid"] == pid
        assert [each.name for each in socket_file.parent.iterdir()] == [socket_file.name]
    finally:
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: not pid_file.exists() and not is_there(pid), "it has ended")
    assert not api.exists() and not os.path.lexists(lock)
    assert "Traceback" not in (tmp_path / "twistd.log").read_text()


def test_under_systemd(start: Starter, demo: DemoProvider, supervisor: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as kept:
        number = kept.fileno()
        kind = type("Activated", (Upgraded,), {"prefix": (sys.executable, "-c", AS_SYSTEMD, str(number))})
        proxy: Upgraded = start(
            kind, config_for(demo), "--listen", "systemd:domain=INET:index=0", pass_fds=(number,),
            env={"NOTIFY_SOCKET": supervisor.getsockname()},
        )  # fmt: skip
        assert supervisor.recv(1000) == b"READY=1"
        for _ in range(2):
            told = proxy.upgrade()
            assert told["good"], told
            assert supervisor.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert supervisor.recv(1000) == b"MAINPID=%d" % told["pid"]
            assert supervisor.recv(1000) == b"READY=1"
            assert proxy.address == kept.getsockname() and ask(proxy, chat()).status == 200
        # The old ones have not said that the unit stops.
        pid = proxy.pid
        os.kill(pid, signal.SIGTERM)
        assert supervisor.recv(1000) == b"STOPPING=1"
        proxy.gone(pid)
        supervisor.setblocking(False)
        with pytest.raises(BlockingIOError):
            supervisor.recv(1000)
