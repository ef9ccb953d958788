"""The files that ``skyproxy deploy`` prints, as far as this machine can use them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.commands import skyproxy, written
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import ROOT, TWISTD, DemoProvider, Process, environment, eventually
from tests.e2e.raw import call

KINDS = (
    "start", "start.bat", "start.sh", "systemd", "systemd-socket", "container", "compose", "kubernetes", "pyinstaller",
    "grafana", "alerts", "haproxy", "nginx",
)  # fmt: skip


class Served(Process):
    """A command line from one of the files, once it listens."""

    def __init__(self, cwd: Path, command: list[str], env: dict[str, str] | None = None) -> None:
        super().__init__(command, cwd, environment(HOME=str(cwd), XDG_CONFIG_HOME=str(cwd / "none"), **(env or {})))
        port = self.wait_for(r"(?:listens|serves) at http://127\.0\.0\.1:([0-9]+)").group(1)
        self.address = ("127.0.0.1", int(port))


def printed(folder: Path, kind: str) -> str:
    done = skyproxy(folder, "deploy", kind)
    assert done.returncode == 0, done.stderr
    text: str = done.stdout
    return text


def instructions(text: str) -> list[tuple[str, str]]:
    """Those of a Containerfile, with their values."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, value) for name, _, value in (line.partition(" ") for line in lines)]


def test_each_says_how_to_use_it_and_how_far_it_was_tried(tmp_path: Path) -> None:
    for kind in KINDS:
        text = printed(tmp_path, kind)
        assert "Use: " in text and "Tried: " in text, kind
        assert max(map(len, text.splitlines())) <= (300 if kind == "grafana" else 180), kind
    assert skyproxy(tmp_path, "deploy", "nothing").returncode == 2


def test_a_file_is_written_once(tmp_path: Path) -> None:
    done = skyproxy(tmp_path, "deploy", "start.sh", "--output", "start.sh")
    assert done.returncode == 0 and "wrote start.sh" in done.stdout
    assert stat.S_IMODE((tmp_path / "start.sh").stat().st_mode) & 0o100
    (tmp_path / "start.sh").write_text("mine")
    done = skyproxy(tmp_path, "deploy", "start.sh", "--output", "start.sh")
    assert done.returncode == 1 and "is not replaced" in done.stderr
    assert (tmp_path / "start.sh").read_text() == "mine"
    done = skyproxy(tmp_path, "deploy", "start.sh", "--output", "nowhere/start.sh")
    assert done.returncode == 1 and "cannot write nowhere/start.sh" in done.stderr


def test_the_batch_file_keeps_to_the_rules_of_cmd(tmp_path: Path) -> None:
    assert skyproxy(tmp_path, "deploy", "start.bat", "-o", "start.bat").returncode == 0
    data = (tmp_path / "start.bat").read_bytes()
    # Written, and printed through a pipe, it has the line ends without which cmd does not find its labels.
    command = [sys.executable, "-m", "skyproxy", "deploy", "start.bat"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout == data
    assert data.isascii() and data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r")
    lines = data.decode().splitlines()
    assert lines[0] == "@echo off"
    jumps = set(re.findall(r"\bgoto (\w+)", data.decode()))
    assert jumps == {line[1:] for line in lines if line.startswith(":")}
    assert not any("(" in line for line in lines if not line.startswith("rem")), "no block: paths may have brackets"
    assert '"%~dp0"' in data.decode() and "!" not in data.decode()


@pytest.mark.skipif(os.name == "nt", reason="it is for a POSIX shell")
@pytest.mark.parametrize("place", [".", "skyproxy/deploy"])
def test_the_shell_script_serves_what_is_installed(start: Starter, tmp_path: Path, place: str) -> None:
    folder = tmp_path / "a folder"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / "setup.cfg").touch()
    program = folder / ".venv" / "bin" / "skyproxy"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m skyproxy "$@"\n')
    program.chmod(0o755)
    (folder / place / "start.sh").write_text(printed(tmp_path, "start.sh"))
    served = start(Served, ["sh", str(folder / place / "start.sh"), "--listen", "tcp:0:interface=127.0.0.1"])
    assert call(served, "GET", "/healthz").status == 200
    assert served.stop() == 0


@pytest.mark.skipif(os.name == "nt", reason="it is for a POSIX shell")
def test_the_shell_script_tells_of_a_failed_installation_and_tries_again(tmp_path: Path) -> None:
    (tmp_path / "start.sh").write_text(printed(tmp_path, "start.sh"))
    (tmp_path / "programs").mkdir()
    python = tmp_path / "programs" / "python3"
    python.write_text(
        '#!/bin/sh\necho "$@" >> did\nmkdir -p .venv/bin\ncp "$0" .venv/bin/python\n[ "$2" = venv ] || exit 3\n'
    )
    python.chmod(0o755)
    for _ in range(2):
        path = f"{tmp_path / 'programs'}:/usr/bin:/bin"
        assert subprocess.run(["sh", "start.sh"], cwd=tmp_path, env={"PATH": path}, check=False).returncode == 3
    assert (tmp_path / "did").read_text().splitlines() == ["-m venv .venv", "-m pip install ."] * 2


def test_what_the_container_runs(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    text = printed(tmp_path, "container")
    assert "docker build -f Containerfile " in text, "of itself Docker looks for a Dockerfile"
    steps = instructions(text)
    copied = {
        source for name, value in steps if name == "COPY" and "--from" not in value for source in value.split()[:-1]
    }
    assert copied == {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "twisted", "skyproxy"}, (
        "keys may lie beside"
    )
    assert ("USER", "10001") in steps
    given = dict(steps)
    entry: list[str] = json.loads(given["ENTRYPOINT"])
    health: list[str] = json.loads(given["HEALTHCHECK"].partition("CMD ")[2])
    port = given["EXPOSE"]
    assert entry[0] == "twistd" and "--pidfile=" in entry and entry[-1] == f"tcp:{port}"
    written(tmp_path, config_for(demo))
    command = [TWISTD, *entry[1:-1], "tcp:0:interface=127.0.0.1"]
    # What is kept goes where a volume is, whatever else is read-only.
    (folder,) = re.findall(r"STATE_DIRECTORY=(\S+)", given["ENV"])
    assert f"-v skyproxy:{folder} " in text and f"mkdir {folder} && chown 10001 {folder}" in text
    assert f"skyproxy:{folder}" in yaml.safe_load(printed(tmp_path, "compose"))["services"]["skyproxy"]["volumes"]
    data = tmp_path / "data"
    data.mkdir()
    state = {"STATE_DIRECTORY": str(data)}
    served = start(Served, [each.replace("/config", str(tmp_path)) for each in command], state)
    eventually(lambda: list(data.glob("costs-*.sqlite")), "costs are kept there")
    check = [sys.executable, *(each.replace(port, str(served.address[1])) for each in health[1:])]
    assert subprocess.run(check, check=False).returncode == 0
    for document in yaml.safe_load_all(printed(tmp_path, "kubernetes")):
        for probe in probes_of(document):
            assert call(served, "GET", probe["httpGet"]["path"]).status == 200
    assert served.stop() == 0
    assert subprocess.run(check, check=False, capture_output=True).returncode != 0


def probes_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a manifest's containers, whose ports they name."""
    if document["kind"] != "Deployment":
        return []
    (container,) = document["spec"]["template"]["spec"]["containers"]
    probes = [container["readinessProbe"], container["livenessProbe"]]
    assert {probe["httpGet"]["port"] for probe in probes} == {port["name"] for port in container["ports"]}
    return probes


def test_manifests_agree_with_the_image(tmp_path: Path) -> None:
    given = dict(instructions(printed(tmp_path, "container")))
    deployment, service = yaml.safe_load_all(printed(tmp_path, "kubernetes"))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert str(pod["securityContext"]["runAsUser"]) == given["USER"]
    assert str(container["ports"][0]["containerPort"]) == given["EXPOSE"] == str(service["spec"]["ports"][0]["port"])
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    compose = yaml.safe_load(printed(tmp_path, "compose"))
    scraped = yaml.safe_load(compose["configs"]["prometheus"]["content"])["scrape_configs"][0]["static_configs"]
    assert scraped == [{"targets": [f"skyproxy:{given['EXPOSE']}"]}] and "skyproxy" in compose["services"]
    validate = pytest.importorskip("kubernetes_validate")
    for document in (deployment, service):
        validate.validate(document, validate.latest_version(), strict=True)


def test_what_systemd_runs(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    unit = printed(tmp_path, "systemd")
    settings = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    # pyOpenSSL could reach no https provider with it.
    assert "MemoryDenyWriteExecute" not in settings
    written(tmp_path, config_for(demo))
    paths = {"/etc/skyproxy": str(tmp_path), "/var/log/skyproxy": str(tmp_path), "/opt/skyproxy/bin/twistd": TWISTD}
    command = [
        re.sub("|".join(paths), lambda found: paths[found[0]], word) for word in shlex.split(settings["ExecStart"])
    ]
    command += ["--listen", "tcp:0:interface=127.0.0.1"]
    runtime = {"RUNTIME_DIRECTORY": str(tmp_path / "run")}
    served = start(Served, command, runtime)
    program, *arguments = shlex.split(settings["ExecReload"])
    assert Path(program).name == "skyproxy"
    assert skyproxy(tmp_path, *arguments, env=runtime).returncode == 0
    (tmp_path / "skyproxy.yaml").write_text("providers: [")
    assert skyproxy(tmp_path, *arguments, env=runtime).returncode == 1, "so that systemctl tells of it"
    assert served.stop() == 0
    assert (tmp_path / "skyproxy.log").stat().st_size > 0


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_reads_its_units(tmp_path: Path) -> None:
    units = [tmp_path / "skyproxy.service", tmp_path / "skyproxy.socket"]
    for unit, kind in zip(units, ("systemd", "systemd-socket"), strict=True):
        unit.write_text(re.sub(r"/opt/skyproxy/bin/\w+", sys.executable, printed(tmp_path, kind)))
    told = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert not [line for line in told.stderr.splitlines() if "skyproxy" in line], told.stderr
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    guide = (ROOT / "skyproxy" / "docs" / "operator.md").read_text("utf-8")
    promised = re.findall(r"`systemd-analyze security`[^0-9]*([0-9.]+[0-9])", guide + units[0].read_text())
    assert len(promised) == 2 and len({*promised}) == 1, promised
    # Others look at more.
    most = round(float(promised[0]) * 10) if version.startswith("systemd 252 ") else 20
    exposure = ["systemd-analyze", "security", "--offline=true", f"--threshold={most}", str(units[0])]
    told = subprocess.run(exposure, capture_output=True, text=True, check=False)
    if "unrecognized option" in told.stderr:
        pytest.skip("this systemd-analyze does not read units that are not installed")
    assert told.returncode == 0, told.stdout[-500:]
