"""What is measured, and what stands behind it: nginx, skyproxy, its naive configuration, streaming upstreams."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tests.benchmarks.machine import Tools
from tests.benchmarks.naive import NO_LIMITS
from tests.benchmarks.processes import Server, free_port, start, start_daemon
from tests.benchmarks.traffic import ANSWER
from tests.certificates import Authority
from tests.e2e.processes import ROOT, TWISTD, DemoProvider, environment

LIMITS = {"max_concurrent": 25, "max_pending": 2000}
"""Of the provider. More may wait than by default, so that a thousand clients are not refused."""

RAISED = {"max_concurrent": 2000, "max_connections": 2000, "max_pending": 2000}
"""Limits for a thousand streams at once."""

_NGINX = """\
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.err;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  log_format resumed '$ssl_session_reused';
  default_type application/json;
  client_body_buffer_size 64k;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  keepalive_requests 100000000;
{servers}
}}
"""

_ANSWERS = """\
  server {{
    listen 127.0.0.1:{port} backlog=4096{ssl};
    {settings}
    location / {{ return 200 '{answer}'; }}
    location = /status {{ stub_status; }}
  }}
"""

_PROXIES = """\
  upstream behind{port} {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://behind{port};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
"""


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a throw-away authority and of the certificate for ``localhost`` that it signed."""

    key: Path
    certificate: Path
    authority: Path

    @property
    def trusted(self) -> dict[str, str]:
        """The environment of a process that trusts the authority."""
        return {"SSL_CERT_FILE": str(self.authority)}


class Servers:
    """Starts servers; those that run at the end of the ``with`` block are ended, the latest first."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._stack = ExitStack()

    def __enter__(self) -> Servers:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="skyproxy-benchmarks-")))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def started(self, server: Server) -> Server:
        """*server*, to be ended with the others."""
        self._stack.callback(server.stop)
        return server

    def tls(self) -> Tls:
        """A certificate."""
        return Tls(*Authority().write(self.folder, "localhost", "127.0.0.1"))

    # nginx.

    def upstream(self) -> Server:
        """nginx that answers every request at once."""
        port = free_port()
        return self._nginx(port, _ANSWERS.format(port=port, ssl="", settings="", answer=ANSWER))

    def tls_upstream(self, tls: Tls) -> tuple[Server, Path]:
        """The same over TLS, closing each connection after its one answer; and its log of the handshakes: ``r`` for a
        resumed session, ``.`` for a new one.
        """
        port = free_port()
        log = self.folder / "handshakes"
        settings = (
            f"ssl_certificate {tls.certificate}; ssl_certificate_key {tls.key}; keepalive_timeout 0; "
            f"access_log {log} resumed;"
        )
        return self._nginx(port, _ANSWERS.format(port=port, ssl=" ssl", settings=settings, answer=ANSWER)), log

    def reverse_proxy(self, upstream: int) -> Server:
        """nginx in front of a port of loopback: one worker, connections kept, nothing buffered."""
        port = free_port()
        return self._nginx(port, _PROXIES.format(port=port, upstream=upstream))

    def _nginx(self, port: int, servers: str) -> Server:
        assert self._tools.nginx is not None
        folder = self.folder / f"nginx-{port}"
        folder.mkdir()
        user = "user root;" if os.geteuid() == 0 else ""
        config = folder / "nginx.conf"
        config.write_text(_NGINX.format(user=user, folder=folder, servers=servers))
        command = [self._tools.nginx, "-p", str(folder), "-e", str(folder / "nginx.err"), "-c", str(config)]
        return self.started(start("nginx", command, port, folder, environment()))

    # skyproxy.

    def skyproxy(
        self,
        base_url: str,
        *,
        naive: bool = False,
        model: str = "guard",
        log_file: Path | None = None,
        env: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        twistd: str = TWISTD,
        workers: int = 1,
    ) -> Server:
        """``twistd skyproxy`` as it is shipped, a daemon with its log at INFO in a file; or its naive configuration.

        :param settings: of the provider, beside :data:`LIMITS`.
        :param twistd: of the interpreter that it runs on.
        """
        port = free_port()
        folder = self.folder / f"skyproxy-{port}"
        folder.mkdir()
        limits = NO_LIMITS if naive else LIMITS
        config = {
            "proxy": {"log_level": "info", "log_file": str(log_file or folder / "skyproxy.log"), "workers": workers},
            "providers": {"up": {"base_url": base_url, "dialect": "local", **limits, **(settings or {})}},
            "model_slots": {"default": {"provider": "up", "model": model}},
        }
        (folder / "proxy.yaml").write_text(yaml.safe_dump(config))
        program = [sys.executable, "-m", "tests.benchmarks.naive"] if naive else [twistd]
        command = [*program, "skyproxy", "--config", "proxy.yaml", "--listen", f"tcp:{port}:interface=127.0.0.1"]
        home = environment(HOME=str(folder), XDG_CONFIG_HOME=str(folder), **(env or {}))
        home.pop("PYTHONUNBUFFERED")
        return self.started(start_daemon("naive" if naive else "skyproxy", command, port, folder, home))

    # What skyproxy is made of.

    def bare(self, upstream: int) -> Server:
        """llhttp on Twisted and nothing else, in front of a port of loopback."""
        return self._fixture("bare", upstream)

    def card(self, upstream: int) -> Server:
        """Klein, treq and the pool on skyproxy's wire and nothing else, likewise."""
        return self._fixture("card", upstream)

    def _fixture(self, name: str, upstream: int) -> Server:
        port = free_port()
        command = [sys.executable, "-m", f"tests.benchmarks.{name}", str(port), str(upstream)]
        return self.started(start(name, command, port, self.folder, environment()))

    # Providers that stream, or refuse.

    def demo(self, *options: str) -> DemoProvider:
        """skyproxy's own demo server."""
        demo = DemoProvider(self.folder, *options)
        self._stack.callback(demo.kill)
        return demo

    def streams(self, tls: Tls | None = None) -> Server:
        """An upstream whose streams are as the path says: ``/CHUNKS/DELAY_MS/SIZE/v1/chat/completions``.

        :param tls: for HTTP/1.1 and HTTP/2 over TLS, for which Node.js is needed.
        """
        port = free_port()
        files = [] if tls is None else [str(tls.key), str(tls.certificate)]
        if self._tools.node is not None:
            command = [self._tools.node, str(ROOT / "tests/benchmarks/upstream.js"), str(port), *files]
        else:
            assert tls is None
            command = [sys.executable, "-m", "tests.benchmarks.upstream", str(port)]
        return self.started(start("streams", command, port, self.folder, environment()))


def streams_path(chunks: int, delay_ms: int, size: int = 0) -> str:
    """Where a streaming upstream has streams of so many chunks, *delay_ms* apart, *size* bytes larger than usual."""
    return f"/{chunks}/{delay_ms}/{size}/v1"
