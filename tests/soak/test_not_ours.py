"""Files of other programs, named wherever the configuration and the commands take a file's name."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.commands import skyproxy
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy
from tests.e2e.raw import ask, chat
from tests.e2e.sizes import size

PLACES: dict[str, dict[str, Any]] = {
    "cache": {"proxy": {"cache": {"path": "FILE"}}, "provider": {"cache": {"store": "sqlite", "ttl": "1h"}}},
    "costs": {"proxy": {"costs_file": "FILE"}},
    "bodies": {"proxy": {"record_bodies": "all", "bodies": {"file": "FILE"}}},
    "clients": {"access": {"store": "FILE"}},
    "log": {"arguments": ("--log-file", "FILE")},
}


def text(path: Path) -> None:
    path.write_text("Dear diary,\nnot a word of this may go.\n")


def database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("PRAGMA user_version = 7")
        made.execute("CREATE TABLE answers (id INTEGER PRIMARY KEY, body TEXT)")
        made.executemany("INSERT INTO answers (body) VALUES (?)", [(f"theirs {n}",) for n in range(100)])


def half_written(path: Path) -> None:
    """A database of another program that was killed while it wrote: its journal is needed to mend it."""
    database(path)
    path.with_name(path.name + "-wal").write_bytes(b"their log, " * 100)


def binary(path: Path) -> None:
    path.write_bytes(b"TESV_SAVEGAME" + bytes(range(256)) * 40)


FILES = {"database": database, "text": text, "database with a log": half_written, "binary": binary}


class State(NamedTuple):
    digest: str
    mode: int
    changed: int


def states(folder: Path) -> dict[str, State]:
    """What is in *folder*, as it is."""
    return {
        path.name: State(hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in folder.iterdir()
    }


def filled(value: Any, file: Path) -> Any:
    """*value*, in which FILE is *file*."""
    if isinstance(value, dict):
        return {key: filled(each, file) for key, each in value.items()}
    return str(file) if value == "FILE" else value


@pytest.mark.parametrize("kind", list(FILES)[: size(4, 2)])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("linked", [False, True][: size(2, 1)])
def test_it_stays_as_it_is(
    start: Starter, demo: DemoProvider, tmp_path: Path, place: str, kind: str, linked: bool
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    file = theirs / "precious"
    FILES[kind](file)
    for path in theirs.iterdir():
        path.chmod(0o644)
    named = tmp_path / "link" if linked else file
    if linked:
        named.symlink_to(file)
    before = states(theirs)
    settings = PLACES[place]
    config = config_for(demo, filled(settings.get("proxy", {}), named), **settings.get("provider", {}))
    config.update(filled({key: value for key, value in settings.items() if key == "access"}, named))
    arguments = [str(named) if each == "FILE" else each for each in settings.get("arguments", ())]
    try:
        proxy = start(Proxy, config, *arguments)
    except AssertionError as refused:
        assert "Traceback" not in str(refused)
    else:
        for stream in (False, True):
            ask(proxy, chat("combat", stream))
        proxy.stop()
        assert not [line for line in proxy.output if "Traceback" in line]
    after = states(theirs)
    assert after == before


def test_commands_replace_nothing(tmp_path: Path) -> None:
    for name in ("mine.zip", "mine.yaml", "skyproxy.yaml", ".env"):
        (tmp_path / name).write_text("# mine\n")
    before = states(tmp_path)
    for arguments in (
        ("bug-report", "--yes", "-o", "mine.zip"),
        ("deploy", "systemd", "-o", "mine.yaml"),
        ("deploy", "kubernetes", "-o", "mine.yaml"),
        ("init",),
        ("init", "--yes"),
        ("init", "--key", "sk-or-v1-0123456789"),
    ):
        skyproxy(tmp_path, *arguments)
        kept = states(tmp_path)
        assert {name: kept[name] for name in before} == before, arguments
