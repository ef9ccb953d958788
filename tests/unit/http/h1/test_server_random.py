"""Any sequence of valid requests, and any junk, in any pieces."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.examples import examples
from tests.unit.http.server_support import Served

PROFILE = examples(200)

TOKEN = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=8).map(str.encode)
VALUE = st.text(
    st.characters(max_codepoint=255, exclude_characters="".join(map(chr, [*range(32), *range(127, 160)])) + " "),
    max_size=12,
).map(lambda text: text.encode("latin-1"))
PATH = st.text("abc019-._~/?=&%:@", max_size=20).map(lambda text: b"/" + text.encode())
BODY = st.one_of(st.binary(max_size=40), st.text("\r\n0a;", max_size=40).map(str.encode))
TAKEN = (b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade", b"trailer")
FIELD = st.tuples(TOKEN.filter(lambda name: name.lower() not in TAKEN), VALUE)

SNIPPETS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.0\r\n", b"Host: x\r\n", b"\r\n", b"\r", b"\n", b" ", b"\0", b":",
        b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: upgrade\r\n", b"Upgrade: h2c\r\n",
        b"Expect: 100-continue\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b";a=b", b"ffffffffffffffff\r\n", b"HTTP/2.0",
        b"CONNECT x:1 HTTP/1.1\r\n", b"Connection: close\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01",
    ]
)  # fmt: skip
JUNK = st.lists(st.one_of(SNIPPETS, st.binary(max_size=20)), max_size=25).map(b"".join)


@st.composite
def requests(draw: Any) -> tuple[bytes, tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]]:
    """A request, and what is to be understood of it."""
    method = draw(st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"]))
    target = draw(PATH)
    fields = draw(st.lists(FIELD, max_size=5))
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    body = b"" if framing == "none" else draw(BODY)
    space = draw(st.sampled_from([b"", b" ", b"\t  "]))
    lines = [b"%b:%b%b%b\r\n" % (name, space, value, space) for name, value in fields]
    sent = body
    if framing == "length":
        lines.append(b"Content-Length: %d\r\n" % len(body))
    elif framing == "chunked":
        lines.append(b"Transfer-Encoding: chunked\r\n")
        sent = draw(_chunks(body))
    lines.insert(draw(st.integers(0, len(lines))), b"Host: x\r\n")
    start = draw(st.sampled_from([b"", b"", b"\r\n"]))
    head = b"%b%b %b HTTP/1.1\r\n%b\r\n" % (start, method, target, b"".join(lines))
    return head + sent, (method, target, fields, body)


@st.composite
def _chunks(draw: Any, body: bytes) -> bytes:
    extension = draw(st.sampled_from([b"", b";a", b";a=b", b';a="b;c"']))
    trailer = draw(st.sampled_from([b"", b"A: b\r\n", b"A: b\r\nC:\r\n"]))
    framed = b""
    while body:
        size = draw(st.integers(1, len(body)))
        zeros = b"0" * draw(st.integers(0, 2))
        framed += b"%b%x%b\r\n%b\r\n" % (zeros, size, extension, body[:size])
        body = body[size:]
    return b"%b0%b\r\n%b\r\n" % (framed, extension, trailer)


def pieces_of(data: bytes, cuts: list[float]) -> list[bytes]:
    """*data* cut at each of *cuts*, from 0 to 1."""
    at = sorted({round(cut * len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(at)]


CUTS = st.lists(st.floats(0, 1), max_size=30)


@st.composite
def mutated(draw: Any) -> bytes:
    """Valid requests in which a few bytes are something else."""
    data: bytes = b"".join(sent for sent, _ in draw(st.lists(requests(), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.one_of(SNIPPETS, st.binary(max_size=2))) + data[at + draw(st.integers(0, 3)) :]
    return data


class RandomTests(SynchronousTestCase):
    """Nothing depends on how bytes are split, and nothing confuses the channel."""

    @PROFILE
    @given(st.lists(requests(), min_size=1, max_size=6), CUTS)
    def test_valid_requests_are_understood_as_built(self, built: list[Any], cuts: list[float]) -> None:
        served = Served()
        client = served.connect()
        client.send(*pieces_of(b"".join(data for data, _ in built), cuts))
        self.assertEqual(len(served.seen), len(built), client.received)
        for (method, target, _, headers, body), (_, expected) in zip(served.seen, built, strict=True):
            self.assertEqual((method, target, body), (expected[0], expected[1], expected[3]))
            understood: dict[bytes, list[bytes]] = {}
            for name, values in headers.items():
                if name.lower() not in TAKEN:
                    understood.setdefault(name.lower(), []).extend(values)
            sent: dict[bytes, list[bytes]] = {}
            for name, value in expected[2]:
                sent.setdefault(name.lower(), []).append(value)
            self.assertEqual(understood, sent)
        self.assertEqual(len(client.answers(*(seen[0].decode() for seen in served.seen))), len(built))
        self.assertFalse(client.transport.closed)

    @PROFILE
    @given(st.one_of(JUNK, mutated()), CUTS)
    def test_junk_never_raises_and_is_always_decided(self, junk: bytes, cuts: list[float]) -> None:
        served = Served(header_timeout=5.0, body_timeout=5.0, keep_alive=5.0)
        client = served.connect()
        client.send(*pieces_of(junk, cuts))
        before = len(served.seen)
        served.pass_time(30)
        self.assertTrue(client.transport.closed)
        self.assertEqual(len(served.seen), before)

    @PROFILE
    @given(st.one_of(JUNK, mutated()), CUTS)
    def test_junk_means_the_same_in_any_pieces(self, junk: bytes, cuts: list[float]) -> None:
        def run(pieces: list[bytes]) -> Any:
            served = Served()
            client = served.connect()
            client.send(*pieces)
            served.pass_time(100)
            statuses = [int(line[9:12]) for line in client.received.split(b"\r\n") if line.startswith(b"HTTP/1.")]
            return served.seen, [status for status in statuses if status != 100]

        self.assertEqual(run(pieces_of(junk, cuts)), run([junk]))
