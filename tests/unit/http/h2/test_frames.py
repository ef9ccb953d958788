"""FrameScanner: GOAWAY taken out of any stream of bytes, and floods stopped."""

from __future__ import annotations

from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, PingFrame, SettingsFrame
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.h2.errors import PeerMisbehaved
from skyproxy.http.h2.frames import FrameScanner, GoAway


def wire(*frames: Frame) -> bytes:
    return b"".join(frame.serialize() for frame in frames)


def data(size: int = 5) -> DataFrame:
    return DataFrame(1, b"x" * size)


def goaway(last: int = 7, debug: bytes = b"") -> GoAwayFrame:
    return GoAwayFrame(0, last_stream_id=last, error_code=2, additional_data=debug)


class FrameScannerTests(SynchronousTestCase):
    """FrameScanner."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.scanner = FrameScanner(self.clock, burst=10, rate=2)

    def scan(self, *reads: bytes) -> tuple[bytes, list[GoAway]]:
        """What is left for h2, and what was taken out."""
        pieces = [piece for read in reads for piece in self.scanner.receive(read)]
        rest = b"".join(piece for piece in pieces if isinstance(piece, bytes))
        return rest, [piece for piece in pieces if isinstance(piece, GoAway)]

    def test_other_frames_pass_as_they_are(self) -> None:
        stream = wire(SettingsFrame(0), data(), data(0), data(16_384))
        self.assertEqual(self.scanner.receive(stream), [stream])

    def test_goaway_in_every_cut(self) -> None:
        before, after = wire(data(), SettingsFrame(0)), wire(data(30))
        for debug in (b"", b"why it goes"):
            stream = before + wire(goaway(debug=debug)) + after
            for cut in range(len(stream) + 1):
                self.setUp()
                self.assertEqual(self.scan(stream[:cut], stream[cut:]), (before + after, [GoAway(7, 2)]), cut)
            self.setUp()
            alone = [stream[at : at + 1] for at in range(len(stream))]
            self.assertEqual(self.scan(*alone), (before + after, [GoAway(7, 2)]))

    def test_order_is_kept(self) -> None:
        stream = wire(data(1), goaway(9), data(2), goaway(3))
        expected = [wire(data(1)), GoAway(9, 2), wire(data(2)), GoAway(3, 2)]
        self.assertEqual(self.scanner.receive(stream), expected)

    def test_frames_without_use_are_counted(self) -> None:
        self.scan(wire(*[PingFrame(0)] * 10, *[data()] * 100))
        error = self.assertRaises(PeerMisbehaved, self.scanner.receive, wire(PingFrame(0)))
        self.assertEqual(error.code, ErrorCodes.ENHANCE_YOUR_CALM)

    def test_empty_data_is_without_use(self) -> None:
        self.assertRaises(PeerMisbehaved, self.scanner.receive, wire(*[data(0)] * 11))

    def test_time_and_requests_allow_more(self) -> None:
        self.scan(wire(*[PingFrame(0)] * 10))
        self.clock.advance(2)
        self.scanner.credit()
        self.scan(wire(*[PingFrame(0)] * 5))
        self.assertRaises(PeerMisbehaved, self.scanner.receive, wire(PingFrame(0)))
