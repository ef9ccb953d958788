"""Whether the header fields of a request are on their way: h2 does not tell before they are all there."""

from __future__ import annotations

_PREFACE = 24
_FRAME_HEAD = 9
_TOLD = 5
_HEADERS, _CONTINUATION = 0x1, 0x9
_END_HEADERS = 0x4


class HeadWatch:
    """Reads no more than the beginnings of the frames that a client sends (RFC 9113 sections 3.4 and 4.1)."""

    __slots__ = ("_held", "_in_block", "_last", "_rest")

    def __init__(self) -> None:
        self._held = b""
        self._rest = _PREFACE
        self._in_block = self._last = False

    def feed(self, data: bytes) -> None:
        """Take what has come next."""
        if self._held:
            data, self._held = self._held + data, b""
        at, size = self._rest, len(data)
        while at + _TOLD <= size:
            self._in_block = data[at + 3] in (_HEADERS, _CONTINUATION)
            self._last = bool(data[at + 4] & _END_HEADERS)
            at += _FRAME_HEAD + int.from_bytes(data[at : at + 3], "big")
        if at < size:
            self._held, at = data[at:], size
        self._rest = at - size

    @property
    def coming(self) -> bool:
        """Whether a header block has begun and not ended."""
        return self._in_block and not (self._last and self._rest == 0)
