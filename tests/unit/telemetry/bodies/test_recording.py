"""Recordings of answers, as :mod:`skyproxy.telemetry.bodies.recording` keeps them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.telemetry.bodies.recording import Allowance, Recording


class RecordingTests(SynchronousTestCase):
    def test_all_of_it(self) -> None:
        recording = Recording(Allowance(), 100)
        recording.begin(b"text/event-stream")
        recording.add(b"data: 1\n\n")
        recording.add(b"data: 2\n\n")
        self.assertEqual((recording.take(), recording.size), (b"data: 1\n\ndata: 2\n\n", 18))

    def test_the_beginning(self) -> None:
        recording = Recording(Allowance(), 5)
        recording.begin(b"application/json")
        for data in (b"abc", b"def", b"ghi"):
            recording.add(data)
        self.assertEqual((recording.take(), recording.size), (b"abcde", 9))

    def test_only_text(self) -> None:
        for kind, is_text in ((b"audio/mpeg", False), (b"application/json", True), (b"", True), (b"image/png", False)):
            recording = Recording(Allowance(), 5)
            recording.begin(kind)
            recording.add(b"abc")
            self.assertEqual((recording.is_text, recording.size), (is_text, 3))
            self.assertEqual(recording.take(), b"abc" if is_text else b"")

    def test_memory_is_shared_and_given_back(self) -> None:
        allowance = Allowance(10)
        first, second = Recording(allowance, 100), Recording(allowance, 100)
        first.add(b"12345678")
        second.add(b"abcd")
        second.add(b"e")  # a byte is free again, perhaps, but what came before it is not there
        self.assertEqual(second.take(), b"ab")
        self.assertEqual(first.take(), b"12345678")
        self.assertEqual(allowance.left, 10)
        first.add(b"later")
        self.assertEqual((first.take(), allowance.left), (b"", 10))
