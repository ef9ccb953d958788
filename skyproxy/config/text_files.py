"""Files of the configuration as bytes: their text, another text in the same encoding, and their digests."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterable
from pathlib import Path

from skyproxy.config.files import decoded
from skyproxy.config.plain_files import bytes_of

_ENCODINGS = (
    (b"", "utf-8"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"", "utf-16-le"),
    (b"", "utf-16-be"),
)


class TextFile:
    """The bytes of a file, read as text.

    :ivar text: without a mark of the encoding.
    :raise ValueError: they are no text that would be written as the same bytes.
    """

    def __init__(self, data: bytes) -> None:
        self.text = decoded(data)
        for mark, encoding in _ENCODINGS:
            if mark + self.text.encode(encoding) == data:
                self._mark, self._encoding = mark, encoding
                return
        raise ValueError("it is in no encoding that could be written again as it was")

    def encoded(self, text: str) -> bytes:
        """*text* as this file has its own."""
        return self._mark + text.encode(self._encoding)


def digests_of(paths: Iterable[Path]) -> dict[Path, str]:
    """What each file holds, in short; nothing of those that cannot be read."""
    found = {}
    for path in paths:
        try:
            found[path] = hashlib.sha256(bytes_of(path)).hexdigest()
        except OSError:
            continue
    return found
