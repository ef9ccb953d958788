"""Keys are planted wherever one may come from, and looked for wherever anything is written or shown."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import zipfile
from pathlib import Path
from typing import Any

import pytest

from skyproxy.access.keys import hash_of, new_key
from tests.e2e.commands import skyproxy
from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.processes import PATIENCE, DemoProvider, Proxy, eventually
from tests.e2e.raw import call, chat, read_all
from tests.e2e.test_server_wire import HEAD
from tests.soak.raw_provider import Asked, RawProvider, framed

PROVIDERS = {"GUARD_API_KEY": "sk-planted-provider-0123456789", "SECOND_API_KEY": "planted.second.key.abcdefghijkl"}
CLIENTS = {
    "Authorization": "Bearer sk-planted-client-0123456789",
    "x-api-key": "sky-planted-client-abcdefghijklmnop",
    "api-key": "planted-azure-client-key-0001",
    "Cookie": "session=planted-cookie-0123456789",
    "Proxy-Authorization": "Basic planted-basic-0123456789",
}
PATHS = (
    "metrics", "api/now", "api/stats", "api/status", "api/requests?limit=500", "api/series", "api/setup", "api/costs",
    "api/book", "api/changes", "api/bodies", "api/budgets", "healthz", "readyz", "v1/models", "nothing",
)  # fmt: skip


def echoing(asked: Asked) -> list[bytes]:
    """An answer that repeats the key in every place that a provider has."""
    key = next(line for line in asked.head.split(b"\r\n") if line.lower().startswith(b"authorization"))
    seed = int(json.loads(asked.body).get("seed", 0))
    told = json.dumps(
        {"error": {"message": f"Wrong key {key.decode()}", "type": key.decode(), "code": "invalid_api_key"}}
    )
    more = b"X-Echo: %b\r\nX-Request-Id: %b\r\nWWW-Authenticate: %b\r\n" % ((key.partition(b": ")[2],) * 3)
    return [
        [framed(told.encode(), status=b"401 Unauthorized", more=more)],
        [framed(told.encode(), status=b"500 Broken", more=more)],
        [framed(b"<html>" + key + b"</html>", b"text/html", b"502 Bad", more)],
        [framed(b"data: " + told.encode() + b"\n\n", b"text/event-stream", more=more)],
        [b"HTTP/1.1 2000 " + key + b"\r\n\r\n", b""],
        [b"HTTP/1.1 200 OK\r\n" + key + b"\x00: x\r\n\r\n", b""],
        [b""],
    ][seed % 7]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads /proc")
@pytest.mark.parametrize("guarded", [False, True], ids=["open", "clients"])
def test_no_key_is_anywhere(
    start: Starter, demo: DemoProvider, tmp_path: Path, guarded: bool, findings: Findings
) -> None:
    planted, admin = dict(CLIENTS), dict(CLIENTS)
    provider = RawProvider(echoing)
    files = tmp_path / "files"
    proxy_settings = {
        "record_bodies": "all", "bodies": {"file": str(files / "bodies.sqlite")},
        "costs_file": str(files / "costs.sqlite"), "cache": {"path": str(files / "answers.sqlite")},
    }  # fmt: skip
    files.mkdir()
    config: dict[str, Any] = config_for(demo, proxy_settings, cache={"store": "sqlite", "ttl": "1h"})
    plain = config["providers"]["demo"]
    config["providers"]["echo"] = {
        **plain, "base_url": f"http://127.0.0.1:{provider.port}/v1", "api_key_env": list(PROVIDERS), "max_retries": 1,
    }  # fmt: skip
    config["providers"]["gone"] = {**plain, "base_url": "http://127.0.0.1:9/v1", "api_key_env": "GUARD_API_KEY"}
    config["providers"]["demo"]["api_key_env"] = "GUARD_API_KEY"
    if guarded:
        client, look_after = new_key(), new_key()
        planted = {"Authorization": f"Bearer {client}", "Cookie": CLIENTS["Cookie"]}
        admin = {"Authorization": f"Bearer {look_after}"}
        config["clients"] = {"lydia": {"key_hash": hash_of(client)}}
        config["access"] = {"admin": {"key_hash": hash_of(look_after)}, "store": str(files / "access.sqlite")}
    proxy = start(Proxy, config, "--log-level", "debug", env=PROVIDERS)
    seen: dict[str, bytes] = {}

    def look(what: str, data: bytes) -> None:
        seen[what] = data

    def asked(body: Any) -> bytes:
        # To the end, however that comes.
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = "".join(f"{name}: {value}\r\n" for name, value in planted.items())
        with socket.create_connection(proxy.address, PATIENCE) as connection:
            length = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(data)
            connection.sendall(HEAD + lines.encode() + length + data)
            return read_all(connection)

    for seed in range(14):
        look(f"answer {seed}", asked(chat("echo:m", seed % 2 == 0, seed=seed)))
    for model in ("combat", "combat", "demo:guard;status=500", "gone:m", "nobody", "demo:guard;cut=1"):
        for stream in (False, True):
            look(f"answer of {model} {stream}", asked(chat(model, stream)))
    look("answer to junk", asked(b"{"))
    for request in (rows := call(proxy, "GET", "/api/requests?limit=500", headers=admin).json()["requests"]):
        for path in (f"api/requests/{request['id']}", f"api/bodies/{request['id']}"):
            look(path, repr(call(proxy, "GET", f"/{path}", headers=admin)).encode())
    assert len(rows) > 20
    for path in PATHS:
        look(path, repr(call(proxy, "GET", f"/{path}", headers=admin)).encode())
        look(f"{path} with a wrong key", repr(call(proxy, "GET", f"/{path}", headers=CLIENTS)).encode())
    write_wrong(proxy)
    look("process list", Path(f"/proc/{proxy.child.pid}/cmdline").read_bytes())
    report = tmp_path / "report.zip"
    done = skyproxy(proxy.folder, "bug-report", "--yes", "-o", str(report), "--config", "proxy.yaml", env=PROVIDERS)
    assert done.returncode == 0, done.stderr
    look("bug-report", (done.stdout + done.stderr).encode())
    with zipfile.ZipFile(io.BytesIO(report.read_bytes())) as packed:
        for name in packed.namelist():
            look(f"bug report, {name}", packed.read(name))
    for command in ("status", "check"):
        done = skyproxy(proxy.folder, command, "--config", "proxy.yaml", env=PROVIDERS)
        look(command, (done.stdout + done.stderr).encode())
    proxy.stop()
    look("output", "\n".join(proxy.output).encode())
    written = [path for path in [*proxy.folder.rglob("*"), *files.rglob("*")] if path.is_file()]
    for path in written:
        look(str(path), path.read_bytes())
    assert any(path.name == "bodies.sqlite" for path in written) and any(
        path.name == "answers.sqlite" for path in written
    )
    secrets = [
        *PROVIDERS.values(),
        *(
            value.split()[-1].partition("=")[2] or value.split()[-1]
            for value in {*CLIENTS.values(), *planted.values(), *admin.values()}
        ),
    ]
    found = [(what, secret) for what, data in seen.items() for secret in secrets if secret.encode() in data]
    findings.figure(
        f"{len(secrets)} keys looked for in {len(seen)} places, {len(written)} of them files: {len(found)} found"
    )
    assert not found
    assert b"Traceback" not in seen["output"]
    provider.close()


def write_wrong(proxy: Proxy) -> None:
    """Have it tell what is wrong with a configuration in which keys stand as they are."""
    file = proxy.folder / "proxy.yaml"
    good = file.read_text()
    key = PROVIDERS["GUARD_API_KEY"]
    file.write_text(good.replace("api_key_env: GUARD_API_KEY", f"api_key: [{key}]\n    api_key_evn: {key}"))
    os.utime(file, (1, 1))
    proxy.child.send_signal(signal.SIGHUP)
    eventually(lambda: proxy.records("Configuration not reloaded, the old one serves on"), "it is refused")
    file.write_text(good)
