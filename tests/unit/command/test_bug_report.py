"""What looks like a secret is in no report, whatever else is known of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.bug_report import without_secrets
from skyproxy.log.redaction import Redactor


class WithoutSecretsTests(SynchronousTestCase):
    def test_what_looks_like_a_secret(self) -> None:
        for text in (
            "shared: redis://:p4ssword@h:1/0",
            "shared: rediss://me:p4ssword@h",
            "proxy_url: http://me:p4ssword@h:3128",
            "a sk-p4sswordp4ssword b",
            "Bearer p4sswordp4ssword",
            "# api_key: p4sswordp4ssword",
            "  # MISTRAL_API_KEY=p4sswordp4ssword",
            "    ## - ZAI_TOKEN = p4sswordp4ssword",
            "headers: {X-Api-Key: p4ssword, X-Team: blue}",
            r"""headers: {X-Team: blue, 'Cookie': "a=p4ssword; b=\"p4ssword, c", X-Title: Skyrim}""",
            "headers: {Authorization: 'Basic p4ssword,p4ssword'}",
            '{"status":200, "proxy-authorization":"Basic p4ssword"}',
            "      Cookie: session=p4ssword",
            "      X-Auth: p4ssword",
        ):
            left = without_secrets(text, Redactor([]))
            self.assertNotIn("p4ssword", left, text)
            self.assertEqual(left.split()[0], text.split()[0])
        for text in (
            "http://127.0.0.1:11434/v1",
            "# api_key_env: MISTRAL_API_KEY",
            "# Keys stand in .env",
            "ask-somebody at me@h",
            "redis://h:6379/0",
            '{"level":"INFO","key":"MY_KEY","tokens_prompt":3,"provider":"a"}',
            "headers: {X-Title: Skyrim, X-Team: blue}",
            "auth_header: plain",
        ):
            self.assertEqual(without_secrets(text, Redactor([])), text)
