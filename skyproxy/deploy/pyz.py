"""Building ``skyproxy.pyz``: one file with skyproxy and all that it needs but Python.

Type, in a checkout, with the Python that is to run it::

    python -m pip install shiv
    python -m skyproxy.deploy.pyz

Parsers, TLS and the like are compiled, so that the file is for one version of Python on one kind of system. It knows
which, and refuses others in a sentence (``pyz_main.py``).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

ENTRY = "skyproxy.command.main:main"
CHECKOUT = Path(__file__).resolve().parents[2]

_LEFT_OUT = re.compile(r"^__main__\.py$|^site-packages/bin/|^site-packages/.*/tests?/|\.dist-info/direct_url\.json$")
"""What does not go into the archive: shiv's start; programs and a file that tell the folder in which it was built; the
tests of libraries, a third of it."""

_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_")
_OLD_NAMES = {"manylinux1_": (2, 5), "manylinux2010_": (2, 12), "manylinux2014_": (2, 17)}


def main(arguments: list[str] | None = None) -> None:
    """Build it as *arguments* say."""
    parser = argparse.ArgumentParser(prog="python -m skyproxy.deploy.pyz", description="Build skyproxy.pyz.")
    parser.add_argument("source", nargs="?", default=str(CHECKOUT), help="a checkout, or a wheel; else this checkout")
    parser.add_argument("-o", "--output", type=Path, default=Path("skyproxy.pyz"), help="the file to write")
    given = parser.parse_args(arguments)
    if find_spec("shiv") is None:
        _fail(f"shiv is not installed: {sys.executable} -m pip install shiv")
    if Path(given.source).is_dir() and not (Path(given.source) / "setup.cfg").is_file():
        _fail(f"{given.source} is no checkout of skyproxy: name one, or a wheel")
    needs = build(given.source, given.output)
    size = given.output.stat().st_size / 1024 / 1024
    print(f"wrote {given.output} ({size:.0f} MiB), for {needs['python']} on {needs['platform']} alone")


def build(source: str, output: Path) -> dict[str, Any]:
    """Write *output* from *source*; what it needs.

    :raise SystemExit: shiv, or pip, cannot build it. They have said why.
    """
    # In its folder, so that the finished file can take its place at once.
    with TemporaryDirectory(dir=output.resolve().parent) as folder:
        plain, finished = Path(folder, "plain.pyz"), Path(folder, "finished.pyz")
        command = [sys.executable, "-m", "shiv", "--reproducible", "--compile-pyc", "-e", ENTRY, "-o", str(plain)]
        done = subprocess.run([*command, "--quiet", source], check=False)
        if done.returncode:
            _fail("shiv could not build it")
        needs = with_a_start_of_its_own(plain, finished)
        os.replace(finished, output)
    return needs


def with_a_start_of_its_own(plain: Path, finished: Path) -> dict[str, Any]:
    """Write *finished*: shiv's archive *plain*, with ``pyz_main.py`` in the place of its ``__main__.py``."""
    with zipfile.ZipFile(plain) as archive, finished.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        members = archive.infolist()
        wheels = [archive.read(each).decode() for each in members if each.filename.endswith(".dist-info/WHEEL")]
        needs = needs_of(wheels)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as written:
            for each in members:
                if not _LEFT_OUT.search(each.filename):
                    written.writestr(each, archive.read(each))
            for name, text in (
                ("needs.json", json.dumps(needs, sort_keys=True)),
                ("__main__.py", Path(__file__).with_name("pyz_main.py").read_text("utf-8")),
            ):
                member = zipfile.ZipInfo(name, members[0].date_time)
                member.compress_type = zipfile.ZIP_DEFLATED
                written.writestr(member, text)
    finished.chmod(0o755)
    return needs


def needs_of(wheels: Iterable[str]) -> dict[str, Any]:
    """What runs distributions whose ``WHEEL`` files are *wheels*: this Python, and the C library that they ask for."""
    darwin = sys.platform == "darwin"
    return {
        "python": f"{platform.python_implementation()} {sys.version_info[0]}.{sys.version_info[1]}",
        "threading": "free" if sysconfig.get_config_var("Py_GIL_DISABLED") else "gil",
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "platform": f"macosx-{platform.machine()}" if darwin else sysconfig.get_platform(),
        "glibc": glibc_of(wheels, _own_glibc()),
    }


def glibc_of(wheels: Iterable[str], own: tuple[int, int] | None) -> list[int] | None:
    """The oldest glibc with which all of *wheels* run; None where there is none.

    :param own: this system's, which is that of what was compiled here.
    """
    if own is None:
        return None
    floors = [(0, 0)]
    for wheel in wheels:
        tags = re.findall(r"^Tag: (\S+)$", wheel, re.MULTILINE)
        # Each tag promises that the wheel runs there: the most modest one counts.
        floors.append(min((_floor(tag, own) for tag in tags), default=(0, 0)))
    return list(max(floors))


def _floor(tag: str, own: tuple[int, int]) -> tuple[int, int]:
    system = tag.rpartition("-")[2]
    if system == "any":
        return (0, 0)
    if match := _MANYLINUX.match(system):
        return int(match[1]), int(match[2])
    return next((floor for name, floor in _OLD_NAMES.items() if system.startswith(name)), own)


def _own_glibc() -> tuple[int, int] | None:
    try:
        major, minor = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()[1].split(".")[:2]
        return int(major), int(minor)
    except (AttributeError, ValueError, OSError, IndexError):
        return None


def _fail(message: str) -> NoReturn:
    print(f"skyproxy.pyz: {message}", file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
