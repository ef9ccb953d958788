"""What an upgrade is made of: who may have one, what is passed on, and how the two processes speak."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any
from unittest import skipUnless

from twisted.internet.error import CannotListenError, ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config.overlay import Setting
from skyproxy.pipeline.changes import Change, Target
from skyproxy.process.systemd import Notifier
from skyproxy.process.upgrade import VARIABLE
from skyproxy.process.upgrade.changes import as_plain, from_plain
from skyproxy.process.upgrade.control import Control, receive_hello, send_hello
from skyproxy.process.upgrade.pid_file import PidFile
from skyproxy.process.upgrade.refusing import OF_WINDOWS, why_not
from skyproxy.process.upgrade.sockets import HeldByTheOld, Inherited
from skyproxy.process.upgrade.successor import Successor, own_command

POSIX = skipUnless(hasattr(socket, "send_fds"), "sockets are not passed here")


class RefusingTests(SynchronousTestCase):
    """skyproxy.process.upgrade.refusing"""

    def why(self, environ: dict[str, str], pid: int = 5, parent: int = 4, **options: Any) -> str | None:
        return why_not(
            options.pop("twistd", {}), environ, pid, parent, **{"can_pass": True, "frozen": False, **options}
        )

    def test_where_there_is_one(self) -> None:
        for environ in ({}, {"NOTIFY_SOCKET": "/n", "SYSTEMD_EXEC_PID": "5"}, {"SYSTEMD_EXEC_PID": "4"}):
            self.assertIsNone(self.why(environ))

    def test_where_there_is_none_one_sentence_says_so(self) -> None:
        for reason, told in (
            (OF_WINDOWS, self.why({}, can_pass=False)),
            ("frozen", self.why({}, frozen=True)),
            ("replace the container", self.why({}, pid=1, parent=0)),
            ("--chroot", self.why({}, twistd={"chroot": "/jail"})),
            ("Type=notify", self.why({"SYSTEMD_EXEC_PID": "5"})),
            ("supervisord", self.why({"SUPERVISOR_ENABLED": "1"})),
        ):
            self.assertIn(reason, str(told))
            self.assertEqual(len(str(told).splitlines()), 1)


class ChangesTests(SynchronousTestCase):
    """skyproxy.process.upgrade.changes"""

    def test_they_come_as_they_went(self) -> None:
        changes = [
            Change("a-1", "pause", Target(slot="combat"), "lydia", 1.5),
            Change("a-2", "set", Target(provider="p"), "lydia", 2.0, (Setting("providers", "p", "max_concurrent", 3),)),
        ]
        self.assertEqual(from_plain(as_plain(changes)), changes)

    def test_what_another_version_says_is_left_out(self) -> None:
        known = Change("a-1", "pause", Target(slot="combat"), "lydia", 1.5)
        (plain,) = as_plain([known])
        told = [{**plain, "colour": "red"}, {"kind": "pause"}, 7, {**plain, "target": {"planet": "Nirn"}}, plain]
        self.assertEqual(from_plain(told), [known])
        self.assertEqual(from_plain("nonsense"), [])


class ControlTests(SynchronousTestCase):
    """skyproxy.process.upgrade.control"""

    @POSIX
    def test_hello_brings_descriptors(self) -> None:
        old, new = socket.socketpair()
        reader, writer = os.pipe()
        with old, new:
            send_hello(old, {"pid": 7, "endpoints": ["x" * 70_000]}, [writer])
            told, (came,) = receive_hello(new)
        self.assertEqual(told["pid"], 7)
        os.write(came, b"x")
        self.assertEqual(os.read(reader, 1), b"x")
        for each in (reader, writer, came):
            os.close(each)

    @POSIX
    def test_who_is_gone_has_said_nothing(self) -> None:
        old, new = socket.socketpair()
        old.close()
        with new:
            self.assertRaises(ValueError, receive_hello, new)

    def test_words(self) -> None:
        heard: list[tuple[str, Any]] = []
        control, transport = (
            Control(lambda word, told: heard.append((word, told.get("pid"))), lambda: None),
            StringTransport(),
        )
        control.say("too early")
        control.makeConnection(transport)
        control.dataReceived(b'{"word": "began", "pid": 7}\nnonsense\n[]\n{"pid": 8}\n')
        self.assertEqual(heard, [("began", 7), ("None", 8)])
        control.say("go", changes=[])
        self.assertEqual(transport.value(), b'{"word": "go", "changes": []}\n')


class FakeReactor(Clock):
    """Which starts nothing."""

    def spawnProcess(self, protocol: Any, executable: str, args: list[str], **options: Any) -> Any:
        self.started = options
        protocol.makeConnection(SimpleNamespace(signalProcess=lambda name: None))
        return SimpleNamespace(pid=99)

    def adoptStreamConnection(self, number: int, family: Any, factory: Any) -> None:
        factory.buildProtocol(None).makeConnection(StringTransport())


class SuccessorTests(SynchronousTestCase):
    """skyproxy.process.upgrade.successor"""

    def setUp(self) -> None:
        self.clock = FakeReactor()
        self.ends: list[str] = []
        self.patch(os, "write", lambda number, data: len(data))
        self.new = Successor(self.clock, own_command(Path("/")), lambda word, told: None, self.ends.append)

    def ended(self, code: int | None, signal: int | None = None) -> None:
        error = ProcessDone(None) if code == 0 else ProcessTerminated(code, signal)
        self.new.processEnded(Failure(error))

    @POSIX
    def test_how_it_is_started(self) -> None:
        self.new.begin({}, [])
        environ = self.clock.started["env"]
        self.assertEqual(environ[VARIABLE], "3")
        self.assertEqual(environ["PATH"], os.environ["PATH"])
        self.assertNotIn("LISTEN_FDS", environ)
        self.assertEqual(self.clock.started["path"], "/")

    def test_why_it_ended(self) -> None:
        traceback = b'Traceback (most recent call last):\n  File "x"\nImportError: no treq\n'
        for written, code, signal, told in (
            (b"skyproxy: it cannot be used:\nx.yaml:1: bad\n", 1, None, "it cannot be used:\nx.yaml:1: bad"),
            (traceback, 1, None, "ImportError: no treq"),
            (b"", 3, None, "it ended with exit code 3"),
            (b"", None, 9, "signal 9 ended it"),
        ):  # fmt: skip
            self.setUp()
            self.new.errReceived(written)
            self.ended(code, signal)
            self.assertEqual(self.ends, [told])

    def test_why_it_ended_though_its_workers_live_on(self) -> None:
        self.new.processExited(Failure(ProcessTerminated(None, 9)))
        self.assertEqual(self.ends, [])
        self.clock.advance(1)
        self.assertEqual(self.ends, ["signal 9 ended it"])

    def test_its_last_words(self) -> None:
        self.assertEqual(self.new.last_words(), "")
        self.new.errReceived(b"a warning\nthe plugin is broken\n")
        self.assertEqual(self.new.last_words(), "the plugin is broken")

    @POSIX
    def test_a_daemon_lives_on(self) -> None:
        self.new.begin({}, [])
        self.ended(0)
        self.assertEqual(self.ends, [])
        self.new.control_lost()
        self.clock.advance(0)
        self.assertEqual(self.ends, ["it ended without a word"])


@POSIX
class InheritedTests(SynchronousTestCase):
    """skyproxy.process.upgrade.sockets"""

    def setUp(self) -> None:
        self.one, self.other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
        for each in (self.one, self.other):
            self.addCleanup(each.close)
        self.inherited = Inherited([("tcp:0", self.one), ("ssl:443:certKey=old.pem", self.other)])

    def test_by_words_then_by_address_and_once(self) -> None:
        address = self.other.getsockname()
        self.assertIs(self.inherited.take("tcp:0", ("127.0.0.1", 0)), self.one)
        self.assertIsNone(self.inherited.take("tcp:0", ("127.0.0.1", 0)))
        self.assertIs(self.inherited.take("ssl:443:certKey=new.pem", address), self.other)
        self.assertIsNone(self.inherited.take("ssl:443:certKey=new.pem", address))

    def test_a_port_that_the_old_process_has_at_another_address(self) -> None:
        """Another program is not to be looked for."""

        def listen(*_: Any) -> Any:
            raise CannotListenError(None, 0, OSError(errno.EADDRINUSE, "Address already in use"))

        port = self.one.getsockname()[1]
        around = self.inherited.around(SimpleNamespace(listenTCP=listen), f"tcp:{port}")
        with self.assertRaisesRegex(HeldByTheOld, f"port {port} of 127.0.0.1 until it ends.* takes a restart"):
            around.listenTCP(port, None)
        # These are in use for another reason.
        with self.assertRaises(CannotListenError):
            around.listenTCP(port, None, 50, "127.0.0.2")
        with self.assertRaises(CannotListenError):
            around.listenTCP(1, None)

    def test_what_nobody_wants_is_closed(self) -> None:
        self.inherited.take("tcp:0")
        self.inherited.close_others()
        self.assertEqual((self.one.fileno() >= 0, self.other.fileno()), (True, -1))

    def test_the_files_of_what_nobody_wants_go(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        kept, gone = folder / "kept.sock", folder / "gone.sock"
        sockets = []
        for path in (kept, gone):
            bound = socket.socket(socket.AF_UNIX)
            self.addCleanup(bound.close)
            bound.bind(str(path))
            os.symlink("1", f"{path}.lock")
            sockets.append((f"unix:{path}", bound))
        inherited = Inherited(sockets)
        inherited.take(f"unix:{kept}")
        inherited.close_others()
        self.assertEqual({each.name for each in folder.iterdir()}, {"kept.sock", "kept.sock.lock"})


class PidFileTests(SynchronousTestCase):
    """skyproxy.process.upgrade.pid_file"""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.path = self.folder / "twistd.pid"
        self.path.write_text("123456789")

    def assertOurs(self) -> None:
        self.assertEqual([each.name for each in self.folder.iterdir()], ["twistd.pid"])
        self.assertEqual(self.path.read_text(), str(os.getpid()))

    def test_it_names_this_process_and_nothing_is_left(self) -> None:
        twistd = {"pidfile": ""}
        PidFile(twistd).take(str(self.path))
        self.assertOurs()
        self.assertEqual(twistd["pidfile"], str(self.path))

    def test_there_may_be_none(self) -> None:
        for twistd in ({}, {"pidfile": ""}):
            pid_file = PidFile(twistd)
            pid_file.write()
            pid_file.leave()
            self.assertFalse(twistd.get("pidfile"))

    def test_another_process_keeps_it(self) -> None:
        twistd = {"pidfile": str(self.path)}
        PidFile(twistd).leave()
        self.assertEqual(twistd["pidfile"], "")
        self.assertTrue(self.path.exists())

    def test_in_a_folder_of_another_user_it_is_written_over(self) -> None:
        def refused(one: object, other: object) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(os, "replace", refused)
        former = PidFile({"pidfile": str(self.path), "uid": 65534})
        former.privilegedStartService()
        assert former.descriptor is not None
        self.addCleanup(os.close, former.descriptor)
        self.patch(Path, "write_text", refused)
        PidFile({"pidfile": ""}, former.descriptor).take(str(self.path))
        self.assertOurs()

    def test_on_a_full_disk_it_is_written_over(self) -> None:
        def full(path: Path, data: bytes) -> int:
            path.touch()
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(Path, "write_bytes", full)
        PidFile({"pidfile": ""}).take(str(self.path))
        self.assertOurs()

    def test_rights_that_stay_need_no_descriptor(self) -> None:
        pid_file = PidFile({"pidfile": str(self.path), "uid": None, "gid": None})
        pid_file.privilegedStartService()
        self.assertIsNone(pid_file.descriptor)


class LateNotifierTests(SynchronousTestCase):
    """skyproxy.process.upgrade.predecessor"""

    def test_the_supervisor_hears_nothing_before(self) -> None:
        from skyproxy.process.upgrade.predecessor import LateNotifier

        told: list[str] = []
        self.patch(Notifier, "tell", lambda notifier, words: told.append(words))
        notifier = LateNotifier({}, lambda: told.append("could"))
        notifier.reloading()
        notifier.ready()
        notifier.stopping()
        notifier.when_serving(lambda: told.append("serves"))
        self.assertEqual(told, ["could"])
        notifier.serve()
        notifier.ready()
        notifier.when_serving(lambda: told.append("at once"))
        self.assertEqual(told, ["could", "serves", "READY=1", "at once"])
