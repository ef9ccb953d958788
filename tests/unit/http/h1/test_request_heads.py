"""What is remembered of the heads of requests, and that it makes no difference but of speed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.h1 import request_head_reader as server_head_reader
from skyproxy.http.h1.request_head import Refused
from skyproxy.http.h1.request_head_reader import LONGEST, MOST, HeadReader
from skyproxy.http.server.limits import ServerLimits
from tests.unit.http.h1.test_server_random import PROFILE, SNIPPETS, mutated, requests
from tests.unit.http.server_support import Served, chunked, get, post


def head(length: bytes, extra: bytes = b"", name: bytes = b"Content-Length: ") -> bytes:
    return b"POST /a HTTP/1.1\r\nHost: x\r\n%b%b%b\r\n\r\n" % (extra, name, length)


class MemoryTests(SynchronousTestCase):
    """HeadReader."""

    def setUp(self) -> None:
        self.parsed = 0
        real = server_head_reader.HttpRequestParser

        def parser(seen: Any) -> Any:
            self.parsed += 1
            return real(seen)

        self.patch(server_head_reader, "HttpRequestParser", parser)
        self.heads = HeadReader(ServerLimits())

    def read(self, data: bytes, parsed: int) -> Any:
        """What *data* means, found by parsing so many heads."""
        before = self.parsed
        found = self.heads.read(data)
        self.assertEqual(self.parsed - before, parsed, data)
        return found

    def test_only_the_length_may_differ(self) -> None:
        first, length = self.read(head(b"5"), parsed=1)
        self.assertEqual(length, 5)
        for digits in (b"5", b"0", b"007", b"123456789012345"):
            again, length = self.read(head(digits), parsed=0)
            self.assertEqual((again, length), (first, int(digits)))
        for other in (
            head(b"5", b"A: b\r\n"), head(b"5").replace(b"/a", b"/b"), head(b"5").replace(b"x", b"y"),
            head(b"5").replace(b"1.1", b"1.0"), head(b"5").replace(b"POST", b"PUT"),
        ):  # fmt: skip
            self.assertNotEqual(self.read(other, parsed=1)[0], first)

    def test_where_the_length_stands_matters_not_what_it_is_beside(self) -> None:
        before, after = head(b"1", b"A: b\r\n"), b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nA: b\r\n\r\n"
        self.read(before, parsed=1)
        self.read(after, parsed=1)
        self.read(before.replace(b"th: 1", b"th: 22"), parsed=0)
        self.read(after.replace(b"th: 1", b"th: 22"), parsed=0)

    def test_without_a_length_and_with_one_that_is_written_otherwise(self) -> None:
        for data, length in (
            (get(), 0), (chunked(), None), (head(b"5", name=b"Content-Length:"), 5), (head(b"6 "), 6),
            (head(b"0000000000000007"), 7),
        ):  # fmt: skip
            data = data[: data.index(b"\r\n\r\n") + 4]
            self.assertEqual([self.read(data, parsed)[1] for parsed in (1, 0)], [length, length])

    def test_what_is_refused_is_refused_again(self) -> None:
        self.read(head(b"5"), parsed=1)
        for data in (
            head(b"5", b"Content-Length: 5\r\n"), head(b"5", b"Transfer-Encoding: chunked\r\n"), head(b"+5"),
            head(b"99999999999999999999"), head(b"5", b"A : b\r\n"), head(b"-5"), head(b"5\r\n 6"), head(b"5, 5"),
        ):  # fmt: skip
            for _ in range(2):
                self.assertEqual(self.assertRaises(Refused, self.heads.read, data).status, 400)

    def test_few_and_small_ones_are_kept(self) -> None:
        for number in range(1000):
            self.read(head(b"5", b"Authorization: Bearer %d\r\n" % number), parsed=1)
            self.assertLessEqual(len(self.heads._known), MOST)
        self.read(head(b"6", b"Authorization: Bearer 999\r\n"), parsed=0)
        self.read(head(b"6", b"Authorization: Bearer 0\r\n"), parsed=1)
        long = head(b"5", b"A: " + b"a" * LONGEST + b"\r\n")
        self.read(long, parsed=1)
        self.read(long, parsed=1)

    def test_no_length_makes_a_head_too_long(self) -> None:
        self.heads = HeadReader(ServerLimits(header_bytes=len(head(b"5")) + 10))
        for _ in range(2):
            self.heads.read(head(b"5"))
            self.assertEqual(self.assertRaises(Refused, self.heads.read, head(b"5" * 12)).status, 431)

    @PROFILE
    @given(st.lists(st.one_of(requests().map(lambda built: built[0]), mutated()), max_size=4), st.data())
    def test_one_that_remembers_finds_what_one_that_does_not_finds(self, sent: list[bytes], data: Any) -> None:
        texts = [text for each in sent if (text := _first_head(each))]
        for text in [*texts, *texts]:
            at = data.draw(st.integers(0, len(text)))
            insert = data.draw(SNIPPETS | st.sampled_from([b"", b"1", b"0"]))
            for each in (text, _first_head(text[:at] + insert + text[at:])):
                self.assertEqual(_outcome(self.heads, each), _outcome(HeadReader(ServerLimits()), each))


def _first_head(data: bytes) -> bytes:
    """Up to its blank line; empty if there is none."""
    return b"".join(data.lstrip(b"\r\n").partition(b"\r\n\r\n")[:2]) if b"\r\n\r\n" in data else b""


def _outcome(heads: HeadReader, data: bytes) -> Any:
    try:
        return heads.read(data)
    except Refused as refused:
        return refused.status, refused.reason


class ChannelTests(SynchronousTestCase):
    """The same through channels."""

    def test_each_request_is_understood_by_itself(self) -> None:
        served = Served()
        bodies = [b"a" * size for size in (1, 22, 0, 333, 1)]
        for body in bodies:
            served.connect().send(post(body), post(body)[:-1], post(body)[-1:])
        found = [(int(seen[3][b"Content-Length"][0]), seen[4]) for seen in served.seen]
        self.assertEqual(found[0::2], [(len(body), body) for body in bodies])

    def test_a_body_over_the_limit(self) -> None:
        served = Served(body_bytes=9)
        served.connect().send(post(b"a" * 9))
        client = served.connect()
        client.send(post(b"a" * 10))
        self.assertEqual([answer.status for answer in client.answers("POST")], [413])
        self.assertEqual(len(served.seen), 1)

    def test_each_place_to_listen_at_remembers_for_itself(self) -> None:
        served, other = Served(), Served(header_count=1)
        served.connect().send(post(b"a"))
        client = other.connect()
        client.send(post(b"a"))
        self.assertEqual([answer.status for answer in client.answers("POST")], [431])
