"""Variables in headers are filled in, or asked for by their names."""

from __future__ import annotations

from skyproxy.config import ConfigError
from skyproxy.config.schema import ProviderConfig
from tests.unit.config.support import ConfigTestCase
from tests.unit.configs import config_of

TEXT = """
providers:
  some:
    base_url: https://api.example.org/v1
    headers:
      X-Title: Whiterun
      %s
"""


class FillingTests(ConfigTestCase):
    def provider(self, line: str, **variables: str) -> ProviderConfig:
        return config_of(TEXT % line, **variables).providers["some"]

    def refused(self, line: str, **variables: str) -> str:
        with self.assertRaises(ConfigError) as caught:
            self.provider(line, **variables)
        (problem,) = caught.exception.problems
        self.assertEqual(problem.line, 7)
        return str(problem)

    def test_filled_in(self) -> None:
        for line, value in (
            ("cf-aig-authorization: Bearer ${CF_TOKEN}", "Bearer t0ken-1"),
            ("X-Two: ${CF_TOKEN}/${PLACE}!", "t0ken-1/Solitude!"),
            ("X-Plain: costs $5 {a}", "costs $5 {a}"),
        ):
            provider = self.provider(line, CF_TOKEN="t0ken-1", PLACE="Solitude")
            self.assertEqual(dict(provider.headers), {"X-Title": "Whiterun", line.partition(":")[0]: value})

    def test_from_the_file_beside(self) -> None:
        self.write("skyproxy.yaml", TEXT % "X-Org: ${ORG}")
        self.write(".env", "ORG=Companions\n")
        self.assertEqual(self.load().providers["some"].headers["X-Org"], "Companions")

    def test_refused_with_the_name(self) -> None:
        for line, part in (
            ("X-Org: ${ORG_ID}", "headers.X-Org: needs the variable ORG_ID, which holds nothing"),
            ("X-Org: '${EMPTY}'", "needs the variable EMPTY"),
            ("api-key: '${API_KEY}'", '`auth_header: "api-key: ${API_KEY}"`'),
            ("X-Org: '${}'", "names no variable"),
            ("X-Org: '${ORG'", "needs the variable ORG"),
            ("X-Org: '${ORG-default}'", "names no variable"),
        ):
            self.assertIn(part, self.refused(line, EMPTY=" "))

    def test_what_cannot_be_a_header(self) -> None:
        message = self.refused("X-Org: ${ORG}", ORG="one\ntwo")
        self.assertIn("headers.X-Org: must be ASCII on one line", message)
        self.assertNotIn("two", message)

    def test_which_values_are_secrets(self) -> None:
        for line, secrets in (
            ("cf-aig-authorization: Bearer ${A}", ("word",)),
            ("X-Org: ${THE_TOKEN}", ("word-2",)),
            ("X-Org: ${LONG}", ("abcdefghijklmnop",)),
            ("X-Title2: ${A}", ()),
            ("api-key: 0123456789abcdef", ("0123456789abcdef",)),
            ("cf-aig-authorization: Bearer 0123456789abcdef", ("0123456789abcdef",)),
            ("X-Author: Bethesda", ()),
            ("X-Key: short", ()),
            ("X-Team: Companions of Whiterun", ()),
        ):
            provider = self.provider(line, A="word", THE_TOKEN="word-2", LONG="abcdefghijklmnop")
            self.assertEqual(provider.secrets, secrets)
            for secret in secrets:
                self.assertNotIn(secret, repr(provider))
