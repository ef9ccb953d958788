"""Files that others cannot read, and an address that others cannot reach."""

from __future__ import annotations

import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.processes import PATIENCE, TWISTD, DemoProvider, Proxy, environment
from tests.e2e.raw import ask, chat


class OpenHandedProxy(Proxy):
    """skyproxy where new files are for everybody."""

    prefix = ("sh", "-c", 'umask 0; exec "$@"', "sh")


def test_files_are_for_their_owner(start: Starter, demo: DemoProvider, findings: Findings) -> None:
    config = config_for(
        demo, {"record_bodies": "all", "cache": {"path": "kept/answers.sqlite"}}, cache={"store": "sqlite", "ttl": "1h"}
    )
    proxy = start(OpenHandedProxy, config, "--log-file", "logs/skyproxy.log")
    given = {proxy.folder, proxy.folder / "proxy.yaml"}
    for stream in (False, True):
        assert ask(proxy, chat("combat", stream)).status == 200
    seen: dict[Path, int] = {}

    def look() -> None:
        for path in proxy.folder.rglob("*"):
            if path not in given and not path.is_socket():
                seen[path] = stat.S_IMODE(path.lstat().st_mode)

    look()
    proxy.stop()
    look()
    names = {path.name for path in seen}
    assert {"answers.sqlite", "skyproxy.log"} <= names, names
    # Folders that are no more than the way to one of ours are as the system's other programs make them.
    wide = {
        str(path.relative_to(proxy.folder)): oct(mode)
        for path, mode in seen.items()
        if mode & 0o077 and not (path.is_dir() and path.name in (".local", ".config", ".cache", "share", "state"))
    }
    findings.figure(f"umask 0: {len(seen)} files and folders, {len(wide)} of them open to others")
    assert not wide


LOOPBACKS = {"0100007F", "00000000000000000000000001000000"}
"""127.0.0.1 and ::1, as the kernel writes them."""


def addresses_of(port: int) -> set[str]:
    """Those at which somebody listens at *port*."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:
                found.add(address)
    assert found
    return found


@pytest.mark.parametrize("config", [None, "demo"])
def test_by_default_only_this_machine_reaches_it(
    start: Starter, demo: DemoProvider, config: str | None, tmp_path: Path
) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    proxy = start(Proxy, config_for(demo) if config else None, "--listen", str(port))
    assert {line.split("/")[2].rpartition(":")[0] for line in proxy.output if "listens at http" in line} <= {
        "127.0.0.1", "[::1]", "localhost"
    }  # fmt: skip
    assert addresses_of(port) <= LOOPBACKS


@pytest.mark.parametrize("listen", ["tcp:0", "tcp:0:interface=0.0.0.0", "tcp6:0:interface=\\:\\:"])
def test_an_address_that_others_reach_is_refused_without_clients(
    demo: DemoProvider, tmp_path: Path, listen: str, findings: Findings
) -> None:
    (tmp_path / "skyproxy.yaml").write_text(f"providers: {{demo: {{base_url: '{demo.base_url}'}}}}\n")
    try:
        done = subprocess.run(
            [TWISTD, "-n", "--pidfile", "", "skyproxy", "--listen", listen], cwd=tmp_path,
            env=environment(HOME=str(tmp_path)), capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"it serves at {listen} without a client") from error
    shown = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in shown
    assert "skyproxy keys create" in shown and "required: false" in shown
    findings.figure(f"{listen}: refused")
