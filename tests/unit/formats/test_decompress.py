from __future__ import annotations

import gzip
import os
import zlib

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.formats.decompress import Inflater, TooLarge, inflate

PLAIN = b"Halt! " * 1000


def bare(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


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
        for data in (b"", b"p", b"plain", os.urandom(64) + b"x", bare(PLAIN)):
            with self.assertRaises(ValueError) as caught:
                inflate(data, 100_000)
            self.assertNotIsInstance(caught.exception, TooLarge)

    def test_cut_or_followed_by_something(self) -> None:
        for squeeze in (gzip.compress, zlib.compress):
            data = squeeze(PLAIN)
            for bad in (
                data[:-1],
                data[:-9],
                data[: len(data) // 2],
                data + b"x",
                data + zlib.compress(b""),
                data + b"\0x",
            ):
                with self.assertRaises(ValueError):
                    inflate(bad, 1_000_000)

    def test_gzip_of_several_members(self) -> None:
        data = gzip.compress(PLAIN[:10]) + gzip.compress(b"") + gzip.compress(PLAIN[10:])
        self.assertEqual(inflate(data, len(PLAIN)), PLAIN)
        for bad, kind in ((data[:-1], ValueError), (data + data[:5], ValueError), (data * 2, TooLarge)):
            with self.assertRaises(kind):
                inflate(bad, len(PLAIN))
        with self.assertRaises(ValueError):
            inflate(gzip.compress(b"") * 1000, 10)
        with self.assertRaises(ValueError):
            inflate(zlib.compress(PLAIN) * 2, 2 * len(PLAIN))

    def test_zeros_at_the_end(self) -> None:
        for squeeze in (gzip.compress, zlib.compress):
            self.assertEqual(inflate(squeeze(PLAIN) + bytes(500), len(PLAIN)), PLAIN)

    def test_deflate_without_wrapping(self) -> None:
        for squeeze in (bare, gzip.compress, zlib.compress):
            self.assertEqual(inflate(squeeze(PLAIN), len(PLAIN), bare=True), PLAIN)
            with self.assertRaises(TooLarge):
                inflate(squeeze(PLAIN), len(PLAIN) - 1, bare=True)
        for bad in (b"", bare(PLAIN)[:-1], bare(PLAIN) + b"x", bare(PLAIN) * 2):
            with self.assertRaises(ValueError):
                inflate(bad, 1_000_000, bare=True)

    def test_the_cuts_do_not_matter(self) -> None:
        for data in (bare(PLAIN), zlib.compress(PLAIN), gzip.compress(PLAIN[:7]) + gzip.compress(PLAIN[7:]) + bytes(9)):
            for size in (1, 2, 3, 17):
                inflater = Inflater(len(PLAIN), bare=True)
                parts = [inflater.feed(data[at : at + size]) for at in range(0, len(data), size)]
                inflater.end()
                self.assertEqual(b"".join(parts), PLAIN)

    def test_damaged(self) -> None:
        data = bytearray(gzip.compress(PLAIN))
        data[-5] ^= 1  # of the checksum
        with self.assertRaises(ValueError):
            inflate(bytes(data), 1_000_000)
