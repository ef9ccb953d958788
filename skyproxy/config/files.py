"""Where a configuration is, and what its files hold as text."""

from __future__ import annotations

import codecs
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skyproxy.config.problems import Problem, may_pass
from skyproxy.util.user_folders import user_home as user_home

ONE_FILE = "skyproxy.yaml"
PROVIDERS_FILE = "providers.yaml"
ROUTES_FILE = "routes.yaml"
ENV_FILE = ".env"

_LARGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration that was found.

    :ivar label: as the start message names it.
    :ivar files: the YAML files.
    :ivar env_files: where a .env may be, the strongest first.
    """

    label: str
    files: tuple[Path, ...]
    env_files: tuple[Path, ...]


def find(
    path: Path | None, *, environ: Mapping[str, str], cwd: Path, home: Path | None, problems: list[Problem]
) -> Source | None:
    """The configuration at *path*, or at the first of the usual places that has one.

    :return: None if there is none; *problems* says so where *path* promised one.
    """
    if path is not None:
        return _at(cwd / path, problems)
    one, two, *of_user = places(environ=environ, cwd=cwd, home=home)
    if is_file(one):
        return _of_file(one)
    if is_file(two):
        return _of_folder(two.parent)
    if any(map(is_file, of_user)):
        return _at(of_user[0].parent, problems)
    return None


def places(*, environ: Mapping[str, str], cwd: Path, home: Path | None) -> tuple[Path, ...]:
    """The files that are looked for where nobody names one, in their order."""
    user = _user_folder(environ, home)
    of_user = () if user is None else (user / ONE_FILE, user / PROVIDERS_FILE)
    return cwd / ONE_FILE, cwd / "config" / PROVIDERS_FILE, *of_user


_NEAR = {
    ONE_FILE: ("skyproxy.yml", "skyproxy.yaml.txt", "skyproxy.yml.txt"),
    PROVIDERS_FILE: ("providers.yml", "providers.yaml.txt", "providers.yml.txt", ONE_FILE),
    ENV_FILE: (".env.txt", "env", "env.txt"),
}


def near_misses(searched: Sequence[Path]) -> tuple[tuple[Path, Path], ...]:
    """Files that were probably meant to be one of *searched*: each with the path that it should have."""
    found = {}
    for path in searched:
        for name in _NEAR.get(path.name, ()):
            near = path.with_name(name)
            if near not in searched and is_file(near):
                # In a folder of two files one file alone would not be looked for: its place is one above.
                found[near] = path.parent.parent / ONE_FILE if name == ONE_FILE else path
        near_env = [path.with_name(name) for name in _NEAR[ENV_FILE]] if path.name == ONE_FILE else []
        found |= {near: near.with_name(ENV_FILE) for near in near_env if is_file(near)}
    return tuple(found.items())


def is_file(path: Path) -> bool:
    """Whether *path* is a file, as far as can be seen: what may not be looked at is not there."""
    try:
        return path.is_file()
    except OSError:
        return False


def _at(path: Path, problems: list[Problem]) -> Source | None:
    try:
        folder, there = path.is_dir(), path.exists()
    except OSError as error:
        problems.append(Problem(str(path), None, "", f"cannot be read: {error.strerror}"))
        return None
    if not folder:
        if there:
            return _of_file(path)
        problems.append(Problem(str(path), None, "", "there is no such file or folder"))
        return None
    if not os.access(path, os.X_OK):
        problems.append(Problem(str(path), None, "", "cannot be read: this folder may not be entered"))
        return None
    one, two = is_file(path / ONE_FILE), is_file(path / PROVIDERS_FILE)
    if one and two:
        problems.append(Problem(str(path), None, "", f"has both {ONE_FILE} and {PROVIDERS_FILE}: keep one of them"))
        return None
    if one:
        return _of_file(path / ONE_FILE)
    if two or is_file(path / ROUTES_FILE):
        return _of_folder(path)
    message = f"has neither {PROVIDERS_FILE} with {ROUTES_FILE}, nor {ONE_FILE}"
    problems.append(Problem(str(path), None, "", message))
    return None


def _of_file(path: Path) -> Source:
    return Source(str(path), (path,), (path.parent / ENV_FILE,))


def _of_folder(path: Path) -> Source:
    # The founding proxy is started beside its folder `config`, and reads the .env there.
    env_files = (path / ENV_FILE, path.parent / ENV_FILE)
    return Source(str(path), (path / PROVIDERS_FILE, path / ROUTES_FILE), env_files)


def _user_folder(environ: Mapping[str, str], home: Path | None) -> Path | None:
    """XDG Base Directory Specification; on Windows the folder of roaming application data."""
    for variable in ("XDG_CONFIG_HOME", "APPDATA"):
        folder = Path(environ.get(variable, ""))
        # "All paths set in these environment variables must be absolute. […] ignore it."
        if folder.is_absolute():
            return folder / "skyproxy"
    return None if home is None else home / ".config" / "skyproxy"


def read_text(path: Path, problems: list[Problem]) -> str | None:
    """The text of *path*; None if it cannot be read, which *problems* then tells."""
    passing = False
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) <= _LARGEST:
            return data.decode(_encoding(data))
        message = f"is larger than {_LARGEST} bytes"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        how = "save it in that encoding (in Notepad: Save as, Encoding: UTF-8)"
        problems.append(Problem(str(path), line, "", f"is not UTF-8: {how}"))
        return None
    except FileNotFoundError:
        message = "there is no such file"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        passing = may_pass(error)
    problems.append(Problem(str(path), None, "", message, passing=passing))
    return None


def _encoding(data: bytes) -> str:
    """That of a text: UTF-8, or what Windows' own programs write in its place."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # No text in UTF-8 has this byte, and half of one in the other that begins with ASCII are such.
    if data[1:2] == b"\0" and data[:1] != b"\0":
        return "utf-16-le"
    return "utf-16-be" if data[:1] == b"\0" and data[1:2] != b"\0" and len(data) > 1 else "utf-8-sig"
