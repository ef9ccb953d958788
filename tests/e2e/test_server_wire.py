"""Clients that are slow, hostile, broken or too many, over real sockets."""

from __future__ import annotations

import gzip
import http.client
import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.processes import PATIENCE, DemoProvider, Process, Proxy, eventually
from tests.e2e.raw import Answer, ask, call, chat, open_request, read_all, read_until

CROWD = ("--listen", "tcp:0:interface=127.0.0.1:backlog=1024")
"""Arguments for a proxy that is to take many connections at once."""

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@contextmanager
def connections(proxy: Proxy, count: int) -> Iterator[list[socket.socket]]:
    """Connections to *proxy*."""
    opened: list[socket.socket] = []
    try:
        opened += (socket.create_connection(proxy.address, timeout=PATIENCE) for _ in range(count))
        yield opened
    finally:
        for connection in opened:
            connection.close()


def send(proxy: Proxy, *pieces: bytes) -> bytes:
    """What comes back for *pieces*, to the connection's end."""
    with connections(proxy, 1) as (connection,):
        for piece in pieces:
            with suppress(ConnectionError):
                connection.sendall(piece)
        return read_all(connection)


def answer_in(data: bytes) -> Answer:
    """*data*, which must be one whole answer that ends its connection."""
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert headers["connection"] == "close" and len(body) == int(headers["content-length"])
    return Answer(int(status.split()[1]), headers, body)


def assert_refused(data: bytes, status: int, code: str = "invalid_request") -> None:
    answer = answer_in(data)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert set(error) == {"message", "type", "param", "code"} and error["message"]


def ended(connection: socket.socket) -> bool:
    """Whether the other side has closed *connection*, and all that came before was read."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            continue
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        connection.settimeout(PATIENCE)
    return True


def descriptors(process: Process) -> list[str]:
    """What *process* has open."""
    found = []
    folder = Path(f"/proc/{process.child.pid}/fd")
    for entry in list(folder.iterdir()):
        with suppress(FileNotFoundError):
            found.append(os.readlink(entry))
    return found


def cpu_seconds(process: Process) -> float:
    """Processor time that *process* has used."""
    fields = Path(f"/proc/{process.child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_slow_senders_are_freed_while_others_are_served(start: Starter, demo: DemoProvider, findings: Findings) -> None:
    proxy = start(Proxy, config_for(demo, {"header_timeout": "5s", "body_timeout": "5s"}), *CROWD)
    starts = (
        b"",
        HEAD,
        HEAD + b"Content-Length: 1000\r\n\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    )
    more = (b"", b"A", b" ", b"1\r\n \r\n")
    with connections(proxy, 1000) as slow:
        for number, connection in enumerate(slow):
            connection.sendall(starts[number % 4])
        waiting = set(range(1000))
        until = time.monotonic() + PATIENCE
        served = 0
        while waiting and time.monotonic() < until:
            assert ask(proxy, chat("combat")).status == 200
            served += 1
            time.sleep(0.1)
            for number in list(waiting):
                try:
                    # A byte now and then does not extend a deadline.
                    slow[number].sendall(more[number % 4])
                except ConnectionError:
                    waiting.discard(number)
                    continue
                if ended(slow[number]):
                    waiting.discard(number)
        assert not waiting
        assert served > 3
    findings.figure(f"1,000 freed by deadlines of 5 s, {served} others served meanwhile")
    eventually(lambda: sum(name.startswith("socket:") for name in descriptors(proxy)) < 20, "sockets are closed")
    assert ask(proxy, chat("combat")).status == 200


def test_slow_senders_are_told(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, {"header_timeout": "1s", "body_timeout": "1s"}))
    for begun in (HEAD, HEAD + b"Content-Length: 10\r\n\r\n{"):
        assert_refused(send(proxy, begun), 408)
    assert send(proxy, b"") == b""


def test_too_large_a_body_is_refused_early(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, {"max_body": "1MiB"}))
    demo.reset()
    declared = send(proxy, HEAD + b"Content-Length: 1048577\r\n\r\n")
    assert_refused(declared, 413, "body_too_large")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    # It goes on sending: the answer is not lost.
    assert_refused(send(proxy, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 40), 413, "body_too_large")
    assert_refused(send(proxy, HEAD + b"Content-Length: 9999999999\r\n\r\n", *[chunk] * 40), 413, "body_too_large")
    assert demo.stats()["total"] == 0


def files_of(proxy: Proxy) -> set[str]:
    """Those that it has open, but for the ledger's, which come and go by themselves."""
    return {name for name in descriptors(proxy) if name.startswith("/") and "/state/skyproxy" not in name}


def test_bodies_are_not_written_to_disk(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo))
    proxy.record("Created connection pool for provider")  # so the log file is open
    before = files_of(proxy)
    with connections(proxy, 2) as (declared, chunked):
        declared.sendall(HEAD + b"Content-Length: 2000000\r\n\r\n" + b" " * 1_900_000)
        chunked.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1d0000\r\n" + b" " * 0x1D0000)
        # Once this is answered, what came before it has been read, or most of it.
        assert ask(proxy, chat("combat")).status == 200
        assert files_of(proxy) == before


MALFORMED = {
    "Content-Length twice": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "both framings": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare LF": HEAD.replace(b"\r\n", b"\n") + b"\n",
    "bare CR": HEAD + b"A: b\rc\r\n\r\n",
    "continuation": HEAD + b"A: b\r\n c\r\n\r\n",
    "NUL": HEAD + b"A: b\0\r\n\r\n",
    "space before the colon": HEAD + b"Content-Length : 2\r\n\r\n{}",
    "bad chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "no Host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two Hosts": HEAD + b"Host: y\r\n\r\n",
    "another host": b"GET http://example.com/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
    "lower case": b"get /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": b"\x16\x03\x01\x00\xf0\x01\x00\x00\xec\x03\x03" + os.urandom(64),
    "a lot of junk": b"junk\r\n" + b"\0" * 200_000,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(proxy: Proxy, demo: DemoProvider, name: str) -> None:
    demo.reset()
    pipelined = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    data = send(proxy, MALFORMED[name], pipelined)
    assert_refused(data, 400)
    after = send(proxy, pipelined + MALFORMED[name])
    assert after.startswith(b"HTTP/1.1 200 OK\r\n")
    assert_refused(b"HTTP/1.1 400" + after.partition(b"HTTP/1.1 400")[2], 400)
    assert demo.stats()["total"] == 0


def test_other_refusals(proxy: Proxy) -> None:
    assert_refused(send(proxy, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505)
    assert_refused(send(proxy, b"GET /" + b"a" * 10_000), 414)
    assert_refused(send(proxy, HEAD + b"A: b\r\n" * 200 + b"\r\n"), 431)
    assert_refused(send(proxy, HEAD + b"A: " + b"b" * 100_000), 431)


def test_pipelined_beyond_the_read_ahead(proxy: Proxy) -> None:
    request = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: n-%d\r\nX-Pad: " + b"p" * 2000 + b"\r\n\r\n"
    with open_request(proxy, chat("demo:guard;first=0.5")) as connection:
        connection.sendall(b"".join(request % number for number in range(100)))
        data = read_until(connection, b"n-99\r\n")
    assert re.findall(rb"n-\d+(?=\r\n)", data) == [b"n-%d" % number for number in range(100)]


def test_leaving_after_sending_a_lot_ahead(proxy: Proxy, demo: DemoProvider) -> None:
    demo.reset()
    connection = open_request(proxy, chat("demo:guard;hang"))
    eventually(lambda: demo.stats()["active"] == 1, "the request has arrived")
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3000)
    connection.close()
    eventually(lambda: demo.stats()["active"] == 0, "the request is cancelled")


def test_clients_that_leave_together_ask_no_provider_any_more(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, max_concurrent=25))
    demo.reset()
    waiting = [open_request(proxy, chat("demo:guard;first=60;delay=0")) for _ in range(60)]
    eventually(lambda: demo.stats()["active"] == 25, "all permits are in use")
    eventually(lambda: proxy.queued() == 35, "the others wait")
    # They are gone all at once, as when their program ends.
    os.kill(proxy.child.pid, signal.SIGSTOP)
    for each in waiting:
        each.close()
    os.kill(proxy.child.pid, signal.SIGCONT)
    eventually(lambda: len(proxy.records("Request cancelled")) == 60, "all are given up")
    eventually(lambda: demo.stats()["active"] == 0, "the provider is let go")
    # Who is not seen to have left within the time of one look may still get a permit; on a busy machine these are more.
    assert demo.stats()["total"] < 25 + 30


def test_stalled_reader_is_given_up(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, {"stall_timeout": "1s"}))
    demo.reset()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE)
    connection.connect(proxy.address)
    model = b"demo:guard;delay=0;size=10000;chunks=100000"
    body = b'{"model":"%b","stream":true,"messages":[{"role":"user","content":"x"}]}' % model
    connection.sendall(HEAD + b"X-Request-Id: stalled\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    assert read_until(connection, b"data: ").startswith(b"HTTP/1.1 200 OK\r\n")
    eventually(lambda: demo.stats()["active"] == 0, "the provider is let go")
    proxy.record("Gave up a client that does not read")
    data = read_all(connection)
    assert not data.endswith(b"0\r\n\r\n") and b"[DONE]" not in data
    connection.close()


class Bounded(Process):
    """May have 64 descriptors."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str], pass_fds: tuple[int, ...] = ()) -> None:
        super().__init__(["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *command], cwd, env, pass_fds)


class BoundedProxy(Proxy, Bounded):
    """skyproxy with 64 descriptors."""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_descriptors_run_out(start: Starter, demo: DemoProvider, findings: Findings) -> None:
    proxy = start(BoundedProxy, config_for(demo))
    assert ask(proxy, chat("combat")).status == 200
    with connections(proxy, 200) as idle:
        time.sleep(0.5)
        before = cpu_seconds(proxy)
        time.sleep(3)
        findings.figure(f"{cpu_seconds(proxy) - before:.2f} s of processor in 3 s with 200 connections")
        # Were it kept busy, it would be so for all of the three seconds.
        assert cpu_seconds(proxy) - before < 1.5
        assert not any(map(ended, idle)), "who cannot be taken waits"
        # Who is in is served.
        idle[0].settimeout(PATIENCE)
        idle[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_until(idle[0], b"\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
    eventually(lambda: call_works(proxy), "it serves again")
    assert ask(proxy, chat("demo:guard;chunks=2;delay=0", stream=True)).body.endswith(b"data: [DONE]\n\n")
    assert len([record for record in proxy.records() if "Sockets run short" in record["message"]]) == 1
    assert proxy.stop() == 0


def test_each_request_gets_an_answer_when_descriptors_run_out(start: Starter, demo: DemoProvider) -> None:
    proxy = start(BoundedProxy, config_for(demo))
    assert ask(proxy, chat("combat")).status == 200
    assert_all_are_answered(proxy, 200, {200})
    assert proxy.stop() == 0


class SelectingProxy(Proxy):
    """skyproxy on the reactor that calls select()."""

    twistd = (Proxy.twistd[0], "--reactor=select", *Proxy.twistd[1:])


def test_select_serves_more_clients_than_it_can_look_at(start: Starter, demo: DemoProvider) -> None:
    proxy = start(SelectingProxy, config_for(demo, max_concurrent=500, max_connections=500, connect_timeout="10s"))
    proxy.record(
        "The providers' max_connections and max_concurrent allow more connections than there can be sockets",
        connections=500,
    )
    assert_all_are_answered(proxy, 600, {200, 503}, "demo:guard;first=0.5")
    assert len([record for record in proxy.records() if "Sockets run short" in record["message"]]) == 1
    assert proxy.stop() == 0


def assert_all_are_answered(proxy: Proxy, number: int, statuses: set[int], model: str = "demo:guard;first=0.1") -> None:
    """So many clients come at once, each with one request, and leave when they have its answer."""

    def one(_: int) -> int:
        connection = open_request(proxy, chat(model), extra=b"Connection: close\r\n")
        with connection:
            return int(read_all(connection).split()[1])

    with ThreadPoolExecutor(number) as pool:
        answers = list(pool.map(one, range(number)))
    assert len(answers) == number
    assert set(answers) <= statuses, Counter(answers)


def call_works(proxy: Proxy) -> bool:
    """Whether a new connection is served."""
    try:
        return call(proxy, "GET", "/healthz").status == 200
    except (OSError, ValueError):
        return False


def test_requests_of_very_many_small_values_share_the_memory_for_bodies(proxy: Proxy, demo: DemoProvider) -> None:
    """Ten kilobytes of gzip that would take 240 MB each, for as long as the provider takes."""
    many = b'{"model":"demo:guard;first=%d","messages":[{"role":"user","content":"x"}],"metadata":[%b0]}'
    held, quick = (gzip.compress(many % (first, b"[]," * 3_300_000)) for first in (50, 0))
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    connection = http.client.HTTPConnection(*proxy.address, timeout=PATIENCE)
    connection.request("POST", "/v1/chat/completions", held, headers)
    eventually(lambda: demo.stats()["active"] == 1, "the first is at the provider")
    refused = ask(proxy, quick, headers)
    assert (refused.status, refused.json()["error"]["code"]) == (503, "too_many_bodies")
    assert ask(proxy, chat()).status == 200
    connection.close()
    eventually(lambda: demo.stats()["active"] == 0, "it has ended")
    assert ask(proxy, quick, headers).status == 200
