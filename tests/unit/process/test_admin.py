from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any
from unittest import SkipTest

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.admin import AdminEndpoint
from skyproxy.process.runtime_folder import NotPrivate, found_in, make_private, remove_stale, runtime_folder

NOBODY = 2**22 + 1
"""No process has this number: it is beyond Linux' and Windows' usual ones."""


class Folder(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)


class RuntimeFolderTests(Folder):
    """skyproxy.process.runtime_folder"""

    def test_where_it_is(self) -> None:
        for environ, system, expected in (
            ({"XDG_RUNTIME_DIR": "/run/user/7"}, "posix", "/run/user/7/skyproxy"),
            ({"RUNTIME_DIRECTORY": "/run/skyproxy:/run/other", "XDG_RUNTIME_DIR": "/x"}, "posix", "/run/skyproxy"),
            ({"XDG_RUNTIME_DIR": "relative"}, "posix", f"/tmp/skyproxy-{os.getuid()}"),
            ({"LOCALAPPDATA": "/l"}, "nt", "/l/skyproxy/run"),
        ):
            environ_given: Mapping[str, str] = environ
            self.assertEqual(str(runtime_folder(environ_given, system)), expected)
        self.assertIsNone(runtime_folder({}, "nt"))

    def test_it_is_for_its_owner_alone(self) -> None:
        made = self.folder / "a" / "b"
        make_private(made)
        make_private(made)
        self.assertEqual(stat.S_IMODE(made.stat().st_mode), 0o700)

    def test_others_folders_are_not_used(self) -> None:
        open_to_all = self.folder / "open"
        open_to_all.mkdir()
        open_to_all.chmod(0o777)
        link = self.folder / "link"
        link.symlink_to(self.folder)
        for folder in (open_to_all, link):
            with self.assertRaises(NotPrivate):
                make_private(folder)

    def test_what_killed_processes_left_goes_and_nothing_else(self) -> None:
        # A container counts its processes anew: the number of a killed one may be another's, or this one's own.
        for name in (f"{NOBODY}.sock", f"{os.getpid()}.sock"):
            with socket.socket(socket.AF_UNIX) as killed:
                killed.bind(str(self.folder / name))
        names = (f"{NOBODY}.json", f"{os.getpid()}.json", "mine.sock", "7.txt", "x7.sock")
        for name in names:
            (self.folder / name).touch()
        with socket.socket(socket.AF_UNIX) as alive:
            alive.bind(str(self.folder / f"{NOBODY + 1}.sock"))
            alive.listen(1)
            remove_stale(self.folder)
        kept = {*names[1:], f"{NOBODY + 1}.sock"}
        self.assertEqual({each.name for each in self.folder.iterdir()}, kept)
        self.assertEqual({pid for pid, _ in found_in(self.folder)}, {os.getpid(), NOBODY + 1})
        self.assertEqual(list(found_in(self.folder / "none")), [])


class EndpointTests(Folder):
    """AdminEndpoint"""

    def test_where_there_are_no_unix_sockets_a_token_stands_in_a_file(self) -> None:
        reactor = MemoryReactorClock()
        tokens: list[str | None] = []
        endpoint = AdminEndpoint(reactor, self.folder, lambda token: tokens.append(token), has_unix=False)  # type: ignore[arg-type, func-returns-value]
        endpoint.listen()
        (server,) = reactor.tcpServers
        self.assertEqual(server[3], "127.0.0.1")
        file = self.folder / f"{os.getpid()}.json"
        self.assertEqual(json.loads(file.read_text())["token"], tokens[0])
        self.assertGreater(len(tokens[0] or ""), 30)
        if os.name != "nt":
            self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        self.successResultOf(Deferred.fromCoroutine(endpoint.close()))
        self.assertFalse(file.exists())

    def test_files_that_somebody_reads_on_windows(self) -> None:
        (self.folder / f"{NOBODY}.json").touch()
        reactor = MemoryReactorClock()
        endpoint = AdminEndpoint(reactor, self.folder, lambda token: None, has_unix=False)  # type: ignore[arg-type, return-value]

        def unlink(path: Path, missing_ok: bool = False) -> None:
            if path.exists():
                raise PermissionError(13, "It is being used by another process", str(path))

        self.patch(Path, "unlink", unlink)
        endpoint.listen()
        self.assertTrue((self.folder / f"{os.getpid()}.json").exists())
        self.assertEqual(len(reactor.tcpServers), 1)
        self.successResultOf(Deferred.fromCoroutine(endpoint.close()))

    def test_its_folder_may_be_gone_at_the_end(self) -> None:
        def gone() -> None:
            raise FileNotFoundError(2, "No such file or directory")

        reactor: Any = MemoryReactorClock()
        reactor.listenUNIX = lambda *_, **__: SimpleNamespace(stopListening=gone)
        endpoint = AdminEndpoint(reactor, self.folder, lambda token: None, has_unix=True)  # type: ignore[arg-type, return-value]
        endpoint.listen()
        self.successResultOf(Deferred.fromCoroutine(endpoint.close()))

    def test_without_a_folder_it_listens_nowhere(self) -> None:
        reactor = MemoryReactorClock()
        endpoint = AdminEndpoint(reactor, None, lambda token: None)  # type: ignore[arg-type, return-value]
        endpoint.listen()
        self.assertEqual((reactor.unixServers, reactor.tcpServers), ([], []))
        self.successResultOf(Deferred.fromCoroutine(endpoint.close()))

    def test_a_path_that_is_too_long(self) -> None:
        if os.name == "nt":
            raise SkipTest("there are no such paths")
        folder = self.folder / ("x" * 120)
        reactor = MemoryReactorClock()
        endpoint = AdminEndpoint(reactor, folder, lambda token: None)  # type: ignore[arg-type, return-value]
        endpoint.listen()
        self.assertEqual(reactor.unixServers, [])
