"""The names that ALPN has for the versions of HTTP (RFC 7301)."""

from __future__ import annotations

HTTP2 = b"h2"
HTTP11 = b"http/1.1"
HTTP10 = b"http/1.0"
