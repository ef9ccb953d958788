"""The authorities whose certificates skyproxy trusts, gathered for each system."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from typing import Any

import certifi
from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet._sslverify import IOpenSSLTrustRoot
from zope.interface import implementer

_SERVER_AUTHENTICATION = "1.3.6.1.5.5.7.3.1"
_STORES = ("ROOT", "CA")
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")


@implementer(IOpenSSLTrustRoot)
class GatheredRoots:
    """What SSL_CERT_FILE and SSL_CERT_DIR name, before all. Else on Windows its stores and certifi, since Windows
    fetches most roots only when its own programs need them; elsewhere OpenSSL's default paths where they hold
    something, else certifi.
    """

    def _addCACertsToContext(self, context: SSL.Context) -> None:  # the name that Twisted calls
        if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
            context.set_default_verify_paths()
        elif hasattr(ssl, "enum_certificates"):
            store: Any = context.get_cert_store()
            for certificate in windows_roots():
                store.add_cert(crypto.X509.from_cryptography(certificate))
            context.load_verify_locations(certifi.where())
        elif not load_default_paths(context):
            context.load_verify_locations(certifi.where())


def windows_roots() -> Iterator[x509.Certificate]:
    """The certificates in Windows' stores that may vouch for servers; those that cannot be read are skipped."""
    enumerate_store: Any = getattr(ssl, "enum_certificates")  # noqa: B009 - only Windows has it
    for name in _STORES:
        try:
            entries = enumerate_store(name)
        except OSError:
            continue
        for content, encoding, trust in entries:
            if encoding != "x509_asn" or not (trust is True or _SERVER_AUTHENTICATION in trust):
                continue
            try:
                yield x509.load_der_x509_certificate(content)
            except ValueError:
                continue


def load_default_paths(context: SSL.Context) -> bool:
    """Have *context* trust what the places hold where Python's OpenSSL, and pyOpenSSL, look by themselves.

    They are named to it one by one: cryptography brings an OpenSSL of its own, which may look elsewhere.

    :return: whether there was anything.
    """
    paths = ssl.get_default_verify_paths()
    files = [paths.openssl_cafile, *SSL._CERTIFICATE_FILE_LOCATIONS]
    folders = [paths.openssl_capath, *SSL._CERTIFICATE_PATH_LOCATIONS]
    file = any(_load(context, file, None) for file in files if os.path.isfile(file))
    folder = any(_load(context, None, folder) for folder in folders if _has_roots(folder))
    return file or folder


def _load(context: SSL.Context, file: str | None, folder: str | None) -> bool:
    try:
        context.load_verify_locations(file, folder)
    except SSL.Error:
        return False
    return True


def _has_roots(folder: str) -> bool:
    """Whether *folder* has files that OpenSSL finds there: they go by the hash of their subject."""
    try:
        return any(_HASHED.fullmatch(name) for name in os.listdir(folder))
    except OSError:
        return False
