"""Answers as bytes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.packing import pack, unpack
from skyproxy.cache.stored_answer import StoredAnswer
from tests.unit.cache.clients import EVENTS, JSON

KEY, OTHER = b"k" * 32, b"o" * 32


class PackingTests(SynchronousTestCase):
    def test_what_comes_back(self) -> None:
        for answer in (
            StoredAnswer(200, (JSON, (b"X-\xff", b"\xe9\x00")), b"{}", False),
            StoredAnswer(200, (EVENTS,), b"data: [DONE]\n\n" * 1000, True),
            StoredAnswer(200, (), b"\x00", False),
        ):
            unpacked = unpack(KEY, pack(KEY, answer, 300_000))
            assert unpacked is not None
            self.assertEqual((unpacked.answer, unpacked.ttl_ms), (answer, 300_000))

    def test_nothing_else_is_taken_for_an_answer(self) -> None:
        packed = pack(KEY, StoredAnswer(200, (JSON,), b'{"a": 1}', False), 1000)
        self.assertIsNone(unpack(OTHER, packed))
        for length in range(len(packed)):
            self.assertIsNone(unpack(KEY, packed[:length]), length)
        for place in range(len(packed)):
            changed = bytearray(packed)
            changed[place] ^= 1
            self.assertIsNone(unpack(KEY, bytes(changed)), place)
        self.assertIsNone(unpack(KEY, packed + b"x"))
