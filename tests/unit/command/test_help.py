"""What each command says of itself."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.deploy import KINDS
from skyproxy.command.main import COMMANDS, skyproxy


class HelpTests(SynchronousTestCase):
    """``skyproxy --help``, and that of each command."""

    def test_each_command_is_listed_and_has_its_own(self) -> None:
        listed = CliRunner().invoke(skyproxy, ["--help"])
        self.assertEqual(listed.exit_code, 0)
        for command in COMMANDS:
            with self.subTest(command=command):
                self.assertIn(f"\n  {command} ", listed.output)
                told = CliRunner().invoke(skyproxy, [command, "--help"])
                self.assertEqual(told.exit_code, 0, told.output)
                self.assertIn("--help", told.output)

    def test_a_command_that_there_is_not(self) -> None:
        for typed, meant in (("start", "run"), ("statsu", "status"), ("help", "--help"), ("setup", "init")):
            told = CliRunner().invoke(skyproxy, [typed])
            self.assertEqual(told.exit_code, 2)
            self.assertIn(f"No such command '{typed}'. Did you mean `skyproxy {meant}`?", told.output)
        told = CliRunner().invoke(skyproxy, ["xyzzy"])
        self.assertEqual(told.exit_code, 2)
        self.assertNotIn("mean", told.output)

    def test_kinds_of_files_are_not_cut(self) -> None:
        told = CliRunner().invoke(skyproxy, ["deploy", "--help"], terminal_width=80).output
        self.assertIn("deploy [OPTIONS] KIND\n", told)
        for kind in KINDS:
            self.assertIn(kind, told.replace("\n", " ").split("KIND is ")[1].replace(",", "").replace(".\n", " "))

    def test_the_lists_of_commands_cut_no_sentence(self) -> None:
        for group in ([], ["keys"], ["service"]):
            listed = CliRunner().invoke(skyproxy, [*group, "--help"], terminal_width=80)
            lines = listed.output.partition("\nCommands:\n")[2].splitlines()
            self.assertGreater(len(lines), 2)
            for line in lines:
                self.assertTrue(line.endswith(".") and not line.endswith(".."), line)

    def test_the_readme_has_each(self) -> None:
        text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
        table = text.partition("## Commands")[2].partition("\n## ")[0]
        named = set(re.findall(r"`(?:skyproxy )?([a-z-]+)[^`]*`", table))
        self.assertLessEqual(set(COMMANDS), named)
