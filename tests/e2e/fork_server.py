"""A process that has imported what skyproxy's processes import, and forks one wherever a test starts one.

An interpreter takes half a second of processor time to import skyproxy, and the tests start hundreds. What is imported
here has done nothing else: there is no reactor, no thread, no open file, no socket, and nothing that a start reads is
read yet. So a child that is given its arguments, environment, folder, descriptors and signals runs as a fresh
interpreter would: the program's own file is run as ``__main__``, and its end is the interpreter's. These things are
other than in a fresh interpreter, and no test that asks for them may be forked:

- modules that a start would import later, or never, are imported already;
- the order of sets of strings is that of this process, which is another each time that it starts;
- the parent is this process, and what the parent has in memory counts as the child's, too;
- what an interpreter reads before it runs a program (``PYTHONPATH``, the locale) is that of this process: whoever
  wants it otherwise gets a fresh interpreter, see forks.py.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

REACTOR = "twisted.internet.reactor"

MODULES = (
    "skyproxy.tap",
    "skyproxy.process.building",
    "skyproxy.demo.__main__",
    "twisted.scripts.twistd",
)
"""With what they import, these are what a process of skyproxy needs until it serves."""

LONGEST = 1 << 17
"""Bytes of an order."""


class LaterReactor(ModuleType):
    """In the place of the reactor, while there is none: Klein takes it, when it is imported, for what skyproxy never
    calls. It is the one that the child installs."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(REACTOR), name)


class Order(NamedTuple):
    """What the child is to be.

    :ivar program: a script's path, or after ``-m`` a module's name.
    :ivar descriptors: the numbers that the child has them by; the first three are its standard streams.
    """

    module: bool
    program: str
    arguments: list[str]
    environ: dict[str, str]
    folder: str
    descriptors: list[int]


def import_all() -> None:
    """Import what a start imports, without a reactor."""
    import twisted.internet
    from twisted.application.service import IServiceMaker
    from twisted.plugin import getPlugins

    later = LaterReactor(REACTOR)
    sys.modules[REACTOR] = later
    setattr(twisted.internet, "reactor", later)  # noqa: B010 (as an import does)
    for name in MODULES:
        import_module(name)
    list(getPlugins(IServiceMaker))
    del sys.modules[REACTOR]
    delattr(twisted.internet, "reactor")
    gc.collect()
    # So that the children's collector does not copy what they share.
    gc.freeze()


class Server:
    """Forks as it is told.

    An order comes with a socket of its own, by which the child's life is told: its number, and once it has ended its
    exit code. Its number is not another's before that socket is closed: as with children of one's own.

    :param control: brings the orders; the server ends with it.
    """

    def __init__(self, control: socket.socket) -> None:
        # Ctrl-C reaches this process with its children, and the tests may want theirs ended one by one.
        self._interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._control = control
        self._ended, self._wakeup = socket.socketpair()
        for each in (self._ended, self._wakeup):
            each.setblocking(False)
        self._children: dict[socket.socket, int] = {}
        self._told: set[socket.socket] = set()
        self._left: set[int] = set()

    def serve(self) -> Order | None:
        """Serve until the tests end; in a child, what it is to be."""
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            ready, _, _ = select.select([self._control, self._ended, *self._children], [], [])
            if self._ended in ready:
                with contextlib.suppress(BlockingIOError):
                    self._ended.recv(4096)
            for life in self._children.keys() & set(ready):
                self._forget(life)
            self._tell()
            if self._control in ready:
                data, descriptors, _, _ = socket.recv_fds(self._control, LONGEST, 64)
                if not data:
                    return None
                order = Order(**json.loads(data))
                if self._fork(descriptors):
                    self._leave()
                    adopt(order, descriptors[1:])
                    return order

    def _fork(self, descriptors: list[int]) -> bool:
        pid = os.fork()
        if not pid:
            return True
        life = socket.socket(fileno=descriptors[0])
        self._children[life] = pid
        life.send(json.dumps({"pid": pid}).encode())
        for each in descriptors[1:]:
            os.close(each)
        return False

    def _leave(self) -> None:
        """In a child: be the server no more."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, self._interrupt)
        # Not only their descriptors: those numbers will be other files'.
        for each in (self._control, self._ended, self._wakeup, *self._children):
            each.close()

    def _tell(self) -> None:
        for life, pid in self._children.items():
            if life not in self._told and (code := ended(pid)) is not None:
                self._told.add(life)
                with contextlib.suppress(OSError):
                    life.send(json.dumps({"code": code}).encode())
        for pid in list(self._left):
            if ended(pid) is not None:
                self._left.remove(pid)
                os.waitpid(pid, 0)

    def _forget(self, life: socket.socket) -> None:
        """Nobody waits for the child's end any more: it has been heard, or the tests want nothing of it."""
        self._told.discard(life)
        pid = self._children.pop(life)
        if ended(pid) is None:
            self._left.add(pid)
        else:
            os.waitpid(pid, 0)
        life.close()


def ended(pid: int) -> int | None:
    """The exit code of the child, which keeps its number; below zero, the signal that killed it. None: it runs."""
    status = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if status is None:
        return None
    return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status


def adopt(order: Order, descriptors: list[int]) -> None:
    """Have the descriptors, environment, folder and names that a fresh process would have."""
    # None of those that come may have the number that another is to have.
    above = max(*order.descriptors, *descriptors) + 1
    apart = [os.dup2(each, above + place) for place, each in enumerate(descriptors)]
    for each, number in zip(apart, order.descriptors, strict=True):
        os.dup2(each, number)
    close_others(set(order.descriptors))
    open_standard_streams()
    # The interpreter sets this one itself, where there is no locale.
    coerced = {name: value for name, value in os.environ.items() if name == "LC_CTYPE"}
    os.environ.clear()
    os.environ.update({**coerced, **order.environ})
    time.tzset()
    os.chdir(order.folder)
    option = ["-m"] if order.module else []
    sys.orig_argv[:] = [sys.executable, *option, order.program, *order.arguments]
    sys.argv[:] = [order.program, *order.arguments]
    sys.path[0] = order.folder if order.module else str(Path(order.program).parent)
    show(sys.orig_argv, Path(sys.executable if order.module else order.program).name)


def open_standard_streams() -> None:
    """Open them as the interpreter does at its start: here they lead elsewhere."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        mode = "w" if number else "r"
        raw: Any = open(number, f"{mode}b", buffering=0, closefd=False)  # noqa: SIM115
        raw.name = f"<{name}>"
        stream: Any = io.TextIOWrapper(
            raw if number else io.BufferedReader(raw), old.encoding, old.errors, "\n" if number else None,
            write_through=True,
        )  # fmt: skip
        stream.mode = mode
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def close_others(kept: set[int]) -> None:
    """Close every descriptor but those."""
    for each in os.listdir("/proc/self/fd"):
        if int(each) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(each))


def show(command: list[str], name: str) -> None:
    """Have /proc show the command and its name. The place for it is that of this process's own, which was started with
    one that is long enough; what is left of it are zeros."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[45]), int(fields[46])
    shown = "\0".join(command).encode()[: end - begin - 1]
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(begin)
        memory.write(shown.ljust(end - begin, b"\0"))
    Path("/proc/self/comm").write_text(name)


def run(order: Order) -> None:
    """Run the program, as the interpreter would."""
    if order.module:
        runpy.run_module(order.program, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(order.program, run_name="__main__")


def main() -> None:
    import_all()
    order = Server(socket.socket(fileno=int(sys.argv[1]))).serve()
    if order is not None:
        run(order)


if __name__ == "__main__":
    main()
