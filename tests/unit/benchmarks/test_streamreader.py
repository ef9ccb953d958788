"""What the readers of streams count."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.benchmarks.streamreader import Reading
from tests.benchmarks.upstream import event, framed

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWER = HEAD + framed(event(0)) * 3 + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def read(data: bytes, size: int) -> Reading:
    """*data*, as it is read in pieces of *size*."""
    reading = Reading()
    for start in range(0, len(data), size):
        reading.feed(data[start : start + size])
    return reading


class ReadingTests(SynchronousTestCase):
    def test_however_it_is_cut(self) -> None:
        for size in (13, 14, 15, 64, 97, len(ANSWER)):
            reading = read(ANSWER, size)
            self.assertEqual((reading.events, reading.over, reading.ok), (4, True, True), size)

    def test_byte_by_byte(self) -> None:
        reading = read(ANSWER, 1)
        self.assertEqual((reading.events, reading.over), (4, True))

    def test_the_first_event(self) -> None:
        reading = Reading()
        reading.feed(HEAD)
        self.assertFalse(reading.begun)
        reading.feed(framed(event(0)))
        self.assertTrue(reading.begun)
        self.assertFalse(reading.over)

    def test_an_error(self) -> None:
        reading = read(ANSWER.replace(b"200 OK", b"503 No"), len(ANSWER))
        self.assertFalse(reading.ok)

    def test_a_chunk_whose_length_ends_in_nought(self) -> None:
        reading = Reading()
        reading.feed(HEAD + b"10\r\n")
        self.assertFalse(reading.over)
