"""Reads the heads of requests, and remembers what they meant."""

from __future__ import annotations

import re
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from skyproxy.http.h1.request_head import (
    LONGEST_REQUEST_LINE,
    REQUEST_LINE,
    Head,
    Refused,
    bad_line,
    malformed,
    read_head,
)
from skyproxy.http.server.limits import ServerLimits

MOST: Final = 64
"""Heads that are remembered."""

LONGEST: Final = 4096
"""Bytes of one that is."""

_DIGITS: Final = 15  # Any number of so many is one for llhttp, too.

_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]{1,%d})\r\n" % _DIGITS)


class HeadReader:
    """Reads heads with llhttp, strictly.

    A client says the same head again and again, but for the digits of its Content-Length. So what a head was found to
    mean is remembered for all that differ from it in nothing else. Heads contain keys and cookies: few are remembered,
    in memory only, and all are forgotten when there is one more.

    :param limits: of all connections that read with this.
    """

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        # With any digits, a head that is remembered is not over the limit.
        self._longest = min(LONGEST, limits.header_bytes - _DIGITS)
        self._known: dict[tuple[bytes, bytes], tuple[Head, int | None]] = {}

    def read(self, data: bytes) -> tuple[Head, int | None]:
        """What *data* means, which ends with its first blank line.

        :return: the head, and the bytes of the body that follows; None if it comes chunked.
        :raise Refused: this is no head, or that of a request that is not served.
        """
        parts = _LENGTH.split(data, 1)
        key = parts[0], parts[-1]
        found = self._known.get(key)
        if found is None:
            found = self._judge(data)
            if len(data) <= self._longest:
                if len(self._known) >= MOST:
                    self._known.clear()
                self._known[key] = found
        elif len(parts) == 3:
            return found[0], int(parts[1])
        return found

    def _judge(self, data: bytes) -> tuple[Head, int | None]:
        line = REQUEST_LINE.match(data)
        if line is None or line.end() > LONGEST_REQUEST_LINE:
            raise bad_line(data[: data.find(b"\r\n") + 2])
        self.check_size(data)
        if data.count(b"\r\n") - 2 > self._limits.header_count:
            raise Refused(431, f"There are more than {self._limits.header_count} header fields.")
        seen = _Seen()
        upgraded = False
        try:
            HttpRequestParser(seen).feed_data(data)
        except HttpParserUpgrade:
            upgraded = True
        except HttpParserError as error:
            raise malformed(error) from error
        head, length = read_head(line, seen.fields)
        # llhttp takes all that follows an Upgrade for another protocol. A server may ignore Upgrade (RFC 9110 section
        # 7.8), and some clients ask for h2c with a POST.
        if seen.complete != (length == 0) and not (upgraded and length != 0):
            raise Refused(400, "The end of the request cannot be told.")
        return head, length

    def check_size(self, head: bytes | bytearray) -> None:
        """Look at a *head*, or the beginning of one.

        :raise Refused: it is over the limit.
        """
        if len(head) > self._limits.header_bytes:
            raise Refused(431, f"The header fields are over {self._limits.header_bytes} bytes.")


class _Seen:
    """What llhttp found in a head."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.rstrip()))

    def on_message_complete(self) -> None:
        self.complete = True
