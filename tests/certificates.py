"""Throw-away authorities and certificates."""

from __future__ import annotations

import datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)
_CRITICAL = (x509.BasicConstraints, x509.KeyUsage)
_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """Signs certificates for a day."""

    def __init__(self, name: str = "Authority of a test") -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.pem = self._sign(
            self._name, self._key.public_key(), x509.BasicConstraints(ca=True, path_length=None), _SIGNS_CERTIFICATES
        )

    def certificate(self, *hosts: str) -> tuple[bytes, bytes]:
        """Key and certificate of a server that goes by *hosts*, names or addresses, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [_general_name(host) for host in hosts]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Server of a test")])
        pem = self._sign(subject, key.public_key(), x509.SubjectAlternativeName(names))
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key_pem, pem

    def write(self, folder: Path, *hosts: str) -> tuple[Path, Path, Path]:
        """Files of a server's key, of its certificate, and of this authority's own."""
        files = folder / "key.pem", folder / "server.pem", folder / "authority.pem"
        for file, content in zip(files, (*self.certificate(*hosts), self.pem), strict=True):
            file.write_bytes(content)
        return files

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *extensions: x509.ExtensionType) -> bytes:
        # Python 3.13 demands the identifiers of both keys, and an authority's key usage (RFC 5280, section 4.2.1).
        identifiers = (
            x509.SubjectKeyIdentifier.from_public_key(key),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
        )
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
        )
        for extension in (*extensions, *identifiers):
            builder = builder.add_extension(extension, critical=isinstance(extension, _CRITICAL))
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
