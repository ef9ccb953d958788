"""Event streams that come in two parts, cut at every byte; and streams that end there."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.mortal import chunk
from tests.e2e.processes import DemoProvider, Proxy
from tests.e2e.raw import ask, chat, open_request
from tests.e2e.sizes import size
from tests.e2e.verdicts import COMPLETE, CUT, ERROR, LOST, verdict_of
from tests.soak.raw_provider import Asked, RawProvider

STEP = size(1, 24)
"""How many bytes lie between one cut and the next."""

SAID = "Hé \U0001f409 da"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(**choice: Any) -> str:
    value = {"id": "x", "object": "chat.completion.chunk", "model": "raw:m", "choices": [{"index": 0, **choice}]}
    return "data: " + json.dumps(value, ensure_ascii=False)


EVENTS = [
    event(delta={"role": "assistant", "content": ""}, finish_reason=None),
    *(event(delta={"content": letter}, finish_reason=None) for letter in (SAID[:4], SAID[4:])),
    event(delta={}, finish_reason="stop"),
    "data: [DONE]",
]
PLAIN = "".join(f"{each}\n\n" for each in EVENTS)
STREAMS = {
    "LF": PLAIN,
    "CRLF": PLAIN.replace("\n", "\r\n"),
    "CR": PLAIN.replace("\n", "\r"),
    "BOM": f"\ufeff{PLAIN}",
    "comments": ": hello\n\n" + PLAIN.replace("\n\n", "\n: and on\n\n"),
    "fields": PLAIN.replace("data:", "id: 7\nevent: message\nretry: 10\ndata:"),
    "no space": PLAIN.replace("data: ", "data:"),
    "mixed ends": PLAIN.replace("\n\n", "\r\n\n", 2),
}


@pytest.mark.parametrize("name", STREAMS)
def test_the_same_bytes_come_out_however_they_came(
    start: Starter, demo: DemoProvider, name: str, findings: Findings
) -> None:
    data = STREAMS[name].encode()

    def answer(asked: Asked) -> list[bytes]:
        at = json.loads(asked.body)["seed"]
        return [HEAD + chunk(data[:at]), chunk(data[at:]) + chunk(b"")]

    provider = RawProvider(answer)
    proxy = start(Proxy, config_of(demo, provider))
    places = range(1, len(data), STEP)
    for at in places:
        came = ask(proxy, chat("raw:m", stream=True, seed=at))
        assert (came.status, came.body) == (200, data), at
    findings.figure(f"{name}: {len(places)}")
    provider.close()


def test_a_cut_at_any_byte_is_seen(start: Starter, demo: DemoProvider, findings: Findings) -> None:
    data = PLAIN.encode()

    def answer(asked: Asked) -> list[bytes]:
        at = json.loads(asked.body)["seed"]
        # An empty part ends the connection.
        return [HEAD, chunk(data[:at]) if at else b"", b""]

    provider = RawProvider(answer)
    proxy = start(Proxy, config_of(demo, provider))
    seen: Counter[str] = Counter()
    places = range(0, len(data), STEP)
    for at in places:
        found = verdict_of(open_request(proxy, chat("raw:m", stream=True, seed=at)), SAID)
        seen[found] += 1
        assert found != LOST, at
        # Once all has been said, it is complete, and nothing is missing.
        assert (found == COMPLETE) <= (b'"stop"' in data[:at]), at
    assert seen[CUT] and seen[ERROR]
    findings.figure(f"{len(places)} cuts: {', '.join(f'{count} {end}' for end, count in sorted(seen.items()))}")
    provider.close()


def config_of(demo: DemoProvider, provider: RawProvider) -> dict[str, Any]:
    config = config_for(demo)
    config["providers"]["raw"] = {**config["providers"]["demo"], "base_url": f"http://127.0.0.1:{provider.port}/v1"}
    return config
