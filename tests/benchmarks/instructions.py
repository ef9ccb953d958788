"""How many instructions the proxy spends on a request: a figure for machines whose speed swings.

``python -m tests.benchmarks.instructions TREE…`` counts them for each checkout, with Valgrind. Client and provider are
here, and go on in lock step, so that two runs differ by little. Valgrind makes all slow; a clock that is as slow keeps
what goes by time in proportion. It takes a C compiler, and what the checkouts need must be installed.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.benchmarks.processes import free_port
from tests.e2e.processes import environment

_CHUNKS = 100
_PATIENCE_SECONDS = 300.0
_FACTOR = 40
"""By which Valgrind makes things slow, about."""

_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long long begun[16];
static long long now(clockid_t c) { struct timespec t; syscall(SYS_clock_gettime, c, &t); return t.tv_sec * 1000000000LL + t.tv_nsec; }
static long long since(clockid_t c) { if (!begun[c]) begun[c] = now(c); return begun[c]; }
static struct timespec at(long long n) { struct timespec t = {n / 1000000000LL, n % 1000000000LL}; return t; }
int clock_gettime(clockid_t c, struct timespec *t) {
    if (c < 0 || c > 15 || c == CLOCK_PROCESS_CPUTIME_ID || c == CLOCK_THREAD_CPUTIME_ID)
        return syscall(SYS_clock_gettime, c, t);
    *t = at(since(c) + (now(c) - since(c)) / FACTOR); return 0; }
int gettimeofday(struct timeval *v, void *z) { struct timespec t; clock_gettime(0, &t); v->tv_sec = t.tv_sec; v->tv_usec = t.tv_nsec / 1000; return 0; }
time_t time(time_t *p) { struct timespec t; clock_gettime(0, &t); if (p) *p = t.tv_sec; return t.tv_sec; }
int epoll_wait(int fd, struct epoll_event *e, int n, int ms) { return syscall(SYS_epoll_pwait, fd, e, n, ms > 0 && ms < 1000000 ? ms * FACTOR : ms, 0, 8); }
int sem_clockwait(sem_t *s, clockid_t c, const struct timespec *t) {
    static int (*real)(sem_t *, clockid_t, const struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "sem_clockwait");
    struct timespec u = at(since(c) + (t->tv_sec * 1000000000LL + t->tv_nsec - since(c)) * FACTOR);
    return real(s, c, &u); }
"""  # noqa: E501


def _chunk(number: int) -> bytes:
    last = number == _CHUNKS - 1
    text = f"word{number}. " if number % 12 == 11 else f"word{number} "
    choice = {"index": 0, "delta": {} if last else {"content": text}, "finish_reason": "stop" if last else None}
    event = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    data = b"data: %b\n\n" % json.dumps(event, separators=(",", ":")).encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


_EVENTS = [_chunk(number) for number in range(_CHUNKS)]
_LAST = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _message(first: bytes, fields: object) -> bytes:
    body = json.dumps(fields).encode()
    return b"%b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (first, len(body), body)


_USAGE = {"prompt_tokens": 10, "completion_tokens": 80, "total_tokens": 90}
_SAID = {"index": 0, "message": {"role": "assistant", "content": "word " * 80}, "finish_reason": "stop"}
_WHOLE = _message(
    b"HTTP/1.1 200 OK",
    {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [_SAID], "usage": _USAGE},
)


def _is_whole(data: bytes) -> bool:
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return data.endswith(b"0\r\n\r\n") if length is None else len(body) >= int(length[1])


class Round:
    """Requests through a proxy, all in lock step with their provider.

    :param group: chunks that a stream's provider sends at once; None: answers are whole.
    """

    def __init__(self, provider: socket.socket, port: int, clients: int, group: int | None) -> None:
        self._provider = provider
        self._group = group
        asked = {"model": "default", "messages": [{"role": "user", "content": "hello there " * 150}]}
        line = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1"
        self._request = _message(line, asked if group is None else {**asked, "stream": True})
        self._clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(clients)]
        self._asked: dict[socket.socket, bytes] = {}
        self._answered: dict[socket.socket, bytes] = {}

    def go(self) -> None:
        """Make one request of each client, and see each answered."""
        for client in self._clients:
            self._answered[client] = b""
            client.sendall(self._request)
        self._until(lambda: sum(map(_is_whole, self._asked.values())) == len(self._clients))
        asking = [each for each, data in self._asked.items() if _is_whole(data)]
        self._asked.update(dict.fromkeys(asking, b""))
        if self._group is None:
            self._send(asking, _WHOLE)
        else:
            self._send(asking, _STREAM + _EVENTS[0])
            for sent in range(1, _CHUNKS, self._group):
                self._until(lambda sent=sent: all(data.count(b"data: ") >= sent for data in self._answered.values()))  # type: ignore[misc]
                rest = _EVENTS[sent : sent + self._group]
                self._send(asking, b"".join(rest) + (_LAST if sent + self._group >= _CHUNKS else b""))
        self._until(lambda: all(map(_is_whole, self._answered.values())))
        if not all(data.startswith(b"HTTP/1.1 200") for data in self._answered.values()):
            raise SystemExit(f"An answer is not good: {next(iter(self._answered.values()))[:200]!r}")

    @staticmethod
    def _send(connections: list[socket.socket], data: bytes) -> None:
        for each in connections:
            each.sendall(data)

    def _until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while not done():
            if time.monotonic() > end:
                raise SystemExit("The proxy does not go on.")
            for each in select.select([self._provider, *self._asked, *self._clients], (), (), 1.0)[0]:
                if each is self._provider:
                    self._asked[each.accept()[0]] = b""
                    continue
                data = each.recv(1 << 20)
                if each in self._answered:
                    self._answered[each] += data
                elif data:
                    self._asked[each] += data
                else:
                    del self._asked[each]


def count(tree: Path, folder: Path, workers: int, each: int, group: int | None, rounds: int) -> float:
    """Instructions of a request through the proxy of *tree*, with so many clients for *each* of its workers; those of
    the parent are among them."""
    provider = socket.create_server(("127.0.0.1", 0))
    port = free_port()
    config = folder / "skyproxy.yaml"
    demo = {"base_url": f"http://127.0.0.1:{provider.getsockname()[1]}/v1", "dialect": "local", "max_concurrent": 50}
    slots = {"default": {"provider": "demo", "model": "m"}}
    proxy_settings: dict[str, object] = {"log_file": str(folder / "log")}
    if workers > 1:
        proxy_settings["workers"] = workers
    config.write_text(yaml.safe_dump({"proxy": proxy_settings, "providers": {"demo": demo}, "model_slots": slots}))
    command = [
        *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--trace-children=yes"),
        f"--callgrind-out-file={folder}/counts.%p",
        *(sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", "skyproxy"),
        *("--config", str(config), "--listen", f"tcp:{port}:interface=127.0.0.1"),
    ]
    slowed = {**environment(), "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0", "LD_PRELOAD": str(folder / "clock.so")}
    with subprocess.Popen(
        command, env=slowed, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as proxy:
        try:
            _wait_for(port, proxy)
            processes = [proxy.pid, *(_workers_of(port, workers) if workers > 1 else ())]
            requests = Round(provider, port, each * workers, group)
            for _ in range(20):
                requests.go()
            _counting(processes, "on")
            for _ in range(rounds):
                requests.go()
            _counting(processes, "off")
        finally:
            proxy.terminate()
    totals = [
        int(found[1])
        for process in processes
        if (found := re.search(r"^totals: (\d+)", (folder / f"counts.{process}").read_text(), re.MULTILINE))
    ]
    return sum(totals) / (rounds * each * workers)


def _workers_of(port: int, number: int) -> list[int]:
    """The workers' process ids, when so many serve."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/stats", timeout=_PATIENCE_SECONDS) as answer:
            serving = [worker["pid"] for worker in json.load(answer)["workers"] if worker["serves"]]
        if len(serving) == number:
            return serving
        time.sleep(1.0)
    raise SystemExit("The workers did not start.")


def _wait_for(port: int, proxy: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if proxy.poll() is not None:
                raise SystemExit("The proxy did not start.") from None
            time.sleep(0.2)
        else:
            return


def _counting(processes: list[int], on: str) -> None:
    # What was put off until nobody waits for it is done by then.
    time.sleep(0.2 * _FACTOR)
    for process in processes:
        subprocess.run(["callgrind_control", "-i", on, str(process)], check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.instructions", description=__doc__)
    parser.add_argument("trees", nargs="+", type=Path, help="the checkouts, each with its own skyproxy")
    parser.add_argument("--clients", type=int, default=1, help="how many ask each worker at once (default: 1)")
    parser.add_argument("--workers", type=int, default=1, help="of the proxy (default: 1)")
    parser.add_argument(
        "--group", type=int, help=f"streams of {_CHUNKS} chunks, so many at once (default: whole answers)"
    )
    parser.add_argument("--rounds", type=int, default=64, help="how often each asks (default: 64)")
    options = parser.parse_args()
    if missing := [name for name in ("valgrind", "cc") if shutil.which(name) is None]:
        parser.error(f"{' and '.join(missing)} must be installed")
    for tree in options.trees:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "clock.c").write_text(_CLOCK)
            command = ["cc", f"-DFACTOR={_FACTOR}", "-shared", "-fPIC", "-O2", "-o", "clock.so", "clock.c", "-ldl"]
            subprocess.run(command, cwd=folder, check=True)
            found = count(tree.resolve(), folder, options.workers, options.clients, options.group, options.rounds)
        print(f"{tree}: {found / 1000:,.1f} thousand instructions a request", flush=True)


if __name__ == "__main__":
    main()
