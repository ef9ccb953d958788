"""A child of the fork server is what a fresh interpreter is."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import PROGRAM
from tests.e2e.forks import ForkServer
from tests.e2e.processes import ROOT, TWISTD, Process, environment, eventually, run_to_end

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")

PROBE = f"""#!{sys.executable}
import io, json, os, resource, signal, socket, sys, threading

def stream(each):
    return [each.name, each.mode, each.encoding, each.errors, each.line_buffering, each.write_through, each.newlines,
            type(each.buffer).__name__, each.isatty(), each is getattr(sys, '__' + each.name.strip('<>') + '__')]

def shown(name):
    return open('/proc/self/' + name, 'rb').read().rstrip(bytes(1)).decode().split(chr(0))

what = sys.argv[1]
if what == 'told':
    ours = os.sched_getaffinity(0), os.getpgid(0), os.getsid(0), os.getuid()
    print(json.dumps({{
        'argv': sys.argv, 'orig_argv': sys.orig_argv, 'path': sys.path, 'flags': list(sys.flags), 'environ':
        dict(os.environ), 'folder': os.getcwd(), 'main': [__name__, __file__, sys.modules['__main__'].__file__],
        'signals': {{str(int(n)): str(signal.getsignal(n)) for n in signal.valid_signals()}}, 'mask':
        sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), 'files': sorted(os.listdir('/proc/self/fd')), 'passed':
        [socket.socket(fileno=int(n)).getsockname()[1] for n in sys.argv[2:]], 'streams': [stream(s) for s in
        (sys.stdin, sys.stdout, sys.stderr)], 'cmdline': shown('cmdline'), 'comm': shown('comm'), 'own': str(ours),
        'limits': [resource.getrlimit(n) for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)], 'threads':
        threading.active_count(), 'reactor': 'twisted.internet.reactor' in sys.modules, 'hook':
        [sys.excepthook is sys.__excepthook__, signal.set_wakeup_fd(-1)], 'umask': os.umask(0),
    }}))
elif what == 'lines':
    print('out'); print('err', file=sys.stderr); print(sys.stdin.read().upper())
elif what == 'raise':
    raise ValueError('broken')
elif what == 'words':
    sys.exit('said so')
elif what == 'code':
    sys.exit(7)
elif what == 'signal':
    os.kill(os.getpid(), signal.SIGKILL)
elif what == 'waits':
    print('ready')
    try:
        signal.pause()
    finally:
        print('over')
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("probe") / "twistd"
    path.write_text(PROBE)
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="module")
def server(probe: str) -> Iterator[ForkServer]:
    server = ForkServer(environment(), probe, ROOT)
    yield server
    server.close()


@pytest.fixture
def both(server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Does something with a fresh interpreter, and with a fork: ``both(do)``."""

    def do(something: Any) -> tuple[Any, Any]:
        results = []
        for forks in (None, server):
            monkeypatch.setattr(Process, "forks", forks)
            results.append(something())
        return results[0], results[1]

    return do


def test_it_is_as_fresh(both: Any, probe: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        numbers = (first.fileno(), second.fileno())

        def told() -> Any:
            env = environment(HOME="/nowhere", SAID="ü")
            process = Process([probe, "told", *map(str, numbers)], tmp_path, env, numbers)
            assert process.wait() == 0, "\n".join(process.output)
            return json.loads(process.output[0])

        fresh, forked = both(told)
        assert forked["passed"] == [each.getsockname()[1] for each in (first, second)]
    # The descriptor by which it reads their list may have another number.
    assert len(fresh.pop("files")) == len(forked.pop("files"))
    assert forked == fresh


def test_it_ends_as_one(both: Any, probe: str, tmp_path: Path) -> None:
    def ends() -> Any:
        ended = []
        for what in ("lines", "raise", "words", "code", "signal"):
            done = run_to_end([probe, what], tmp_path, environment(), "typed\n")
            ended.append((done.returncode, done.stdout, done.stderr.splitlines()[-1:]))
        return ended

    fresh, forked = both(ends)
    assert forked == fresh
    assert forked[0] == (0, "out\nTYPED\n\n", ["err"]) and [code for code, _, _ in forked[1:]] == [1, 1, 7, -9]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_takes_signals_as_one(both: Any, probe: str, tmp_path: Path, number: int) -> None:
    def stopped() -> Any:
        process = Process([probe, "waits"], tmp_path, environment())
        process.wait_for("ready")
        code = process.stop(number)
        assert not Path(f"/proc/{process.child.pid}").exists()
        return code, process.output[-1:]

    fresh, forked = both(stopped)
    assert forked == fresh


def test_its_number_is_nobody_elses_before_its_end_is_heard(both: Any, probe: str, tmp_path: Path) -> None:
    def number() -> bool:
        process = Process([probe, "waits"], tmp_path, environment())
        process.wait_for("ready")
        os.kill(process.child.pid, signal.SIGKILL)
        stat = Path(f"/proc/{process.child.pid}/stat")
        eventually(lambda: ") Z " in stat.read_text(), "it has ended")
        kept = stat.exists()
        assert process.wait() == -signal.SIGKILL
        eventually(lambda: not stat.exists(), "nothing is left of it")
        return kept

    assert both(number) == (True, True)


def test_what_counts_at_the_start_is_not_forked() -> None:
    server = ForkServer(environment(), TWISTD, ROOT)
    assert server.can_start([TWISTD, "-n", "skyproxy"], environment(HOME="/nowhere"))
    assert server.can_start([*PROGRAM, "check"], environment())
    for command, env in (
        ([TWISTD], environment(PYTHONPATH="elsewhere")),
        ([TWISTD], environment(LC_ALL="tr_TR.UTF-8")),
        ([TWISTD, "x" * 5000], environment()),
        ([sys.executable, "-c", "pass"], environment()),
        ([sys.executable, "-m", "http.server"], environment()),
        (["sh", "-c", TWISTD], environment()),
    ):
        assert not server.can_start(command, env), command
