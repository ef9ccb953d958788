"""What stands in front: certificates that change, bounds of connections, balancers that speak the PROXY protocol."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat


def config_of(demo: DemoProvider, proxy: dict[str, Any], access: dict[str, Any] | None = None) -> dict[str, Any]:
    return {**config_for(demo, proxy), **({} if access is None else {"access": access})}


def served_by(proxy: Proxy) -> str:
    """The certificate with which it serves."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(proxy.address, PATIENCE) as plain, context.wrap_socket(plain) as tls:
        found = tls.getpeercert(binary_form=True)
    assert found is not None
    return ssl.DER_cert_to_PEM_cert(found)


def test_a_certificate_is_renewed_while_it_serves(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    key, certificate, _ = Authority().write(tmp_path, "localhost")
    listen = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    proxy = start(Proxy, config_for(demo), "--listen", listen)
    first = served_by(proxy)
    assert first.strip() == certificate.read_text().strip()
    certificate.write_text("half a certif")
    message = "The certificate in its changed files cannot be used: the old one serves on"
    eventually(lambda: served_by(proxy) and proxy.records(message), "it is told")
    assert served_by(proxy) == first
    # As certbot does it: other files take the place of the old ones.
    (tmp_path / "new").mkdir()
    for new, old in zip(Authority().write(tmp_path / "new", "localhost"), (key, certificate), strict=False):
        os.replace(new, old)
    eventually(lambda: served_by(proxy) != first, "the new one")
    assert served_by(proxy).strip() == certificate.read_text().strip()
    assert proxy.stop() == 0


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(proxy.address, PATIENCE)


def is_closed(client: socket.socket) -> bool:
    """Whether the other side has closed; it must be silent otherwise."""
    client.settimeout(0.3)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def is_let_in(proxy: Proxy) -> bool:
    """Whether another client is. It may learn that it is not while it connects."""
    try:
        return not is_closed(connected(proxy))
    except ConnectionError:
        return False


def test_one_address_has_only_so_many_connections(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_of(demo, {"max_clients_per_address": 3}))
    clients = [connected(proxy) for _ in range(3)]
    assert not any(is_closed(client) for client in clients)
    assert is_closed(connected(proxy))
    record = proxy.record("Clients are not let in: they have too many connections")
    assert (record["limit"], record["client"]) == ("max_clients_per_address", "127.0.0.1")
    for client in clients:
        client.close()
    eventually(lambda: not is_closed(connected(proxy)), "others come in again")
    assert ask(proxy, chat("combat")).status == 200


@pytest.mark.parametrize("kind", ["ssl", "haproxy"])
def test_who_is_not_let_in_does_no_harm_to_the_port(
    start: Starter, demo: DemoProvider, tmp_path: Path, kind: str
) -> None:
    key, certificate, _ = Authority().write(tmp_path, "localhost")
    listen = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    if kind == "haproxy":
        listen = "haproxy:tcp:0:interface=127.0.0.1"
    access = {"trust_forwarded_from": ["127.0.0.0/8"], "required": False}
    proxy = start(Proxy, config_of(demo, {"max_clients": 1}, access), "--listen", listen)
    first = connected(proxy)
    assert not is_closed(first)
    assert not any(is_let_in(proxy) for _ in range(3))
    first.close()
    eventually(lambda: is_let_in(proxy), "others come in again")
    assert proxy.stop() == 0
    assert not [record for record in proxy.records() if record["level"] == "critical"]


@pytest.mark.parametrize("trusted", ["127.0.0.0/8", "10.0.0.0/8"])
def test_balancers_alone_say_who_the_client_is(start: Starter, demo: DemoProvider, trusted: str) -> None:
    access = {"trust_forwarded_from": [trusted], "required": False}
    proxy = start(Proxy, config_of(demo, {}, access), "--listen", "haproxy:tcp:0:interface=127.0.0.1")
    with connected(proxy) as client:
        client.sendall(b"PROXY TCP4 203.0.113.7 127.0.0.1 5000 80\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.settimeout(PATIENCE)
        try:
            answer = client.recv(1000)
        except ConnectionError:
            answer = b""
    assert answer.startswith(b"HTTP/1.1 200 ") if trusted.startswith("127") else answer == b""


def test_a_port_of_balancers_wants_their_addresses(start: Starter, demo: DemoProvider) -> None:
    with pytest.raises(AssertionError, match="name the balancers in front of skyproxy"):
        start(Proxy, config_for(demo), "--listen", "haproxy:tcp:0:interface=127.0.0.1")
