"""Parsers of bytes that others send, under bytes that resemble what they expect. See tests/fuzz/targets.py."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz import targets
from tests.unit.config.support import PROVIDERS
from tests.unit.examples import examples

CUTS = st.lists(st.floats(0, 1), max_size=12)

RESPONSE_PARTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n", b"HTTP/1.1 304 N\r\n", b"HTTP/2 200\r\n", b"HTTP/1.1 999 \r\n",
        b"Content-Length: 5\r\n", b"Content-Length: 3\r\n", b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n",
        b"Keep-Alive: timeout=5\r\n", b"X: " + b"y" * 300 + b"\r\n", b"\r\n", b"\r", b"\n", b" ", b"\0", b":",
        b"hello", b"5\r\nhello\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b";a=b", b"A: b\r\n c\r\n",
    ]
)  # fmt: skip
RESPONSE = st.lists(st.one_of(RESPONSE_PARTS, st.binary(max_size=12)), max_size=18).map(b"".join)

CHUNK = {"id": "c", "object": "chat.completion.chunk", "model": "m"}


def _chunk(**choice: Any) -> bytes:
    return b"data: " + json.dumps({**CHUNK, "choices": [{"index": 0, **choice}]}, ensure_ascii=False).encode() + b"\n\n"


EVENT_PARTS = st.sampled_from(
    [
        _chunk(delta={"role": "assistant", "content": ""}, finish_reason=None),
        _chunk(delta={"content": "Hé \U0001f409"}, finish_reason=None),
        _chunk(delta={"content": "a"}, finish_reason=None),
        _chunk(delta={"content": "b"}, finish_reason=None), _chunk(delta={}, finish_reason="stop"),
        _chunk(delta={"content": 'data: [DONE]\n\n "error" \\u0022'}, finish_reason=None), b"data: [DONE]\n\n",
        b'data: {"error":{"message":"m","code":429}}\n\n', b"event: error\ndata: x\n\n", b": comment\n\n", b"data:\n\n",
        b"data: null\n\n", b"\xef\xbb\xbf", b"\r\n", b"\n", b"\r", b"\n\n", b"data: ", b'{"choices":[]}', b"id: 7\n",
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n', b"\x80",
        b'data: {"model":"m"}\n\n', b'error: {"code":500}\n\n', b'{"error":"x"}\n', b"error: x",
        b'data: {"detail":"x","model":"m"}\n\n', b": a\nerror: x\n\n",
        b'event: response.completed\ndata: {"type":"response.completed","response":{"model":"m"}}\n\n',
    ]
)  # fmt: skip
EVENTS = st.lists(st.one_of(EVENT_PARTS, EVENT_PARTS, st.binary(max_size=6)), max_size=16).map(b"".join)

SPACE = st.sampled_from(["", " ", "\n", "\t\r\n "])
NAME = st.sampled_from(["model", "seed", "x", "response", "m\\u006fdel", "\\ud800", 'a\\"b', "é", ""]) | st.text(
    max_size=4
).map(lambda text: json.dumps(text)[1:-1])
SCALAR = st.sampled_from(
    ["0", "-0", "1e400", "1e-400", "true", "null", '"model"', '"\\ud83d"', '"}{"', '"\\\\"', "12345678901234567890123",
     "NaN", "-Infinity", "0.1", '"\\u005c\\""', '"\U0001f409"', "01", "-", "'x'"]
)  # fmt: skip


@st.composite
def _object(draw: Any, value: Any) -> str:
    members = [
        f'{draw(SPACE)}"{draw(NAME)}"{draw(SPACE)}:{draw(SPACE)}{draw(value)}{draw(SPACE)}'
        for _ in range(draw(st.integers(0, 4)))
    ]
    return "{" + ",".join(members) + draw(SPACE) + "}"


VALUE = st.recursive(
    SCALAR, lambda inner: st.one_of(_object(inner), st.lists(inner, max_size=3).map(lambda all: f"[{','.join(all)}]")),
    max_leaves=6,
)  # fmt: skip
OBJECT = st.tuples(SPACE, _object(VALUE), SPACE).map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass"))

CONFIG_PARTS = st.sampled_from(
    [
        PROVIDERS, "providers:\n", "  demo:\n", "    base_url: http://127.0.0.1:1/v1\n", "    max_concurrent: ",
        "proxy:\n",
        "  cache: {path: x}\n", "model_slots:\n", "  default: {provider: lm, model: m}\n",
        "prices: {'*': {prompt: 1}}\n",
        "clients: {a: {key_hash: ", "access: {required: ", "profiles:\n", "defaults:\n", "  listen: ", "  watch: yes\n",
        "- ", "[", "]", "{", "}", ": ", "&a ", "*a", "<<: *a\n", "!!python/object:os.system x\n", "? ", "|\n", "'", '"',
        "\t", "%YAML 1.2\n---\n", "...\n", "\x85", "\u2028", "\ufeff", "${HOME}", "${", "1e400", ".inf", "-1", "0x10",
        "10s",
        "99999999999999999999", "2027-01-01", "~", "null", "#", "\0",
    ]
)  # fmt: skip
CONFIG = st.lists(st.one_of(CONFIG_PARTS, CONFIG_PARTS, st.text(max_size=6)), max_size=14).map(
    lambda parts: "".join(parts).encode("utf-8", "surrogatepass")
)


class ParserTests(SynchronousTestCase):
    """Each target."""

    @examples(300)
    @given(RESPONSE, CUTS)
    def test_responses(self, data: bytes, cuts: list[float]) -> None:
        targets.responses(data, cuts)

    @examples(300)
    @given(EVENTS, CUTS)
    def test_events(self, data: bytes, cuts: list[float]) -> None:
        targets.events(data, cuts)

    @examples(200)
    @given(st.one_of(OBJECT, st.binary(max_size=20)))
    @example(b'{"response":{"model":0,"seed":0},"response":0}')
    def test_splices(self, data: bytes) -> None:
        targets.splices(data)

    @examples(120)
    @given(CONFIG)
    @example(b"\xff\xfe\x00")
    @example(b"&a [*a]")
    def test_configurations(self, data: bytes) -> None:
        targets.configurations(data)
