"""ca_file and verify."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.certificates import Authority
from tests.unit.config.support import ConfigTestCase

TEXT = "providers: {mine: {base_url: 'https://h/v1', ca_file: tls/own.pem%s}}"


def der(authority: Authority) -> bytes:
    return x509.load_pem_x509_certificate(authority.pem).public_bytes(Encoding.DER)


class AuthorityTests(ConfigTestCase):
    def ca_file(self, content: bytes) -> None:
        self.write("tls/own.pem", "").write_bytes(content)

    def test_a_file(self) -> None:
        one, two = Authority("One"), Authority("Two")
        for content, expected in (
            (b"# Ours\n" + one.pem + b"\nand\n" + two.pem, (der(one), der(two))),
            (one.pem.replace(b"\n", b"\r\n"), (der(one),)),
            (der(two), (der(two),)),
        ):
            self.ca_file(content)
            self.assertEqual(self.load_text(TEXT % "").providers["mine"].ca_certificates, expected)

    def test_a_change_of_it_is_a_change_of_the_configuration(self) -> None:
        self.ca_file(Authority("One").pem)
        before = self.load_text(TEXT % "")
        self.assertIn(self.cwd / "tls/own.pem", before.paths)
        self.assertIn(self.cwd / "tls/own.pem", before.watched)
        self.ca_file(Authority("Two").pem)
        self.assertNotEqual(self.load_text(TEXT % "").providers["mine"], before.providers["mine"])

    def test_a_file_that_is_of_no_use(self) -> None:
        place = "proxy.yaml:1: providers.mine.ca_file: names a file"
        self.assertEqual(self.problems_of(TEXT % ""), [f"{place} that cannot be read: No such file or directory"])
        for content in (
            b"",
            b"no certificate",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ):
            self.ca_file(content)
            self.assertEqual(
                self.problems_of(TEXT % ""), [f"{place} without a certificate that can be read, in PEM or DER"]
            )
        self.ca_file(bytes(5 * 1024 * 1024))
        self.assertEqual(self.problems_of(TEXT % ""), [f"{place} that is larger than 4194304 bytes"])

    def test_certificates_that_are_not_checked_are_warned_of(self) -> None:
        self.ca_file(Authority().pem)
        self.assertEqual(self.load_text(TEXT % "").warnings, ())
        (warning,) = self.load_text("providers: {mine: {base_url: 'https://h/v1', verify: false}}").warnings
        self.assertIn("'mine' are not checked (verify: false)", warning)
        self.assertNotIn("of no effect", warning)
        (warning,) = self.load_text(TEXT % ", verify: false").warnings
        self.assertIn("of no effect", warning)

    def test_verify_is_said_for_each_provider_alone(self) -> None:
        text = "providers: {mine: {base_url: 'https://h/v1'}}\ndefaults: {%s}"
        for key in ("verify: false", "ca_file: x"):
            (problem,) = self.problems_of(text % key)
            self.assertIn("unknown key", problem)
