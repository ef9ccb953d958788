"""What a new user does, timed: from an empty folder and a key to the first word of a character.

``python -m tests.new_user [WAY ...]`` types the lines of the guide for players, in a folder of its own, without a home
and with empty caches; the demo stands in OpenRouter's place, on loopback. Ways:

uv      ``uv tool install --python 3.13 .``, then ``skyproxy``
pipx    ``pipx install .``, then ``skyproxy``
pyz     ``python -I skyproxy.pyz`` (``--pyz FILE``), where there is a Python and nothing else
frozen  the program that PyInstaller made (``--frozen FOLDER``), where there is no Python

It prints the seconds of each step, and fails if one fails. Where there is no pyz or frozen program yet, the guide for
contributors tells how to build them. Installing needs a package index; pipx and uv come from there.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import urlsplit

from skyproxy.command.output import table
from tests.e2e.processes import PATIENCE, ROOT, DemoProvider, Process

KEY = "sk-or-v1-" + "5e" * 32
STEPS = ("get the installer", "install", "skyproxy init", "skyproxy run", "first word", "whole answer")
GOAL_SECONDS, GOAL_STEPS = 120, 5


class Step(NamedTuple):
    """:ivar typed: what the user types.
    :ivar seconds: until it is done.
    """

    typed: str
    seconds: float


class Failed(Exception):
    """A step did not do what it should. The text says what it said."""


class User:
    """Somebody at a terminal who has nothing yet but *folder*.

    :ivar steps: what was done, by the names of STEPS.
    """

    def __init__(self, folder: Path, programs: tuple[Path, ...]) -> None:
        self.folder = folder
        self.steps: dict[str, Step] = {}
        home = folder / "home"
        home.mkdir()
        kept = ("PIP_", "UV_", "SSL_", "REQUESTS_", "SYSTEMROOT", "COMSPEC", "TEMP", "TMP", "LANG", "PYENV_ROOT")
        self.environment = {
            **{name: value for name, value in os.environ.items() if name.upper().startswith(kept)},
            "PATH": os.pathsep.join(map(str, programs)),
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            **({"USERPROFILE": str(home), "APPDATA": str(home), "LOCALAPPDATA": str(home)} if os.name == "nt" else {}),
        }
        self.environment.pop("PIP_NO_CACHE_DIR", None)
        (folder / "run").mkdir(mode=0o700)

    def type(self, step: str | None, *command: str, typed: str = "", where: str | None = None) -> str:
        """Run *command* to its end, as *step*; what it printed."""
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=where or self.folder, env=self.environment, input=typed, capture_output=True, text=True,
            errors="replace", timeout=600, check=False,
        )  # fmt: skip
        if done.returncode or KEY in done.stdout + done.stderr:
            raise Failed(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        if step is not None:
            self.steps[step] = Step(" ".join(map(_shown, command)), time.monotonic() - began)
        return done.stdout

    def from_a_key_to_a_word(self, skyproxy: tuple[str, ...], demo: DemoProvider) -> None:
        """Configure, start, ask as the game does, and stop; *skyproxy* is what starts the command."""
        arguments = ("--provider", "openrouter", "--key-stdin", "--yes", "--base-url", demo.base_url)
        self.type("skyproxy init", *skyproxy, "init", *arguments, typed=f"{KEY}\n")
        for harmless in ("--version", "check"):
            self.type(None, *skyproxy, harmless)
        began = time.monotonic()
        running = Process([*skyproxy, "run", "--listen", "tcp:0:interface=127.0.0.1"], self.folder, self.environment)
        try:
            address = running.wait_for(r"type (http\S+) as its endpoint").group(1)
            self.steps["skyproxy run"] = Step(" ".join([*map(_shown, skyproxy), "run"]), time.monotonic() - began)
            self._ask(address)
            if f"Bearer {KEY}" not in str(demo.requests()[-1]["headers"]):
                raise Failed("the provider has not got the key")
            self.type(None, *skyproxy, "stop")
            if running.wait() != 0:
                raise Failed("skyproxy run: " + "\n".join(running.output))
        finally:
            running.kill()

    def _ask(self, address: str) -> None:
        """Stream an answer of the slot ``default``, as SkyrimNet does."""
        parts = urlsplit(address)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE)
        body = {"model": "default", "stream": True, "messages": [{"role": "user", "content": "Who goes there?"}]}
        began = time.monotonic()
        connection.request("POST", parts.path, json.dumps(body), {"Content-Type": "application/json"})
        answer, said = connection.getresponse(), ""
        try:
            for line in answer:
                if line.strip() == b"data: [DONE]":
                    break
                if line.startswith(b"data: "):
                    choices = json.loads(line[6:]).get("choices") or [{}]
                    said += choices[0].get("delta", {}).get("content") or ""
                    if said and "first word" not in self.steps:
                        self.steps["first word"] = Step(f"{address} into SkyrimNet", time.monotonic() - began)
            else:
                raise Failed(f"the stream has no proper end: status {answer.status}, {said!r}")
        finally:
            connection.close()
        if len(said.split()) < 3:
            raise Failed(f"no character has spoken: {said!r}")
        self.steps["whole answer"] = Step("", time.monotonic() - began)


def by_uv(user: User, demo: DemoProvider) -> None:
    """uv brings its own Python, where there is none of the version that is asked for."""
    installer = _installer(user, "uv")
    user.type(
        "install", str(installer), "tool", "install", "--python", "3.13", ".", where=str(user.folder / "checkout")
    )
    user.from_a_key_to_a_word((str(_program(user.folder / "home" / ".local" / "bin", "skyproxy")),), demo)


def by_pipx(user: User, demo: DemoProvider) -> None:
    """With a Python that is there."""
    installer = _installer(user, "pipx")
    user.type("install", str(installer), "install", ".", where=str(user.folder / "checkout"))
    user.from_a_key_to_a_word((str(_program(user.folder / "home" / ".local" / "bin", "skyproxy")),), demo)


def by_pyz(archive: Path) -> Callable[[User, DemoProvider], None]:
    """With *archive*, copied beside nothing else."""

    def do(user: User, demo: DemoProvider) -> None:
        shutil.copy(archive, user.folder / "skyproxy.pyz")
        user.environment["PATH"] = ""
        user.from_a_key_to_a_word((_python(), "-I", "skyproxy.pyz"), demo)

    return do


def by_frozen(program: Path) -> Callable[[User, DemoProvider], None]:
    """With the folder *program*, copied to elsewhere."""

    def do(user: User, demo: DemoProvider) -> None:
        shutil.copytree(program, user.folder / "skyproxy", symlinks=True)
        user.environment["PATH"] = ""
        user.from_a_key_to_a_word((str(_program(user.folder / "skyproxy", "skyproxy", bin_folder="")),), demo)

    return do


def _shown(part: str) -> str:
    """Without the folder, which would be on the user's path."""
    return Path(part).name if os.path.isabs(part) else part


def _installer(user: User, name: str) -> Path:
    """Get *name* from the package index, in the place of winget and the like."""
    environment = user.folder / "tools"
    began = time.monotonic()
    venv.create(environment, with_pip=True, symlinks=os.name != "nt")
    user.type("get the installer", str(_program(environment, "python")), "-m", "pip", "install", "-q", name)
    user.steps["get the installer"] = Step(f"get {name}", time.monotonic() - began)
    _copy_of_the_checkout(user.folder / "checkout")
    return _program(environment, name)


def _program(environment: Path, name: str, bin_folder: str | None = None) -> Path:
    inside = ("Scripts" if os.name == "nt" else "bin") if bin_folder is None else bin_folder
    folder = environment if environment.name == "bin" else environment / inside
    return folder / (f"{name}.exe" if os.name == "nt" else name)


def _copy_of_the_checkout(folder: Path) -> None:
    """What a download has."""
    shutil.copytree(
        ROOT,
        folder,
        ignore=shutil.ignore_patterns(".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache"),
    )


def _python() -> str:
    """The interpreter itself, outside of all environments."""
    return str(getattr(sys, "_base_executable", sys.executable))


def _pythons() -> tuple[Path, ...]:
    """Where Pythons are: on the path, and those of pyenv, which otherwise shows only one."""
    found = [Path(each) for each in os.environ.get("PATH", "").split(os.pathsep) if each]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found = [Path(_python()).parent, *found]
    return (*found, *sorted(versions.glob("3.1*/bin"), reverse=True))


def main(arguments: list[str] | None = None) -> int:
    """Go the ways that are named; 1 if one does not lead to an answer."""
    parser = argparse.ArgumentParser(prog="python -m tests.new_user", description="Do what a new user does, timed.")
    parser.add_argument("--pyz", type=Path, metavar="FILE", help="go by this skyproxy.pyz, too")
    parser.add_argument("--frozen", type=Path, metavar="FOLDER", help="go by PyInstaller's dist/skyproxy, too")
    parser.add_argument("ways", nargs="*", metavar="WAY", help="uv, pipx; without any, and without files, both")
    given = parser.parse_args(arguments)
    known: dict[str, Callable[[User, DemoProvider], None]] = {"uv": by_uv, "pipx": by_pipx}
    if unknown := [way for way in given.ways if way not in known]:
        parser.error(f"no such way: {', '.join(unknown)} (there are {', '.join(known)}, --pyz and --frozen)")
    files = {"pyz": given.pyz and by_pyz(given.pyz), "frozen": given.frozen and by_frozen(given.frozen)}
    ways = {name: known[name] for name in given.ways or ([] if any(files.values()) else known)}
    ways |= {name: way for name, way in files.items() if way}
    rows, failed, typed = [], [], []
    for name, way in ways.items():
        with TemporaryDirectory(prefix="sky") as folder:
            user, demo = User(Path(folder), _pythons()), DemoProvider(Path(folder))
            try:
                way(user, demo)
            except (Failed, AssertionError, OSError, subprocess.TimeoutExpired) as error:
                failed.append(f"{name}: {error}")
            finally:
                demo.kill()
            rows.append(_row(name, user.steps))
            typed.append(f"{name}: " + "; ".join(step.typed for step in user.steps.values() if step.typed))
    print(table(("way", "steps", *STEPS, "together"), rows))
    print("\n".join(typed))
    print(f"The goal: {GOAL_STEPS} steps, {GOAL_SECONDS} s. Reading and typing come on top.")
    for complaint in failed:
        print(f"FAILED: {complaint}")
    print(f"{len(rows) - len(failed)} passed, {len(failed)} failed", flush=True)
    return 1 if failed else 0


def _row(name: str, steps: dict[str, Step]) -> list[str]:
    times = [f"{steps[step].seconds:.2f}" if step in steps else "-" for step in STEPS]
    # The first word is a part of the whole answer.
    together = sum(step.seconds for name, step in steps.items() if name != "whole answer")
    return [name, str(len(steps.keys() - {"whole answer"})), *times, f"{together:.1f} s"]


if __name__ == "__main__":
    sys.exit(main())
