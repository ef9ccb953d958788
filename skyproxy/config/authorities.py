"""Files of authorities' certificates."""

from __future__ import annotations

import re
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from skyproxy.config.plain_files import bytes_of

_LARGEST = 4 * 1024 * 1024
"""Bytes of a file. The bundles of whole systems have a twentieth of that."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def read_certificates(file: Path) -> tuple[bytes, ...]:
    """The certificates in *file*, which is in PEM or, as Windows exports them, DER; each in DER.

    :raise ValueError: it cannot be read, or has none.
    """
    try:
        content = bytes_of(file, _LARGEST)
    except OSError as error:
        raise ValueError(f"names a file that cannot be read: {error.strerror}") from None
    if len(content) > _LARGEST:
        raise ValueError(f"names a file that is larger than {_LARGEST} bytes")
    try:
        if b"-----BEGIN" in content:
            found = [x509.load_pem_x509_certificate(each) for each in _PEM.findall(content)]
        else:
            found = [x509.load_der_x509_certificate(content)]
    except ValueError:
        found = []
    if not found:
        raise ValueError("names a file without a certificate that can be read, in PEM or DER")
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in found)
