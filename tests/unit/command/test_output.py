"""What is piped into a command."""

from __future__ import annotations

import codecs
import io
import sys

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.output import piped_key


class PipedKeyTests(SynchronousTestCase):
    def test_whatever_a_shell_makes_of_it(self) -> None:
        for sent in (
            b"sk-1\n", b" sk-1 \r\nmore\n", b"sk-1", codecs.BOM_UTF8 + b"sk-1\r\n",
            "sk-1\r\n".encode("utf-16"), codecs.BOM_UTF16_BE + "sk-1\r\n".encode("utf-16-be"),
        ):  # fmt: skip
            # As it is read with a code page of Windows'.
            self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(sent), encoding="cp850"))
            self.assertEqual(piped_key(), "sk-1", sent)
        self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        self.assertEqual(piped_key(), "")
