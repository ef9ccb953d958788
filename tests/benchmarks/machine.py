"""The machine that measures, and the tools it has."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_OPEN_FILES = 16_384

_WHENCE = {
    "nginx": "Debian package nginx",
    "wrk": "Debian package wrk",
    "node": "Debian package nodejs",
    "autocannon": "npm install -g autocannon, or --peers",
}


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python in which skyproxy is installed.

    :ivar name: its kind and version.
    :ivar twistd: its own.
    """

    name: str
    twistd: str


@dataclass(frozen=True, slots=True)
class Tools:
    """Programs that are no part of this repository; None: it is not there."""

    nginx: str | None
    wrk: str | None
    node: str | None
    autocannon: str | None

    def missing(self) -> list[str]:
        """What is not there, and where it comes from."""
        return [f"{name} ({whence})" for name, whence in _WHENCE.items() if getattr(self, name) is None]


def find_tools(peers_dir: Path) -> Tools:
    """Those on the path, and autocannon in *peers_dir* too."""
    places = os.pathsep.join(
        [os.environ.get("PATH", os.defpath), "/usr/sbin", str(peers_dir / "node/node_modules/.bin")]
    )
    return Tools(**{name: shutil.which(name, path=places) for name in _WHENCE})


def find_interpreter(python: str) -> Interpreter:
    """That at the path *python*.

    :raise ValueError: it does not run, or skyproxy is not installed there.
    """
    told = "import platform, skyproxy; print(platform.python_implementation(), platform.python_version())"
    twistd = Path(python).absolute().with_name("twistd")
    try:
        done = subprocess.run([python, "-c", told], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise ValueError(f"{python} is no Python in which skyproxy is installed: {error}") from None
    if not twistd.exists():
        raise ValueError(f"There is no {twistd}; give the Python of an environment in which skyproxy is installed.")
    return Interpreter(done.stdout.strip(), str(twistd))


def raise_open_files() -> int:
    """Let this process and its children have many sockets; how many."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)


def describe(tools: Tools) -> list[tuple[str, str]]:
    """The machine and the versions that matter, those of *tools* too, by name."""
    return [
        *describe_machine(),
        ("nginx", _told([tools.nginx, "-v"])),
        ("wrk", _told([tools.wrk, "-v"])),
        ("node", _told([tools.node, "--version"])),
        ("autocannon", _told([tools.autocannon, "--version"])),
    ]


def describe_machine() -> list[tuple[str, str]]:
    """The date, the machine, and the versions of the libraries that matter, by name."""
    cpus = os.sched_getaffinity(0)
    libraries = ("Twisted", "klein", "treq", "httptools", "orjson", "h2")
    return [
        ("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
        ("processor", f"{processor(Path('/proc/cpuinfo').read_text('utf-8'))}, {len(cpus)} cores"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        *((name, _library(name)) for name in libraries),
    ]


def processor(cpuinfo: str) -> str:
    """The processor that *cpuinfo*, the text of ``/proc/cpuinfo``, is of.

    Virtual machines often tell the maker only by name; family and model tell the generation, which the speed of an
    interpreter depends on much more than that of a server in C.
    """
    fields = dict(re.findall(r"^([^\t:]+?)\s*: *(.*)$", cpuinfo, re.MULTILINE))
    said = [fields.get("model name") or platform.machine()]
    said += [f"{name.removeprefix('cpu ')} {fields[name]}" for name in ("cpu family", "model") if name in fields]
    if "cpu MHz" in fields:
        said.append(f"{round(float(fields['cpu MHz']))} MHz")
    return ", ".join(said)


def _library(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _told(command: list[str | None]) -> str:
    """The version in what *command* says of itself."""
    if command[0] is None:
        return "not installed"
    done = subprocess.run([each for each in command if each], capture_output=True, text=True, check=False, timeout=30)
    found = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return found.group() if found else "installed"
