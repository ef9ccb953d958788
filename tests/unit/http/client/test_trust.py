"""Whom skyproxy trusts, on each system."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from twisted.logger import LogEvent, Logger

from skyproxy.http.client import trust
from tests.certificates import Authority

SERVER_AUTHENTICATION = "1.3.6.1.5.5.7.3.1"


def trusted(authority: Authority, roots: trust.Roots | None = None, *added: bytes) -> bool:
    """Whether a server's certificate that *authority* signed is accepted with *roots*, or those gathered now."""
    context = SSL.Context(SSL.TLS_METHOD)
    (roots or trust.Roots()).trust(added)._addCACertsToContext(context)
    server = crypto.load_certificate(crypto.FILETYPE_PEM, authority.certificate("localhost")[1])
    store: Any = context.get_cert_store()
    try:
        crypto.X509StoreContext(store, server).verify_certificate()
    except crypto.X509StoreContextError:
        return False
    return True


def der(authority: Authority) -> bytes:
    return x509.load_pem_x509_certificate(authority.pem).public_bytes(Encoding.DER)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables that name roots, and no defaults that hold any."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    defaults(monkeypatch, "/nowhere/cert.pem")


def defaults(monkeypatch: pytest.MonkeyPatch, file: str, folder: str = "/nowhere/certs") -> None:
    """The only places where OpenSSL looks by itself."""
    paths = ssl.DefaultVerifyPaths(None, None, "SSL_CERT_FILE", file, "SSL_CERT_DIR", folder)  # type: ignore[arg-type]
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(SSL, "_CERTIFICATE_FILE_LOCATIONS", [])
    monkeypatch.setattr(SSL, "_CERTIFICATE_PATH_LOCATIONS", [])


def windows(monkeypatch: pytest.MonkeyPatch, *entries: Any) -> None:
    stores = {"ROOT": list(entries), "CA": []}
    monkeypatch.setattr(ssl, "enum_certificates", stores.__getitem__, raising=False)


@pytest.mark.parametrize("purposes", [True, {SERVER_AUTHENTICATION}])
def test_a_root_that_only_windows_knows(monkeypatch: pytest.MonkeyPatch, purposes: Any) -> None:
    authority = Authority()
    windows(monkeypatch, (b"broken", "x509_asn", True), (der(authority), "x509_asn", purposes))
    assert trusted(authority)
    assert not trusted(Authority("Somebody else"))


def test_a_root_of_windows_for_another_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority()
    windows(monkeypatch, (der(authority), "x509_asn", {"1.3.6.1.5.5.7.3.3"}))
    assert not trusted(authority)


@pytest.mark.parametrize("on_windows", [True, False])
def test_certifi_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, on_windows: bool) -> None:
    authority = Authority()
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.pem)
    monkeypatch.setattr("certifi.where", lambda: str(bundle))
    if on_windows:
        windows(monkeypatch)
    assert trusted(authority)


def test_the_variable_goes_before_the_stores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named, stored = Authority("Named"), Authority("Stored")
    file = tmp_path / "named.pem"
    file.write_bytes(named.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    windows(monkeypatch, (der(stored), "x509_asn", True))
    assert trusted(named)
    assert not trusted(stored)


def test_the_default_paths_serve_where_they_hold_something(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    system, bundled = Authority("System"), Authority("Bundled")
    for name, authority in (("system.pem", system), ("bundled.pem", bundled)):
        (tmp_path / name).write_bytes(authority.pem)
    monkeypatch.setattr("certifi.where", lambda: str(tmp_path / "bundled.pem"))
    defaults(monkeypatch, str(tmp_path / "system.pem"))
    assert trusted(system)
    assert not trusted(bundled)


@pytest.mark.parametrize("content", [b"", b"broken"])
def test_default_paths_without_a_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes) -> None:
    bundled = Authority()
    (tmp_path / "bundled.pem").write_bytes(bundled.pem)
    (tmp_path / "system.pem").write_bytes(content)
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "README").write_bytes(b"no root")
    monkeypatch.setattr("certifi.where", lambda: str(tmp_path / "bundled.pem"))
    defaults(monkeypatch, str(tmp_path / "system.pem"), str(tmp_path / "certs"))
    assert trusted(bundled)


def test_certificates_that_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    system, own = Authority("System"), Authority("Own")
    windows(monkeypatch, (der(system), "x509_asn", True))
    roots = trust.Roots()
    assert trusted(system, roots, der(own))
    assert trusted(own, roots, der(own))
    assert not trusted(own, roots)


def test_a_context_of_pythons_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one, two = Authority("One"), Authority("Two")
    windows(monkeypatch, (der(one), "x509_asn", True), (der(one), "x509_asn", True), (der(two), "x509_asn", True))
    context = trust.Roots({}).context()
    assert context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname
    assert {der(one), der(two)} <= set(context.get_ca_certs(binary_form=True))
    nothing = trust.Roots({"SSL_CERT_FILE": "/nowhere"}).context()
    assert nothing.get_ca_certs() == []


def test_they_are_gathered_once_for_all_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    monkeypatch.setattr(ssl, "enum_certificates", lambda name: looks.append(name) or (), raising=False)  # type: ignore[func-returns-value]
    roots = trust.Roots()
    assert looks == []
    for _ in range(3):
        roots.trust()
    assert looks == ["ROOT", "CA"]


def test_a_broken_certificate_in_a_file_hides_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    authorities = Authority("One"), Authority("Two")
    (tmp_path / "bundle.pem").write_bytes(broken.join(each.pem for each in authorities))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.pem"))
    assert all(map(trusted, authorities))


def test_variables_that_name_nothing_are_told_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    events: list[LogEvent] = []
    monkeypatch.setattr(trust, "_log", Logger(namespace="test", observer=events.append))
    named = Authority()
    (tmp_path / "named.pem").write_bytes(named.pem)
    for environ, told in (
        ({"SSL_CERT_FILE": "/nowhere/a.pem"}, "SSL_CERT_FILE (/nowhere/a.pem)"),
        ({"SSL_CERT_FILE": "", "SSL_CERT_DIR": str(tmp_path)}, f"SSL_CERT_DIR ({tmp_path})"),
        (
            {"SSL_CERT_FILE": "/a", "SSL_CERT_DIR": "/b"},
            "SSL_CERT_FILE (/a) and SSL_CERT_DIR (/b)",
        ),
        ({"SSL_CERT_FILE": str(tmp_path / "named.pem")}, None),
        ({"SSL_CERT_FILE": str(tmp_path / "named.pem"), "SSL_CERT_DIR": "/b"}, None),
        ({}, None),
    ):
        roots = trust.Roots(environ)
        roots.trust()
        roots.trust()
        assert [event["named"] for event in events] == ([] if told is None else [told])
        assert not events or "no https provider can be reached" in events[0]["log_format"]
        events.clear()


def test_a_folder_of_hashed_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named = Authority()
    number = crypto.load_certificate(crypto.FILETYPE_PEM, named.pem).subject_name_hash()
    (tmp_path / f"{number:08x}.0").write_bytes(named.pem)
    monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join(["/nowhere", str(tmp_path)]))
    assert trusted(named)
    assert not trusted(Authority("Somebody else"))
