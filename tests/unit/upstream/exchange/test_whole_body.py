"""Answers that are kept whole, compressed ones above all."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import UpstreamBroken, UpstreamUnusable
from skyproxy.upstream.exchange import whole_body as module
from skyproxy.upstream.exchange.body import Body
from skyproxy.upstream.exchange.whole_body import (
    LARGEST_INFLATED_BYTES,
    is_encoded,
    is_readable,
    json_of,
    plain,
    read_body,
)
from tests.unit.fakes import Response

GZIP = [(b"Content-Encoding", b"gzip")]


class WholeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.response = Response()
        self.body = Body(self.clock, self.clock.callLater(60, lambda: None), 30)
        self.response.deliverBody(self.body)

    def read(self, headers: Any = GZIP) -> Deferred[bytes]:
        return Deferred.fromCoroutine(read_body(self.body, headers))

    def test_pieces(self) -> None:
        data = gzip.compress(b"Halt! " * 1000)
        self.response.send(data[:10])
        reading = self.read()
        self.response.send(data[10:20], data[20:]).end()
        self.assertEqual(self.successResultOf(reading), b"Halt! " * 1000)

    def test_several_members_and_deflate_without_wrapping(self) -> None:
        bare = zlib.compressobj(wbits=-15)
        for name, data in (
            (b"gzip", gzip.compress(b"Ha") + gzip.compress(b"lt!")),
            (b"deflate", bare.compress(b"Halt!") + bare.flush()),
        ):
            self.setUp()
            headers = [(b"Content-Encoding", name)]
            reading = self.read(headers)
            self.response.send(data[:9], data[9:]).end()
            self.assertEqual(self.successResultOf(reading), b"Halt!")
            self.assertEqual(plain(data, headers), b"Halt!")

    def test_as_it_is(self) -> None:
        reading = self.read([])
        self.response.send(b"Ha", b"lt!").end()
        self.assertEqual(self.successResultOf(reading), b"Halt!")

    def test_a_web_page_is_called_one(self) -> None:
        for kind, hint in (
            (b"Text/HTML; charset=utf-8", True),
            (b"application/xhtml+xml", True),
            (b"text/plain", False),
        ):
            with self.assertRaises(UpstreamBroken) as refused:
                module.json_of(b"<html>", [(b"Content-Type", kind)])
            self.assertEqual("base_url" in refused.exception.message, hint)

    def test_one_without_choices(self) -> None:
        """Google's, which has none for what it does not want to answer."""
        usage = {"prompt_tokens": 8, "total_tokens": 8}
        for nothing in ({"object": "chat.completion"}, {"choices": []}, {"choices": None}):
            with self.assertRaisesRegex(UpstreamBroken, "no choices"):
                json_of(json.dumps({**nothing, "model": "m", "usage": usage}).encode(), [])
        for good in (
            {"object": "list", "data": []},
            {"object": "response", "output": []},
            {"message": {"content": "a"}},
        ):
            self.assertEqual(json_of(json.dumps(good).encode(), []).value, good)

    def test_what_was_said_where_the_usage_tells_nothing(self) -> None:
        answer = b'{"choices":[{"message":{"content":"Halt"}}],"usage":{"prompt_tokens":3,"completion_tokens":%b}}'
        for said, generated in ((b"null", 4), (b"-1", 4), (b"1.0", 0), (b"0", 0)):
            self.assertEqual(module.json_of(answer % said, []).state().generated, generated)

    def test_what_is_no_coding(self) -> None:
        for named in (b"", b"utf-8", b"UTF8", b"identity", b"none", b"chunked", b"identity, utf-8"):
            headers = [(b"Content-Encoding", named)]
            self.assertFalse(is_encoded(headers), named)
            self.assertEqual(plain(b"Halt!", headers), b"Halt!")
        for named, readable in ((b"GZIP", True), (b"identity, gzip", True), (b"br", False), (b"gzip, zstd", False)):
            headers = [(b"Content-Encoding", named)]
            self.assertEqual((is_encoded(headers), is_readable(headers)), (True, readable))

    def test_compressed_twice(self) -> None:
        """Made plain once, it would be taken for what the provider says."""
        for headers in ([(b"Content-Encoding", b"gzip, gzip")], GZIP * 2, [(b"Content-Encoding", b"deflate, gzip")]):
            self.assertEqual((is_encoded(headers), is_readable(headers)), (True, False))
            with self.assertRaises(UpstreamUnusable) as refused:
                plain(gzip.compress(gzip.compress(b"Halt!")), headers)
            self.assertIn("gzip)", refused.exception.message)

    def test_a_coding_that_cannot_be_undone_is_not_asked_for_again(self) -> None:
        for named in (b"br", b"gzip, zstd"):
            headers = [(b"Content-Encoding", named)]
            self.assertIn(
                named.split()[-1].decode(), self.failureResultOf(self.read(headers), UpstreamUnusable).value.message
            )
            self.assertRaises(UpstreamUnusable, plain, b"?", headers)

    def test_a_bomb_is_given_up_while_it_comes(self) -> None:
        bomb = gzip.compress(bytes(3 * LARGEST_INFLATED_BYTES))
        half = len(bomb) // 2
        reading = self.read()
        self.response.send(bomb[:half])
        self.failureResultOf(reading, UpstreamUnusable)
        self.assertTrue(self.response.transport.aborted)

    def test_a_bomb_that_has_come_already(self) -> None:
        bomb = gzip.compress(bytes(2 * LARGEST_INFLATED_BYTES))
        half = len(bomb) * 3 // 4
        self.response.send(bomb[:half], bomb[half:], b"more")
        self.failureResultOf(self.read(), UpstreamUnusable)
        self.assertRaises(UpstreamUnusable, plain, bomb, GZIP)

    def test_the_bound_is_below_that_of_plain_answers(self) -> None:
        self.assertLess(LARGEST_INFLATED_BYTES, module.LARGEST_BYTES)
        data = gzip.compress(bytes(LARGEST_INFLATED_BYTES))
        self.assertEqual(plain(data, GZIP), bytes(LARGEST_INFLATED_BYTES))

    def test_cut_or_none(self) -> None:
        data = gzip.compress(b"Halt!")
        for sent in (data[:-1], b"Halt!", data + b"x"):
            self.setUp()
            reading = self.read()
            self.response.send(sent)
            if not self.response.transport.aborted:
                self.response.end()
            self.assertNotIsInstance(self.failureResultOf(reading, UpstreamBroken).value, UpstreamUnusable)
            self.assertRaises(UpstreamBroken, plain, sent, GZIP)

    def test_too_large_as_it_is(self) -> None:
        with mock.patch.object(module, "LARGEST_BYTES", 10):
            reading = self.read([])
            self.response.send(b"123456", b"789012")
        self.failureResultOf(reading, UpstreamUnusable)
        self.assertTrue(self.response.transport.aborted)
