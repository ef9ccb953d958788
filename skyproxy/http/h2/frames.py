"""The frame boundaries of RFC 9113, 4.1, read before h2 sees the bytes, for what h2 leaves to its user.

h2 treats a received GOAWAY as the end of everything, and refuses all later frames; but streams up to the number that
GOAWAY names go on (RFC 9113, 6.8). It also buffers a whole oversized frame before it refuses it, counts no floods, and
does not say that a header block has begun before all of it is there.
"""

from __future__ import annotations

from dataclasses import dataclass

from h2.errors import ErrorCodes

from skyproxy.clock import Clock
from skyproxy.http.h2.errors import PeerMisbehaved
from skyproxy.util.token_bucket import TokenBucket

MAX_FRAME_SIZE = 16_384
"""Bytes of payload that a peer may send in one frame: the protocol's default, which is never raised."""

MOST_FRAMES = 64
"""Frames that are handed on in one part."""

PREFACE_SIZE = 24
"""Bytes that a client sends before its first frame (RFC 9113, 3.4)."""

_HEAD_SIZE = 9
_GOAWAY_HEAD_SIZE = _HEAD_SIZE + 8
_KIND_KNOWN = 5  # Bytes of a frame that tell what it is.
_END_STREAM, _END_HEADERS = 0x1, 0x4

_DATA, _HEADERS, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0x0, 0x1, 0x7, 0x8, 0x9
_PUSH_PROMISE = 0x5
# h2 bounds these by itself, or flow control and the header limits do.
_UNCHARGED = frozenset({_DATA, _HEADERS, _PUSH_PROMISE, _WINDOW_UPDATE, _CONTINUATION})


@dataclass(frozen=True, slots=True)
class GoAway:
    """A GOAWAY frame.

    :ivar last_stream_id: streams above it were not and will not be served.
    :ivar code: why, an error code of RFC 9113, 7.
    """

    last_stream_id: int
    code: int


class FrameScanner:
    """Takes GOAWAY frames out of what the peer sends, and stops a peer that sends frames without use.

    Frames without use cost a token: SETTINGS, PING, RST_STREAM, PRIORITY, GOAWAY, unknown ones, and DATA that neither
    carries a byte nor ends a stream. A peer has ``burst`` tokens, gets ``rate`` a second, and one for each
    :meth:`credit`.

    :param preface: bytes that the peer sends before its first frame.
    """

    __slots__ = ("_block", "_block_ends", "_bucket", "_buffered", "_dropping", "_rest")

    def __init__(self, clock: Clock, *, burst: int = 1_000, rate: int = 100, preface: int = 0) -> None:
        self._bucket = TokenBucket(clock, burst, rate)
        self._buffered = b""
        self._rest = preface
        self._dropping = False
        # Whether the last frame is part of a header block, and whether it is the last one of its block.
        self._block = self._block_ends = False

    def credit(self) -> None:
        """A request that was sent, or answered, gives the peer reason for one frame more, e.g. a RST_STREAM."""
        self._bucket.give()

    def receive(self, data: bytes) -> list[bytes | GoAway]:
        """Split *data* around GOAWAY frames, and where there are many; what remains is for h2, in order.

        :raise PeerMisbehaved: a frame is longer than :data:`MAX_FRAME_SIZE`, a GOAWAY too short, or the peer floods.
        """
        if self._buffered:
            data, self._buffered = self._buffered + data, b""
        size = len(data)
        at = self._rest
        start = at if self._dropping else 0
        parts: list[bytes | GoAway] = []
        frames = 0
        while at + _HEAD_SIZE <= size:
            length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            kind = data[at + 3]
            if length > MAX_FRAME_SIZE:
                raise PeerMisbehaved("A frame is too long.", ErrorCodes.FRAME_SIZE_ERROR)
            if kind == _GOAWAY:
                if length < 8:
                    raise PeerMisbehaved("A GOAWAY frame is too short.", ErrorCodes.FRAME_SIZE_ERROR)
                if at + _GOAWAY_HEAD_SIZE > size:
                    break
                if at > start:
                    parts.append(data[start:at])
                parts.append(_read_goaway(data, at + _HEAD_SIZE))
                start = at + _HEAD_SIZE + length
            self._block = kind in (_HEADERS, _CONTINUATION)
            self._block_ends = bool(data[at + 4] & _END_HEADERS)
            if kind not in _UNCHARGED or (kind == _DATA and not length and not data[at + 4] & _END_STREAM):
                self.charge()
            at += _HEAD_SIZE + length
            frames += 1
            if frames == MOST_FRAMES and start < at < size:
                parts.append(data[start:at])
                start, frames = at, 0
        if at < size:
            # A head that is not all there yet may become a GOAWAY: h2 must not get its first bytes.
            self._buffered = data[at:]
            data, size = data[:at], at
        if start < size:
            parts.append(data[start:] if start else data)
        self._dropping = start > size
        self._rest = at - size
        return parts

    @property
    def header_block_open(self) -> bool:
        """Whether a header block has begun and not ended."""
        if len(self._buffered) >= _KIND_KNOWN:
            return self._buffered[3] in (_HEADERS, _CONTINUATION)
        return self._block and not (self._block_ends and self._rest == 0)

    def charge(self) -> None:
        """Take a token.

        :raise PeerMisbehaved: the peer has none left.
        """
        if not self._bucket.take():
            raise PeerMisbehaved("The peer floods with control frames.", ErrorCodes.ENHANCE_YOUR_CALM)


def _read_goaway(data: bytes, at: int) -> GoAway:
    last = int.from_bytes(data[at : at + 4], "big") & 0x7FFF_FFFF
    return GoAway(last, int.from_bytes(data[at + 4 : at + 8], "big"))
