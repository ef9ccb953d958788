"""The authorities whose certificates skyproxy trusts, gathered for each system."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import certifi
from OpenSSL import SSL, crypto
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.logger import Logger
from zope.interface import implementer

_log = Logger()

_SERVER_AUTHENTICATION = "1.3.6.1.5.5.7.3.1"
_STORES = ("ROOT", "CA")
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
_PEM = re.compile(rb"-----BEGIN ((?:X509 )?CERTIFICATE)-----.+?-----END \1-----", re.DOTALL)
_FILE, _FOLDER = "SSL_CERT_FILE", "SSL_CERT_DIR"


class Roots:
    """What SSL_CERT_FILE and SSL_CERT_DIR name, before all. Else on Windows its stores and certifi, since Windows
    fetches most roots only when its own programs need them; elsewhere OpenSSL's default paths where they have
    something, else certifi.

    They are gathered once, when the first connection over TLS is prepared: that takes tens of milliseconds.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._gathered: tuple[list[crypto.X509], list[str]] | None = None

    def trust(self, added: Iterable[bytes] = ()) -> GatheredRoots:
        """These authorities, for one provider.

        :param added: certificates in DER that are trusted besides.
        """
        if self._gathered is None:
            self._gathered = self._gather()
        certificates, folders = self._gathered
        own = [crypto.load_certificate(crypto.FILETYPE_ASN1, each) for each in added]
        return GatheredRoots([*certificates, *own], folders)

    def context(self) -> ssl.SSLContext:
        """These authorities, for clients that Python's own library makes: the commands'."""
        if self._gathered is None:
            self._gathered = self._gather()
        certificates, folders = self._gathered
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if certificates:
            each = (crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate) for certificate in certificates)
            context.load_verify_locations(cadata=b"".join(each))
        for folder in folders:
            context.load_verify_locations(capath=folder)
        return context

    def _gather(self) -> tuple[list[crypto.X509], list[str]]:
        """The certificates, and folders in which OpenSSL looks for more."""
        file, folder = self._environ.get(_FILE), self._environ.get(_FOLDER)
        if file or folder:
            return self._named(file, folder)
        certificates: list[crypto.X509] = []
        folders: list[str] = []
        if hasattr(ssl, "enum_certificates"):
            certificates.extend(windows_roots())
        else:
            # They are named one by one: cryptography brings an OpenSSL of its own, which may look elsewhere.
            paths = ssl.get_default_verify_paths()
            for each in dict.fromkeys([paths.openssl_cafile, *SSL._CERTIFICATE_FILE_LOCATIONS]):
                certificates = certificates or list(_read(each))
            folders = _with_roots([paths.openssl_capath, *SSL._CERTIFICATE_PATH_LOCATIONS])
            if certificates or folders:
                return certificates, folders
        return [*certificates, *_read(certifi.where())], folders

    def _named(self, file: str | None, folder: str | None) -> tuple[list[crypto.X509], list[str]]:
        certificates = list(_read(file)) if file else []
        folders = _with_roots(folder.split(os.pathsep)) if folder else []
        if not (certificates or folders):
            named = " and ".join(f"{name} ({value})" for name, value in ((_FILE, file), (_FOLDER, folder)) if value)
            _log.warn(
                "No certificate is trusted, so that no https provider can be reached: nothing is to be found where "
                "{named} of the environment points",
                named=named,
            )
        return certificates, folders


@implementer(IOpenSSLTrustRoot)
class GatheredRoots:
    """Some authorities, as Twisted wants them.

    :param folders: in which OpenSSL looks for more.
    """

    def __init__(self, certificates: list[crypto.X509], folders: list[str]) -> None:
        self._certificates = certificates
        self._folders = folders

    def _addCACertsToContext(self, context: SSL.Context) -> None:  # the name that Twisted calls
        store: Any = context.get_cert_store()
        for certificate in self._certificates:
            store.add_cert(certificate)
        for folder in self._folders:
            context.load_verify_locations(None, folder)


def windows_roots() -> Iterator[crypto.X509]:
    """The certificates in Windows' stores that may vouch for servers; those that cannot be read are skipped."""
    enumerate_store: Any = getattr(ssl, "enum_certificates")  # noqa: B009 - only Windows has it
    for name in _STORES:
        try:
            entries = enumerate_store(name)
        except OSError:
            continue
        for content, encoding, trust in entries:
            if encoding == "x509_asn" and (trust is True or _SERVER_AUTHENTICATION in trust):
                yield from _readable(crypto.FILETYPE_ASN1, content)


def _read(file: str) -> Iterator[crypto.X509]:
    """The certificates in *file*, in PEM; none if it cannot be read."""
    try:
        with open(file, "rb") as opened:
            content = opened.read()
    except OSError:
        return
    for found in _PEM.finditer(content):
        yield from _readable(crypto.FILETYPE_PEM, found.group())


def _readable(encoding: int, content: bytes) -> Iterator[crypto.X509]:
    try:
        yield crypto.load_certificate(encoding, content)
    except crypto.Error:
        return


def _with_roots(folders: Iterable[str]) -> list[str]:
    """Those of *folders* that have files which OpenSSL finds there: they go by the hash of their subject."""
    return [folder for folder in dict.fromkeys(folders) if _has_roots(folder)]


def _has_roots(folder: str) -> bool:
    try:
        return any(_HASHED.fullmatch(name) for name in os.listdir(folder))
    except OSError:
        return False
