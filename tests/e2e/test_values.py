"""What stands in a request arrives as it was, is refused, or is written down harmlessly; but never crashes anything."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.processes import DemoProvider, Process, Proxy, eventually
from tests.e2e.raw import ask, chat, open_request, read_until

BODIES = (
    '{"model":"combat","messages":[{"role":"user","content":"x"}],"seed":%s}',
    # Here the name of the model cannot be replaced without writing all of it anew.
    '{"model":"combat","messages":[{"role":"user","content":"x"}],"metadata":{"model":"x"},"seed":%s}',
)


@pytest.mark.parametrize(
    "value",
    [
        "0", "-0.0", "1e300", "1e-300", "9007199254740993", "18446744073709551615", "18446744073709551616", "01", "1.",
        "-9223372036854775809", "123456789012345678901234567890", "1e400", "-1e400", "NaN", "Infinity", ".5",
        "0." + "3" * 5000, "7" * 5000, r'"\ud800"', r'"\udc00\ud800"', r'"\ud83d\udc09"', r'"\u0000"', '"é \U0001f409"',
        '{"a":1,"a":2}', '1,"seed":2', "[" * 100 + "]" * 100, "[" * 500 + "]" * 500, "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
    ],
    ids=lambda value: value if len(value) < 40 else f"{value[:8]}x{len(value)}",
)  # fmt: skip
def test_what_is_accepted_arrives_with_the_same_value(proxy: Proxy, demo: DemoProvider, value: str) -> None:
    for body in BODIES:
        demo.reset()
        answer = ask(proxy, (body % value).encode())
        if answer.status == 400:
            assert answer.json()["error"]["code"] == "invalid_request"
            assert demo.stats()["total"] == 0
        else:
            assert answer.status == 200
            assert repr(demo.requests()[0]["body"]["seed"]) == repr(json.loads(body % value)["seed"])
    assert ask(proxy, chat("combat")).status == 200


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0", "\x85", "\u2028", "\x1b[2J"])
def test_nothing_is_injected(proxy: Proxy, demo: DemoProvider, end: str) -> None:
    evil = f'Halt{end}X-Evil: 1{end}{{"level":"INFO","message":"forged"}}'
    demo.reset()
    named = [ask(proxy, chat(f"demo:guard;text={evil}")), ask(proxy, chat(f"demo:{evil}")), ask(proxy, chat(evil))]
    within = ask(proxy, chat("combat", user=evil, metadata={evil: evil}))
    assert within.status == 200
    assert [answer.status for answer in named] == ([200, 200, 400] if end == "\u2028" else [400] * 3)
    for answer in (*named, within):
        assert "x-evil" not in answer.headers
        json.loads(answer.body)
    received = demo.requests(demo.stats()["total"])
    assert all("x-evil" not in each["headers"] for each in received)
    assert (received[-1]["body"]["user"], received[-1]["body"]["metadata"]) == (evil, {evil: evil})
    # One line is one event, in both logs.
    proxy.record("Upstream request completed", request_id=within.headers["x-request-id"])
    assert not proxy.records("forged")
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line) for line in proxy.output)
    assert not any(control in line for line in proxy.output for control in "\r\0\x85\u2028\x1b")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize("fault", ["bomb", "headers=100000"])
def test_too_much_from_a_provider_takes_bounded_memory(
    start: Starter, demo: DemoProvider, fault: str, findings: Findings
) -> None:
    proxy = start(Proxy, config_for(demo))
    assert ask(proxy, chat("combat")).status == 200
    before = peak(proxy)
    for stream in (False, True):
        answer = ask(proxy, chat(f"demo:guard;{fault}", stream=stream))
        assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_broken")
    findings.figure(f"{fault}: {(peak(proxy) - before) / 1e6:.0f} MB")
    assert peak(proxy) - before < 50_000_000


def peak(process: Process) -> int:
    """Bytes of memory that *process* has had at most."""
    text = Path(f"/proc/{process.child.pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def endless(listener: socket.socket, sent: list[int]) -> None:
    """Answer each request with a JSON object that does not end; *sent* gets the bytes of each answer."""

    def one(connection: socket.socket) -> None:
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        count = 0
        with contextlib.suppress(OSError), connection:
            connection.recv(65536)
            connection.sendall(ENDLESS + b'a\r\n{"text": "\r\n')
            while count < 2**28:
                connection.sendall(piece)
                count += 65536
        sent.append(count)

    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_endless_whole_answers_are_held_within_one_bound(
    start: Starter, demo: DemoProvider, findings: Findings
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sent: list[int] = []
        threading.Thread(target=endless, args=(listener, sent), daemon=True).start()
        config = config_for(demo)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        config["providers"]["endless"] = {**config["providers"]["demo"], "base_url": url}
        proxy = start(Proxy, config)
        assert ask(proxy, chat("combat")).status == 200
        before = peak(proxy)
        # Clients that read nothing.
        clients = [open_request(proxy, chat("endless:guard", seed=number)) for number in range(25)]
        for each in clients:
            assert read_until(each, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        most = peak(proxy) - before
        for each in clients:
            each.close()
        eventually(lambda: len(sent) == 25, "all are given up")
        assert ask(proxy, chat("combat")).status == 200
        left = eventually(lambda: (now := resident(proxy) - before) < 200_000_000 and now, "memory is given back")
        findings.figure(
            f"25 endless answers: {most / 1e6:.0f} MB at most, {left / 1e6:.0f} MB left, of {sum(sent) / 1e6:,.0f} MB"
        )
        # 256 MiB, and what is being put together or is on its way out of each.
        assert most < 900_000_000


def resident(process: Process) -> int:
    """Bytes of memory that *process* has."""
    text = Path(f"/proc/{process.child.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024
