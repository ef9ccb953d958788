"""The lines that the README and the guides have readers type: each command, module and option exists."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import click
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.main import skyproxy
from skyproxy.tap import Options
from tests.docs_lines import EXECUTED, ONLY_CHECKED, PAGES, ROOT, for_cmd, how, is_posix_only, lines

_STANDS_FOR = {"KIND": "systemd", "N": "3", "ID": "x", "ENDPOINT": "35791", "LEVEL": "warn", "L": "warn"}
"""What words in capitals stand for, where any word would not do."""

_MODULE = re.compile(r"(?:\S*[/\\])?python3? -m ([a-z][\w.]*)(.*)")
_TABLE = re.compile(r"^\| Windows \| Linux and macOS \|\n\|[-|]+\|\n((?:\|.*\n)+)", re.MULTILINE)
_OPTION = re.compile(r"`(--[a-z][a-z-]+)")

_OTHERS = {
    "--reactor": "twistd's",
    "--reasoning-format": "llama.cpp's",
    "--reasoning-parser": "vLLM's",
}
"""Options of other programs."""

_FOREIGN_ON_WINDOWS = ("winget ", "py ")
"""What begins a line for Windows that is no translation."""


@cache
def help_of(module: str) -> str:
    """What a module of the tests says of its options."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    return done.stdout if done.returncode == 0 else ""


class LinesTests(SynchronousTestCase):
    """README.md and skyproxy/docs"""

    def test_of_each_line_it_is_said_how_it_is_tested(self) -> None:
        all_lines = list(lines())
        for_windows = {(line.page, for_cmd(line.text)) for line in all_lines if is_posix_only(line.text)}
        for line in all_lines:
            if line.block and (line.page, line.text) not in for_windows:
                self.assertIsNotNone(
                    how(line.text), f"{line.page}: say in tests/docs_lines.py how it is tested: {line}"
                )
        for pattern in (*EXECUTED, *ONLY_CHECKED):
            self.assertTrue(any(re.fullmatch(pattern, line.text) for line in all_lines), f"nobody types {pattern}")

    def test_windows_lines_stand_beside_posix_lines(self) -> None:
        for path in PAGES:
            text = path.read_text("utf-8")
            for line in lines():
                if line.page == path.name and line.block and is_posix_only(line.text):
                    self.assertIn("    " + for_cmd(line.text), text)
            for rows in _TABLE.findall(text):
                for row in rows.splitlines():
                    windows, posix = (re.findall(r"`([^`]+)`", cell) for cell in re.split(r"(?<!\\)\|", row)[1:3])
                    if not windows[0].startswith(_FOREIGN_ON_WINDOWS):
                        self.assertEqual(windows, [for_cmd(each) for each in posix])

    def test_extras_are_quoted_as_cmd_wants_it(self) -> None:
        for line in lines():
            if "install" in line.text and "skyproxy[" in line.text:
                self.assertNotIn("'", line.text, f"{line.page}: cmd knows double quotes alone")

    def test_lines_for_cmd(self) -> None:
        for posix, cmd in (
            ("python3 -m venv .venv && .venv/bin/pip install -e '.[test]'",
             'python -m venv .venv && .venv\\Scripts\\pip install -e ".[test]"'),
            ("cp a/b/*.yaml c/ && cp a/x c/.env", "copy a\\b\\*.yaml c && copy a\\x c\\.env"),
            ("skyproxy chat default --url http://127.0.0.1:1/v1", "skyproxy chat default --url http://127.0.0.1:1/v1"),
        ):  # fmt: skip
            self.assertEqual(for_cmd(posix), cmd)

    def test_commands_and_their_options_exist(self) -> None:
        seen = 0
        for line in lines():
            for part in line.text.split(" && "):
                words = shlex.split(re.sub(r"[\[\]]", "", part.replace("\\", "/")).partition(" > ")[0])
                if words[:1] and re.split("/", words[0])[-1] == "skyproxy" and len(words) > 1:
                    seen += 1
                    self.parse(words[1:], line.page)
                elif words[1:3] == ["-m", "skyproxy"]:
                    self.parse(words[3:], line.page)
        self.assertGreater(seen, 30)

    def parse(self, words: list[str], page: str) -> None:
        """Have click read *words*, with what they stand for, and do nothing."""
        folder = mkdtemp()
        self.addCleanup(rmtree, folder)
        words = [_STANDS_FOR.get(word, folder if word.isupper() and "-" in word else word) for word in words]
        command: click.Command = skyproxy
        context = click.Context(command)
        if words[0].startswith("--"):
            # Such as --version, which would be obeyed at once.
            self.assertIn(words[0], [name for parameter in command.params for name in parameter.opts], page)
            return
        while isinstance(command, click.Group) and words:
            found = command.get_command(context, words[0])
            assert found is not None, f"{page}: skyproxy {' '.join(words)}"
            command, words = found, words[1:]
            context = click.Context(command, context)
        try:
            command.make_context(command.name, words)
        except click.MissingParameter:
            # A text may name a command without what it needs.
            self.assertEqual(words, [], f"{page}: skyproxy {command.name} {' '.join(words)}")
        except click.UsageError as error:
            self.fail(f"{page}: skyproxy {command.name} {' '.join(words)}: {error.format_message()}")

    def test_the_line_for_twistd_is_right(self) -> None:
        (line,) = {line.text for line in lines() if line.text.startswith("twistd [")}
        words = re.sub(r"[\[\]]", "", line).replace(" L", " warn").split()
        options = Options()  # type: ignore[no-untyped-call]
        options.parseOptions(words[words.index("skyproxy") + 1 :])
        self.assertEqual((options["config"], options["listen"], options["log-level"]), ("PATH", "ENDPOINT", "warn"))

    def test_modules_and_their_options_exist(self) -> None:
        seen = set()
        for line in lines():
            for part in line.text.split(" && "):
                match = _MODULE.fullmatch(part)
                if match is None or match[1] in ("venv", "pip", "pytest", "pipx", "skyproxy"):
                    continue
                seen.add(match[1])
                told = help_of(match[1])
                self.assertTrue(told, f"{line.page}: there is no {match[1]} that knows --help")
                for option in re.findall(r" (--[a-z-]+)", match[2]):
                    self.assertIn(option, told, line.page)
        self.assertLessEqual({"tests", "tests.benchmarks", "tests.features"}, seen)

    def test_programs_hide_nothing_that_they_import(self) -> None:
        seen = 0
        for path in (ROOT / "tests").rglob("*.py"):
            text = path.read_text("utf-8")
            if 'if __name__ == "__main__":\n' not in text:
                continue
            seen += 1
            tree = ast.parse(text)
            imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
            imported = {(alias.asname or alias.name).split(".")[0] for node in imports for alias in node.names}
            # What is done there is done to names of the whole module, which its functions use.
            (main,) = [node for node in tree.body if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)]
            names = [node for node in ast.walk(main) if isinstance(node, ast.Name)]
            stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
            self.assertEqual(stored & imported, set(), path)
        self.assertGreater(seen, 5)

    def test_options_that_are_named_alone_exist(self) -> None:
        known = {*_OTHERS}

        def collect(command: click.Command) -> None:
            context = click.Context(command)
            for parameter in command.params:
                known.update(parameter.opts)
            known.update(command.get_help_option_names(context))
            if isinstance(command, click.Group):
                for name in command.list_commands(context):
                    found = command.get_command(context, name)
                    assert found is not None
                    collect(found)

        collect(skyproxy)
        for module in ("tests", "tests.benchmarks", "tests.features", "skyproxy.demo"):
            known.update(re.findall(r"--[a-z][a-z-]+", help_of(module)))
        for path in PAGES:
            for option in _OPTION.findall(path.read_text("utf-8")):
                self.assertIn(option, known, path.name)


def test_places_are_there() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100, "it can be executed"
    assert Path(ROOT / "tests" / "docs_lines.py").exists()
