"""``python -m tests.fuzz TARGET``: a parser under bytes that atheris chooses by the code that they reach.

What was found to reach more is kept, so that the next run goes on from there. A failure ends the run, and leaves the
bytes in a file ``crash-…`` in the current folder.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

SEEDS: dict[str, Sequence[bytes]] = {
    "requests": [
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n",
    ],
    "responses": [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nKeep-Alive: timeout=5\r\n\r\nhello",
        b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
    ],
    "events": [
        b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n' * 2
        + b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
        b'\xef\xbb\xbf: x\r\n\r\nevent: error\rdata: {"error":{"message":"m"}}\r\r',
        b'event: response.completed\ndata: {"type":"response.completed","response":{"model":"m"}}\n\n',
    ],
    "configurations": [
        b"providers:\n  lm: {base_url: 'http://127.0.0.1:1/v1', max_concurrent: 2}\nproxy: {watch: true}\n"
        b"model_slots: {default: {provider: lm, model: m, fallbacks: [a, lm:b], cache: {ttl: 1h}}}\n",
        b"clients: {a: {key_hash: 'sha256:00', budget: 5/day}}\naccess: {required: auto}\nprices: {'*': {prompt: 1}}\n",
    ],
    "splices": [
        b'{"model":"m","messages":[{"role":"user","content":"\\u00e9 \\ud83d\\udc09"}],"seed":-0,"x":[1e400,{}]}',
        b'{ "m\\u006fdel" : null , "response" : {"model":"a"} }',
    ],
}

_CUTS_BYTES = 4
"""Of the bytes that are chosen, so many say where the others are cut."""


def main() -> int:
    """Run one target until it fails, or its time is over."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Tries a parser under chosen bytes.")
    parser.add_argument("target", choices=SEEDS)
    parser.add_argument("--seconds", type=int, default=600, help="how long (%(default)s)")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--corpus", type=Path, default=cache / "skyproxy-fuzz", help="where it is kept (%(default)s)")
    options = parser.parse_args()
    try:
        import atheris
    except ImportError:
        print(f"missing: {sys.executable} -m pip install atheris (CPython 3.11 to 3.13 on Linux)", file=sys.stderr)
        return 1
    # What is imported here tells which of its branches are taken.
    with atheris.instrument_imports(include=["skyproxy"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[options.target]
    corpus = options.corpus / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[options.target]):
        (corpus / f"seed-{number}").write_bytes(bytes(range(0, 256, 256 // _CUTS_BYTES)) + seed)

    def one(data: bytes) -> None:
        target(data[_CUTS_BYTES:], [place / 255 for place in data[:_CUTS_BYTES]])

    arguments = [f"-max_total_time={options.seconds}", "-max_len=4096", "-timeout=20", str(corpus)]
    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
