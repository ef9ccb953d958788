from __future__ import annotations

import gzip
import os
import zlib

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.formats.decompress import TooLarge, inflate

PLAIN = b"Halt! " * 1000


class InflateTests(SynchronousTestCase):
    def test_gzip_and_zlib(self) -> None:
        for squeeze in (gzip.compress, zlib.compress):
            self.assertEqual(inflate(squeeze(PLAIN), len(PLAIN)), PLAIN)
            self.assertEqual(inflate(squeeze(b""), 0), b"")

    def test_the_bound_is_on_the_plain_data(self) -> None:
        for data in (gzip.compress(PLAIN), zlib.compress(PLAIN)):
            self.assertEqual(inflate(data, len(PLAIN)), PLAIN)
            with self.assertRaises(TooLarge):
                inflate(data, len(PLAIN) - 1)
        with self.assertRaises(TooLarge):
            inflate(gzip.compress(b"x"), 0)

    def test_a_bomb_costs_no_more_than_the_bound(self) -> None:
        bomb = gzip.compress(bytes(50_000_000))
        self.assertLess(len(bomb), 60_000)
        with self.assertRaises(TooLarge):
            inflate(bomb, 1000)

    def test_what_is_neither(self) -> None:
        raw = zlib.compressobj(wbits=-15)
        for data in (b"", b"plain", os.urandom(64) + b"x", raw.compress(PLAIN) + raw.flush()):
            with self.assertRaises(ValueError) as caught:
                inflate(data, 100_000)
            self.assertNotIsInstance(caught.exception, TooLarge)

    def test_cut_or_followed_by_something(self) -> None:
        for squeeze in (gzip.compress, zlib.compress):
            data = squeeze(PLAIN)
            for bad in (data[:-1], data[:-9], data[: len(data) // 2], data + b"x", data + data):
                with self.assertRaises(ValueError):
                    inflate(bad, 1_000_000)

    def test_damaged(self) -> None:
        data = bytearray(gzip.compress(PLAIN))
        data[-5] ^= 1  # of the checksum
        with self.assertRaises(ValueError):
            inflate(bytes(data), 1_000_000)
