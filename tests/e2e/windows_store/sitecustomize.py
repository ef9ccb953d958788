"""Imported by any Python that has this folder in PYTHONPATH: OpenSSL's default paths hold nothing, and there is a store
of certificates as on Windows, with those in the file that STORED_ROOTS names.
"""

import os
import re
import ssl
from typing import Any

from OpenSSL import SSL

_PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.DOTALL)


def _stored(store: str) -> list[tuple[bytes, str, Any]]:
    if store != "ROOT":
        return []
    with open(os.environ["STORED_ROOTS"]) as file:
        return [(ssl.PEM_cert_to_DER_cert(each), "x509_asn", True) for each in _PEM.findall(file.read())]


_paths = ssl.get_default_verify_paths()._replace(openssl_cafile="/nowhere/cert.pem", openssl_capath="/nowhere/certs")
ssl.get_default_verify_paths = lambda: _paths
SSL._CERTIFICATE_FILE_LOCATIONS = SSL._CERTIFICATE_PATH_LOCATIONS = []
ssl.enum_certificates = _stored  # type: ignore[attr-defined]
