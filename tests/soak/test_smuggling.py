"""Requests that two servers could understand differently: a second one that is hidden in the first never arrives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.mortal import whole
from tests.e2e.processes import DemoProvider, Proxy
from tests.e2e.raw import ask, chat, read_all
from tests.e2e.test_server_wire import HEAD, connections
from tests.soak.raw_provider import RawProvider

HIDDEN = json.dumps(chat("raw:hidden")).encode()
SMUGGLED = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(HIDDEN), HIDDEN)
INNER = b"0\r\n\r\n" + SMUGGLED
"""Read in chunks it is nothing, and then a request; read by its length it is a body that is no JSON."""

LENGTHS = (
    b"%d", b"+%d", b"-%d", b"%d, %d", b"%d,%d", b"0x%x", b"%d ", b" 0%d", b"%d.0", b"%de0", b"%d;", b'"%d"', b"%d\x0b",
    b"0\r\nContent-Length: %d", b"%d\r\nContent-Length: 0", b"%d\r\nContent-Length: %d", b"", b"%d\t", b"\xd9\xa3",
    b"99999999999999999999999999%d",
)  # fmt: skip
ENCODINGS = (
    b"chunked", b"Chunked", b" chunked", b"\tchunked", b"chunked ", b"xchunked", b"chunked, identity", b"chunked;q=1",
    b"identity, chunked", b"chunked, chunked", b'"chunked"', b"\x0bchunked", b"chunked\x0b", b"cow", b"identity", b"",
    b"gzip, chunked", b"chunked\r\nTransfer-Encoding: cow", b"cow\r\nTransfer-Encoding: chunked",
)  # fmt: skip
NAMES = (
    b"Transfer-Encoding ", b" Transfer-Encoding", b"Transfer\xadEncoding", b"Transfer-Encoding\x00",
    b"\tTransfer-Encoding", b"X: y\nTransfer-Encoding", b"X: y\rTransfer-Encoding", b"Transfer-Encoding\x0b",
    b"X:\r\n Transfer-Encoding",
)  # fmt: skip
SIZES = (
    b"0x%x", b"+%x", b"-%x", b" %x", b"\x00%x", b"%x\n", b"%x\r", b"%x;a\n", b"%x;\x00", b"%x,", b"%xg", b"0_%x",
    b"ffffffffffffffff%x", b"%x;a=\"\n\"",
)  # fmt: skip
JSON = json.dumps(chat("raw:shown")).encode()


def probes() -> Iterator[bytes]:
    """Requests with another one in them, which nobody may read as one."""
    for length in LENGTHS:
        field = b"Content-Length: " + (length.replace(b"%x", b"%d").replace(b"%d", b"%d" % len(INNER)))
        for encoding in ENCODINGS:
            yield HEAD + field + b"\r\nTransfer-Encoding: " + encoding + b"\r\n\r\n" + INNER
            yield HEAD + b"Transfer-Encoding: " + encoding + b"\r\n" + field + b"\r\n\r\n" + INNER
    for name in NAMES:
        yield HEAD + name + b": chunked\r\nContent-Length: %d\r\n\r\n" % len(INNER) + INNER
    for size in SIZES:
        first = size % len(JSON) + b"\r\n" + JSON + b"\r\n"
        yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + first + INNER
    for chunk in (b"%x\r\n%bX\r\n", b"%x\r\n%b", b"%x\n%b\n", b"%x\r\n%b\r", b"%x\r\n%b\n"):
        yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk % (len(JSON), JSON) + INNER


def test_what_is_hidden_never_arrives(start: Starter, demo: DemoProvider, findings: Findings) -> None:
    provider = RawProvider(lambda asked: whole("ok"))
    config = config_for(demo, {"header_timeout": "1s", "body_timeout": "1s"})
    config["providers"]["raw"] = {**config["providers"]["demo"], "base_url": f"http://127.0.0.1:{provider.port}/v1"}
    proxy = start(Proxy, config)
    assert ask(proxy, chat("raw:known")).status == 200
    tried, answers = 0, 0
    for probe in probes():
        before = len(provider.asked)
        data = sent(proxy, probe)
        accepted = data.count(b"HTTP/1.1 200 OK")
        arrived = provider.asked[before:]
        assert not any(b"hidden" in each.body for each in arrived), probe
        assert len(arrived) == accepted and all(json.loads(each.body)["model"] == "shown" for each in arrived), probe
        statuses = re.findall(rb"HTTP/1\.1 (\d\d\d)", data)
        assert statuses and set(statuses) <= {b"200", b"400", b"404", b"408", b"501"}, (probe, statuses)
        tried += 1
        answers += accepted
    assert ask(proxy, chat("raw:known")).status == 200
    findings.figure(
        f"{tried} requests with another one in them: {answers} understood and forwarded, none of the others"
    )
    provider.close()


@pytest.mark.parametrize("twice", ['"model":"raw:a","model":"raw:b"', '"m\\u006fdel":"hidden","model":"raw:b"',
                                   '"model":"hidden","\\u006d\\u006f\\u0064\\u0065\\u006C":"raw:b"'])  # fmt: skip
def test_a_model_that_stands_there_twice(start: Starter, demo: DemoProvider, twice: str) -> None:
    """Some readers of JSON take the first of two, some the last: both must find what skyproxy has judged."""
    provider = RawProvider(lambda asked: whole("ok"))
    config = config_for(demo)
    config["providers"]["raw"] = {**config["providers"]["demo"], "base_url": f"http://127.0.0.1:{provider.port}/v1"}
    proxy = start(Proxy, config)
    body = b'{%b,"messages":[{"role":"user","content":"x"}]}' % twice.encode()
    assert ask(proxy, body).status == 200
    (asked,) = provider.asked
    members: list[tuple[str, object]] = json.loads(asked.body, object_pairs_hook=list)
    assert {value for name, value in members if name == "model"} == {"b"}
    provider.close()


def sent(proxy: Proxy, probe: bytes) -> bytes:
    """All that comes back for *probe*, and for an innocent request that ends the connection."""
    with connections(proxy, 1) as (connection,):
        with suppress(ConnectionError):
            connection.sendall(probe + b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return read_all(connection)
