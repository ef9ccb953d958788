"""What happens between the command and the first request, and what must not happen then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import config_for
from tests.e2e.processes import LOOPBACK, PATIENCE, DemoProvider, Process, Proxy, environment, eventually
from tests.e2e.raw import ask, chat
from tests.e2e.test_command import run

pytestmark = pytest.mark.fresh

# twistd, in whose life signals come when the port accepts already and the reactor does not run yet.
EARLY = """
import os, signal, sys
import skyproxy.process.service as module
names = sys.argv.pop(1).split(',')
inner = module.SkyproxyService.startService
def startService(self):
    for name in names:
        os.kill(os.getpid(), getattr(signal, name))
    inner(self)
    # As the reactor has taken them, and before it tells anybody that it runs.
    from twisted.internet import reactor
    again = lambda: [os.kill(os.getpid(), getattr(signal, name)) for name in names]
    reactor.addSystemEventTrigger('during', 'startup', again)
module.SkyproxyService.startService = startService
from twisted.scripts.twistd import run
run()
"""


def early(cwd: Path, names: str, *arguments: str) -> Process:
    command = [sys.executable, "-c", EARLY, names, "-n", "--pidfile", "", "skyproxy", "--listen", LOOPBACK, *arguments]
    return Process(command, cwd, environment(HOME=str(cwd)))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")
def test_signals_before_the_reactor_runs_are_taken(tmp_path: Path) -> None:
    (tmp_path / "x.log").touch()
    process = early(tmp_path, "SIGHUP,SIGUSR1", "--log-file", "x.log")
    try:
        process.wait_for("listens at")
        eventually(lambda: "Configuration reloaded" in (tmp_path / "x.log").read_text(), "reloaded")
        assert process.child.poll() is None
    finally:
        assert process.stop() == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_stop_before_the_reactor_runs_is_a_stop(tmp_path: Path, name: str) -> None:
    process = early(tmp_path, name)
    assert process.wait() == 0
    assert any("Draining" in line for line in process.output), process.output


def test_another_programs_file_is_never_touched(tmp_path: Path) -> None:
    save = tmp_path / "quicksave.ess"
    save.write_bytes(b"TESV_SAVEGAME" * 1000)
    save.chmod(0o644)
    before = save.read_bytes(), save.stat().st_mode, save.stat().st_mtime_ns
    (tmp_path / "skyproxy.yaml").write_text(
        "proxy: {cache: {path: quicksave.ess}}\nproviders: {demo: {base_url: 'embedded:demo'}}\n"
    )
    done = run(tmp_path, "--listen", LOOPBACK)
    shown = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in shown
    assert "proxy.cache.path: " in shown and "no file of skyproxy's" in shown
    assert (save.read_bytes(), save.stat().st_mode, save.stat().st_mtime_ns) == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["quicksave.ess", "skyproxy.yaml"]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")
def test_a_configuration_that_is_moved_away_serves_on(demo: DemoProvider, tmp_path: Path) -> None:
    file = tmp_path / "skyproxy.yaml"
    file.write_text(yaml.safe_dump(config_for(demo)))
    proxy = Proxy(tmp_path)
    try:
        file.rename(tmp_path / "away.yaml")
        proxy.child.send_signal(signal.SIGHUP)
        record = proxy.record("Configuration not reloaded, the old one serves on")
        assert record["level"] == "ERROR" and "skyproxy.yaml" in record["problems"]
        assert ask(proxy, chat("combat")).status == 200
        assert demo.requests()
        file.write_text(yaml.safe_dump(config_for(demo)))
        proxy.child.send_signal(signal.SIGHUP)
        proxy.record("Configuration reloaded")
    finally:
        assert proxy.stop() == 0


def test_a_configuration_made_while_the_demo_serves_is_taken(demo: DemoProvider, tmp_path: Path) -> None:
    proxy = Proxy(tmp_path)
    try:
        assert ask(proxy, chat()).headers["x-skyproxy-demo"] == "true"
        (tmp_path / "skyproxy.yaml").write_text(yaml.safe_dump(config_for(demo)))
        assert str(tmp_path) in proxy.record("Configuration reloaded")["source"]
        assert "x-skyproxy-demo" not in ask(proxy, chat("combat")).headers
        assert demo.requests()
    finally:
        assert proxy.stop() == 0


def test_the_pid_file_of_a_life_before(tmp_path: Path) -> None:
    """As in a container, where the numbers begin anew: it names the process that starts."""
    script = (
        "import os, sys\nopen('twistd.pid', 'w').write(str(os.getpid()))\n"
        f"sys.argv[1:] = ['-n', 'skyproxy', '--listen', '{LOOPBACK}']\n"
        "from twisted.scripts.twistd import run\nrun()\n"
    )
    process = Process([sys.executable, "-c", script], tmp_path, environment(HOME=str(tmp_path)))
    process.wait_for("listens at")
    assert process.stop() == 0


def test_a_pid_file_that_cannot_be_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile", "/proc/x.pid", "skyproxy", "-l", LOOPBACK],
        cwd=tmp_path, env=environment(HOME=str(tmp_path)), capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (1, "")
    assert done.stderr.startswith("skyproxy: cannot write the pid file /proc/x.pid: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="takes root")
def test_files_belong_to_the_user_that_serves(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    command = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile", "", "--uid", "65534", "--gid", "65534"]
    process = Process(
        [*command, "skyproxy", "--listen", LOOPBACK, "--log-file", "logs/x.log"], tmp_path,
        environment(HOME=str(tmp_path)),
    )  # fmt: skip
    process.wait_for("listens at")
    assert process.stop() == 0
    for path in (tmp_path / "logs", tmp_path / "logs" / "x.log"):
        assert path.stat().st_uid == 65534
    assert "listens at" in (tmp_path / "logs" / "x.log").read_text()
