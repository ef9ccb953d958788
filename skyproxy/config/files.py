"""Where a configuration is, and what its files hold as text."""

from __future__ import annotations

import codecs
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skyproxy.config.plain_files import LARGEST, bytes_of, is_file, what_else
from skyproxy.config.problems import Problem, may_pass
from skyproxy.config.working_folder import is_chosen

ONE_FILE = "skyproxy.yaml"
PROVIDERS_FILE = "providers.yaml"
ROUTES_FILE = "routes.yaml"
ENV_FILE = ".env"


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration that was found.

    :ivar label: as the start message names it.
    :ivar files: the YAML files.
    :ivar env_files: where a .env may be, the strongest first.
    :ivar folder: where the relative paths in the files begin.
    """

    label: str
    files: tuple[Path, ...]
    env_files: tuple[Path, ...]
    folder: Path


def find(
    path: Path | None, *, environ: Mapping[str, str], cwd: Path, home: Path | None, problems: list[Problem]
) -> Source | None:
    """The configuration at *path*, or at the first of the usual places that has one.

    :return: None if there is none; *problems* says so where *path* promised one.
    """
    if path is not None:
        return _at(cwd / path, problems)
    for one, two in _pairs(environ=environ, cwd=cwd, home=home):
        if one.parent == two.parent and is_file(one) and is_file(two):
            return _at(one.parent, problems)
        if is_file(one):
            return _of_file(one)
        if is_file(two):
            return _of_folder(two.parent)
    return None


def places(*, environ: Mapping[str, str], cwd: Path, home: Path | None) -> tuple[Path, ...]:
    """The files that are looked for where nobody names one, in their order."""
    return tuple(path for pair in _pairs(environ=environ, cwd=cwd, home=home) for path in pair)


def _pairs(*, environ: Mapping[str, str], cwd: Path, home: Path | None) -> list[tuple[Path, Path]]:
    """The places of one file, or of two, in their order."""
    pairs = [(cwd / ONE_FILE, cwd / "config" / PROVIDERS_FILE)]
    user = user_folder(environ, home)
    if user is not None:
        pairs.insert(1 if is_chosen(cwd, environ) else 0, (user / ONE_FILE, user / PROVIDERS_FILE))
    return pairs


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
        if path == searched[0] or path.parent != searched[0].parent:
            found |= {each: path for each in _of_other_case(path) if each not in searched}
        if path.name == PROVIDERS_FILE and path.parent.name == "config":
            beside = path.parent.parent / PROVIDERS_FILE
            if beside not in searched and is_file(beside):
                found[beside] = path
        near_env = [path.with_name(name) for name in _NEAR[ENV_FILE]] if path.name == ONE_FILE else []
        found |= {near: near.with_name(ENV_FILE) for near in near_env if is_file(near)}
    return tuple(found.items())


def _of_other_case(path: Path) -> list[Path]:
    """Files that have the name of *path* but for capital letters, where these make a difference."""
    try:
        names = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
    except OSError:
        return []
    return [path.with_name(name) for name in names if name != path.name and name.casefold() == path.name.casefold()]


def closed_folders(searched: Sequence[Path]) -> list[Path]:
    """The folders of *searched* into which this user may not look, as another one or an administrator has made them."""
    found = {}
    for path in searched:
        try:
            path.stat()
        except PermissionError:
            found[path.parent] = True
        except OSError:
            continue
    return list(found)


def _nearby(path: Path) -> str:
    """What to do about *path*, which is not there, if a file of nearly its name is."""
    near = [path.with_name(name) for name in (f"{path.name}.txt", f"{path.stem}.yml", f"{path.stem}.yml.txt")]
    near += _of_other_case(path)
    return next((f", but {each.name}: rename it to {path.name}" for each in near if is_file(each)), "")


_DOCKERS = "Docker makes one where a file that it shall mount is not there"


def not_read(searched: Sequence[Path]) -> list[str]:
    """What keeps those of *searched* that are there from being read, one sentence for each."""
    found = []
    for path in searched:
        kind = what_else(path)
        # A folder .env with this file is an environment of Python's.
        if kind is not None and not is_file(path / "pyvenv.cfg"):
            why = f" ({_DOCKERS})" if kind == "a folder" else ""
            found.append(f"{path} is not read: it is {kind}, and no file{why}.")
        routes = path.with_name(ROUTES_FILE)
        if path.name == PROVIDERS_FILE and not is_file(path) and is_file(routes):
            found.append(f"{routes} is not read, for {path.name} is missing beside it.")
    return found


def _missing(path: Path) -> str:
    kind = what_else(path)
    return f"is {kind}" if kind is not None else f"there is no such file or folder{_nearby(path)}"


def _at(path: Path, problems: list[Problem]) -> Source | None:
    try:
        folder, there = path.is_dir(), path.exists()
    except OSError as error:
        problems.append(Problem(str(path), None, "", f"cannot be read: {error.strerror}"))
        return None
    if not folder:
        if there:
            return _of_file(path)
        problems.append(Problem(str(path), None, "", _missing(path)))
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
    for each in (path / ONE_FILE, path / PROVIDERS_FILE):
        if os.path.lexists(each):
            kind = what_else(each)
            why = "it leads where this user may not look" if kind is None else f"it is {kind}, and no file"
            problems.append(Problem(str(each), None, "", f"cannot be read: {why}"))
            return None
    inner = path / "config"
    below = f": name {inner}, which has" if is_file(inner / ONE_FILE) or is_file(inner / PROVIDERS_FILE) else ""
    message = f"has neither {PROVIDERS_FILE} with {ROUTES_FILE}, nor {ONE_FILE}{below}"
    if path.suffix in (".yaml", ".yml"):
        message = f"is a folder, and no file: {_DOCKERS}"
    problems.append(Problem(str(path), None, "", message))
    return None


def _of_file(path: Path) -> Source:
    return Source(str(path), (path,), (path.parent / ENV_FILE,), path.parent)


def _of_folder(path: Path) -> Source:
    # The founding proxy is started beside its folder `config`: it reads the .env there, and there its paths begin.
    env_files = (path / ENV_FILE, path.parent / ENV_FILE)
    folder = path.parent if path.name == "config" else path
    return Source(str(path), (path / PROVIDERS_FILE, path / ROUTES_FILE), env_files, folder)


def user_folder(environ: Mapping[str, str], home: Path | None) -> Path | None:
    """The user's own folder of configurations; None: nobody knows. It is that of the XDG Base Directory Specification,
    and on Windows the one of roaming application data.
    """
    for variable in ("XDG_CONFIG_HOME", "APPDATA"):
        folder = Path(environ.get(variable, ""))
        # "All paths set in these environment variables must be absolute. […] ignore it."
        if folder.is_absolute():
            return folder / "skyproxy"
    return None if home is None else home / ".config" / "skyproxy"


def read_text(path: Path, problems: list[Problem]) -> str | None:
    """The text of *path*; None if it cannot be read, which *problems* then tells."""
    passing, line = False, None
    try:
        data = bytes_of(path)
        if len(data) <= LARGEST:
            return decoded(data)
        message = f"is larger than {LARGEST} bytes"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problems.append(Problem(str(path), line, "", f"is not UTF-8: {_SAVE}"))
        return None
    except _TwoEncodings as error:
        line, message = error.line, _APPENDED
    except _NoText:
        message = f"is no text in UTF-8, for it has bytes of value 0: {_SAVE}"
    except FileNotFoundError:
        message = f"there is no such file{_nearby(path)}"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        passing = may_pass(error)
    problems.append(Problem(str(path), line, "", message, passing=passing))
    return None


_SAVE = "save it in that encoding (in Notepad: Save as, Encoding: UTF-8)"


_APPENDED = (
    "is in UTF-16 from here on, as PowerShell's >> writes, and in UTF-8 before: delete the lines from here on in an "
    "editor, and type them anew"
)


class _NoText(ValueError):
    """The bytes are those of something else."""


class _TwoEncodings(_NoText):
    """The file goes on in another encoding than it has begun in.

    :ivar line: where.
    """

    def __init__(self, line: int) -> None:
        super().__init__(_APPENDED)
        self.line = line


def decoded(data: bytes) -> str:
    """The text that *data* is: in UTF-8, or what Windows' own programs write in its place, with and without a mark.

    :raise UnicodeDecodeError: it is in neither.
    :raise _NoText: it has zeros where no text has any.
    """
    _refuse_appended(data)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16")
    else:
        # No text in UTF-8 has this byte. In UTF-16 one half of each letter of ASCII is such, and so of each line's end.
        first, second = data[::2].count(0), data[1::2].count(0)
        encoding = "utf-8-sig" if not first and not second else "utf-16-be" if first > second else "utf-16-le"
        # Among eight letters there is one of ASCII, or the end of a line: a stray zero makes no UTF-16.
        if (first and second) or 0 < 16 * (first + second) < len(data):
            raise _NoText
        text = data.decode(encoding)
    if "\0" in text:
        raise _NoText
    return text


def _refuse_appended(data: bytes) -> None:
    """See that UTF-8 is not followed by UTF-16: read as either, all of it would be something else.

    :raise _TwoEncodings: it is.
    """
    start = data.find(b"\0") - 1
    if start < 1 or data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return
    try:
        before, after = data[:start].decode("utf-8-sig"), data[start:].decode("utf-16-le")
    except UnicodeDecodeError:
        return
    # Letters in UTF-16 of which no half is zero can be read as UTF-8, with characters that nobody types.
    typed = all(each.isprintable() or each in "\t\r\n" for each in before)
    letters = data[start + 1 :: 2].count(0)
    if typed and after.strip() and "\0" not in after and 2 * letters >= len(after):
        raise _TwoEncodings(data.count(b"\n", 0, start) + 1)
