"""What is piped into ``skyproxy chat``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.asking import Answer
from skyproxy.command.chat import chat


class PipedTests(SynchronousTestCase):
    def test_each_line_is_asked_in_whatever_encoding(self) -> None:
        asked: list[str] = []

        def ask(url: str, slot: str, text: str, **fields: Any) -> Answer:
            asked.append(text)
            return Answer(200, "Aye.")

        self.patch(import_module("skyproxy.command.chat"), "ask", ask)
        sent = "“Who goes there?”\n\n".encode() + "Jürgen\n".encode("cp1252")
        done = CliRunner(charset="cp1252").invoke(chat, ["guard", "--url", "http://127.0.0.1:1"], input=sent)
        self.assertEqual((done.exit_code, asked), (0, ["“Who goes there?”", "Jürgen"]), done.exception)
