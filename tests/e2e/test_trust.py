"""Whom skyproxy trusts: Windows' stores, also under Twisted's Windows runner, and what a provider's keys say."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.e2e.commands import skyproxy
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PROXY_TWISTD, ROOT, Proxy, eventually
from tests.e2e.raw import ask, chat
from tests.e2e.test_tls_upstream import Files, TlsDemo, unreachable

STORE = f"{Path(__file__).with_name('windows_store')}{os.pathsep}{ROOT}"
NO_VARIABLES = {"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}

WINDOWS_RUNNER = """
from twisted.application.app import run
from twisted.scripts._twistw import ServerOptions, WindowsApplicationRunner
run(lambda config: WindowsApplicationRunner(config).run(), ServerOptions)
"""


class OnSelect(Proxy):
    """On the reactor that Windows has."""

    twistd = (*PROXY_TWISTD, "-n", "--pidfile", "", "--reactor", "select")


class OnWindowsRunner(Proxy):
    """As `twistd` starts there."""

    twistd = (sys.executable, "-c", WINDOWS_RUNNER, "-n", "--reactor", "select")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Key, certificate and authority of a server."""
    return Authority().write(tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture(scope="module")
def demo(start_for_module: Starter, files: Files) -> TlsDemo:
    """A demo provider over TLS."""
    provider: TlsDemo = start_for_module(TlsDemo, files)
    return provider


@pytest.mark.parametrize("kind", [OnSelect, OnWindowsRunner])
def test_a_root_in_windows_store(
    start: Starter, files: Files, demo: TlsDemo, tmp_path: Path, kind: type[Proxy]
) -> None:
    stored = {**NO_VARIABLES, "PYTHONPATH": STORE, "STORED_ROOTS": str(files[2])}
    proxy = start(kind, config_for(demo), env=stored)
    assert ask(proxy, chat()).json()["choices"]
    assert ask(proxy, chat(stream=True)).body.endswith(b"data: [DONE]\n\n")
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(Authority("Somebody else").pem)
    message = unreachable(start(kind, config_for(demo), env={**stored, "STORED_ROOTS": str(stranger)}))
    assert "certificate verify failed" in message
    assert "antivirus" in message
    assert proxy.stop() == 0


def test_an_authority_of_one_provider(start: Starter, files: Files, demo: TlsDemo) -> None:
    proxy = start(Proxy, config_for(demo, ca_file=str(files[2])), env=NO_VARIABLES)
    assert ask(proxy, chat()).json()["choices"]
    assert "certificate verify failed" in unreachable(start(Proxy, config_for(demo), env=NO_VARIABLES))


def test_a_provider_that_is_not_verified(start: Starter, demo: TlsDemo) -> None:
    proxy = start(Proxy, config_for(demo, verify=False), env=NO_VARIABLES)
    assert ask(proxy, chat()).json()["choices"]

    def warnings() -> int:
        return sum("verify: false" in record["warning"] for record in proxy.records("Configuration warning"))

    eventually(lambda: warnings() == 1, "it is warned of at the start")
    proxy.child.send_signal(signal.SIGHUP)
    eventually(lambda: warnings() == 2, "and at a reload")


def test_a_variable_that_names_nothing(start: Starter, demo: TlsDemo) -> None:
    proxy = start(Proxy, config_for(demo), env={**NO_VARIABLES, "SSL_CERT_FILE": "/nowhere/roots.pem"})
    (warning,) = eventually(lambda: [each for each in proxy.records() if "roots.pem" in str(each)], "a warning")
    assert warning["level"] == "WARN"
    assert "certificate verify failed" in unreachable(proxy)


def test_commands_trust_the_same_roots(files: Files, demo: TlsDemo, tmp_path: Path) -> None:
    stored = {**NO_VARIABLES, "PYTHONPATH": STORE, "STORED_ROOTS": str(files[2])}
    done = skyproxy(tmp_path, "chat", "guard", "Hello", "--url", demo.base_url, env=stored)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
    key = "sk-or-v1-" + "0f" * 32
    init = ("init", "--key-stdin", "--yes", "--no-local", "--base-url", demo.base_url)
    done = skyproxy(tmp_path, *init, typed=f"{key}\n", env=stored)
    assert done.returncode == 0, done.stderr
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(Authority("Somebody else").pem)
    for environ in ({**stored, "STORED_ROOTS": str(stranger)}, {**stored, "SSL_CERT_FILE": str(stranger)}):
        done = skyproxy(tmp_path, "chat", "guard", "Hello", "--url", demo.base_url, env=environ)
        assert done.returncode == 1 and "certificate verify failed" in done.stderr
        done = skyproxy(tmp_path, *init, "--dir", "other", typed=f"{key}\n", env=environ)
        assert done.returncode == 1 and "certificate verify failed" in done.stderr
    done = skyproxy(tmp_path, "chat", "guard", "Hello", "--url", demo.base_url, env={"SSL_CERT_FILE": str(files[2])})
    assert done.returncode == 0, done.stderr
