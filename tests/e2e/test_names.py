"""Providers that are reached by their names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import ROOT, DemoProvider, Proxy
from tests.e2e.raw import ask, chat
from tests.e2e.test_tls_upstream import At, TlsDemo, unreachable

NAMES = ("my_host", "r3---sn.example", "plain.example", "localhost")
KNOWN = f"{Path(__file__).with_name('known_names')}{os.pathsep}{ROOT}"
ENV = {"PYTHONPATH": KNOWN, "KNOWN_NAMES": ",".join(NAMES)}


@pytest.mark.parametrize("name", NAMES)
def test_names(start: Starter, demo: DemoProvider, name: str) -> None:
    proxy = start(Proxy, config_for(At(demo.base_url.replace("127.0.0.1", name))), env=ENV)  # type: ignore[arg-type]
    for _ in range(2):
        assert ask(proxy, chat()).json()["choices"]
    headers = {key.lower(): value for key, value in demo.requests()[0]["headers"].items()}
    assert headers["host"].partition(":")[0] == name


def test_names_over_tls(start: Starter, tmp_path: Path) -> None:
    files = Authority().write(tmp_path, "my_host")
    demo = start(TlsDemo, files)
    for name, served in (("my_host", True), ("my-host", False), ("name.invalid", False)):
        env = {**ENV, "KNOWN_NAMES": name}
        config = config_for(At(demo.base_url.replace("127.0.0.1", name)), ca_file=str(files[2]))  # type: ignore[arg-type]
        proxy = start(Proxy, config, env={**env, "SSL_CERT_FILE": ""})
        if served:
            assert ask(proxy, chat()).json()["choices"]
        else:
            assert "is for another host" in unreachable(proxy)


def test_a_name_that_nobody_knows(start: Starter) -> None:
    proxy = start(Proxy, config_for(At("http://no_host:1/v1")), env=ENV)  # type: ignore[arg-type]
    assert "cannot be resolved" in unreachable(proxy)
