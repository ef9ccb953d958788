"""What `skyproxy deploy` prints for HAProxy and nginx, with the real ones in front of skyproxies that come and go."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from skyproxy.command.deploy import contents
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, DemoProvider, Process, Proxy, environment, eventually
from tests.e2e.redis_server import free_port
from tests.e2e.upgrades import Load, Upgraded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="they are started as on Debian")

TRUST: dict[str, Any] = {"trust_forwarded_from": ["127.0.0.1"], "required": False}


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """*text* with other addresses and places, of which each is there."""
    for pattern, instead in pairs:
        text, count = re.subn(pattern, instead, text)
        assert count, pattern
    return text


class Front(Process):
    """What stands in front, once it answers."""

    def __init__(self, cwd: Path, name: str, config: str, command: list[str], port: int) -> None:
        (cwd / name).write_text(config)
        self.address = ("127.0.0.1", port)
        super().__init__(command, cwd, environment(HOME=str(cwd)))
        eventually(self._answers, f"{name} answers")

    def _answers(self) -> bool:
        try:
            with urlopen("http://{}:{}/readyz".format(*self.address), timeout=PATIENCE) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class HaProxy(Front):
    """HAProxy in front of two."""

    def __init__(self, cwd: Path, *ports: int) -> None:
        port = free_port()
        text = replaced(
            contents("haproxy.cfg").decode(),
            (r"bind :443 .*", f"bind 127.0.0.1:{port}"),
            (r"server one \S+", f"server one 127.0.0.1:{ports[0]}"),
            (r"server two \S+", f"server two 127.0.0.1:{ports[1]}"),
            (r"inter 1s", "inter 500ms"),
        )
        super().__init__(cwd, "haproxy.cfg", text, ["haproxy", "-db", "-f", "haproxy.cfg"], port)


class Nginx(Front):
    """nginx in front of one."""

    def __init__(self, cwd: Path, proxied: int) -> None:
        port = free_port()
        text = replaced(
            contents("nginx.conf").decode(),
            (r"listen 443 .*", f"listen 127.0.0.1:{port};"),
            (r" +ssl_certificate.*\n", ""),
            (r"server 10\.0\.0\.11:\d+", f"server 127.0.0.1:{proxied}"),
            (r" +server 10\.0\.0\.12:\d+.*\n", ""),
            (r"server_name .*", "server_name localhost;"),
        )
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = " ".join(f"{kind}_temp_path {cwd}/{kind};" for kind in kinds)
        # One process: a worker would outlive a master that is killed.
        main = f"daemon off; master_process off; pid {cwd}/pid; error_log stderr; events {{}}"
        whole = f"{main}\nhttp {{ access_log off; {places}\n{text}}}\n"
        super().__init__(cwd, "nginx.conf", whole, ["nginx", "-p", str(cwd), "-c", str(cwd / "nginx.conf")], port)


@contextmanager
def asked(front: Front) -> Iterator[Load]:
    """Clients that ask through *front*, and lose nothing."""
    load = Load(front.address, 2)
    try:
        yield load
    finally:
        load.end()
    assert set(load.seen) == {"whole"}, load.seen


def upgrade(proxy: Upgraded, load: Load) -> None:
    """Have *proxy* replaced, and the new one asked."""
    assert proxy.upgrade()["good"]
    answered = load.answered
    load.until(lambda: load.answered >= answered + 100, "the new one is asked")


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="there is no HAProxy: apt-get install haproxy")
def test_haproxy(start: Starter, demo: DemoProvider) -> None:
    config = config_for(demo, {"stop_delay": "5s", "drain_timeout": "60s"}, max_concurrent=100)
    config["access"] = TRUST
    listen = ("--listen", "haproxy:tcp:0:interface=127.0.0.1")
    one: Proxy = start(Proxy, config, *listen)
    two: Upgraded = start(Upgraded, config, *listen)
    front: Front = start(HaProxy, one.address[1], two.address[1])
    with asked(front) as load:
        load.until(lambda: all(each.records("Upstream request completed") for each in (one, two)), "both are asked")
        assert one.stop() == 0
        upgrade(two, load)
    front.kill()
    assert two.stop() == 0


@pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx: apt-get install nginx")
def test_nginx(start: Starter, demo: DemoProvider) -> None:
    config = config_for(demo, {"drain_timeout": "60s"}, max_concurrent=100)
    config["access"] = TRUST
    proxy: Upgraded = start(Upgraded, config)
    front: Front = start(Nginx, proxy.address[1])
    with asked(front) as load:
        load.until(lambda: load.answered >= 100, "it is asked")
        upgrade(proxy, load)
    front.kill()
    assert proxy.stop() == 0
