"""What HTTP/2 remembers of the header fields that it sends (HPACK, RFC 7541)."""

from __future__ import annotations

from hpack import Encoder

_MOST = 4096
"""Bytes of the table, at most: the protocol's own default."""


class BoundedEncoder(Encoder):
    """Keeps its table small, whatever the other side allows: to look a field up takes longer the more there are."""

    @property
    def header_table_size(self) -> int:
        """Bytes that the table may have."""
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        value = min(value, _MOST)
        self.header_table.maxsize = value
        if self.header_table.resized:
            # RFC 7541 section 4.2: the smallest one and the last one are sent, however many there were.
            changes = [*self.table_size_changes, value]
            self.table_size_changes = [min(changes), value] if len(changes) > 1 else changes
