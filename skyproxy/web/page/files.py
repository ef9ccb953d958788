"""The files of the page, read once at the start, each with the headers that it is served with.

``/`` is ``index.html``; all others are at ``/a/VERSION/NAME``. The version is the hash of all files, so browsers may
keep a file forever, and relative imports of one file by another work as they stand. Files are compressed when the
first browser asks.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from skyproxy.errors import NotFound
from skyproxy.http.common.headers import Field

TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
    "png": b"image/png",
}
"""By the ending of a file's name; others are not served."""

POLICY = b"; ".join(
    (
        b"default-src 'none'", b"script-src 'self'", b"style-src 'self'", b"img-src 'self'", b"connect-src 'self'",
        b"worker-src 'self'", b"base-uri 'none'", b"form-action 'none'", b"frame-ancestors 'none'",
        b"require-trusted-types-for 'script'", b"trusted-types 'none'",
    )
)  # fmt: skip
"""Content-Security-Policy (https://www.w3.org/TR/CSP3/): the page's own files alone, and no script made of text."""

_SECURITY = (
    (b"Content-Security-Policy", POLICY),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
)

_INDEX = "index.html"
_VERSION_MARK = b"VERSION"
"""Stands for the version in ``index.html``."""


def shipped() -> dict[str, bytes]:
    """The files that lie in the package, by their names relative to ``assets``."""
    return dict(_read(files("skyproxy.web.page").joinpath("assets"), ""))


def _read(folder: Any, above: str) -> Iterator[tuple[str, bytes]]:
    for each in sorted(folder.iterdir(), key=lambda each: str(each.name)):
        if each.is_dir():
            yield from _read(each, f"{above}{each.name}/")
        elif each.name.rpartition(".")[2] in TYPES:
            yield above + each.name, each.read_bytes()


class PageFiles:
    """The files of the page.

    :param contents: by their names.
    :ivar version: changes when any file does.
    """

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        digest = sha256()
        for name, content in sorted(contents.items()):
            digest.update(b"%b\0%d\0%b" % (name.encode(), len(content), content))
        self.version = digest.hexdigest()[:12]
        self._contents = dict(contents)
        self._contents[_INDEX] = contents[_INDEX].replace(_VERSION_MARK, self.version.encode())
        self._compressed: dict[str, bytes] = {}

    def index(self, accept_encoding: bytes) -> tuple[bytes, list[Field]]:
        """The document: its body and its headers.

        :param accept_encoding: the request's header.
        """
        return self._file(_INDEX, accept_encoding, b"no-cache")

    def asset(self, version: str, name: str, accept_encoding: bytes) -> tuple[bytes, list[Field]]:
        """One of the other files.

        :raise NotFound: there is none of this version and name.
        """
        if name not in self._contents or name == _INDEX or version != self.version:
            raise NotFound("There is no such file of the page; load the page again.")
        return self._file(name, accept_encoding, b"public, max-age=31536000, immutable")

    def _file(self, name: str, accept_encoding: bytes, cache: bytes) -> tuple[bytes, list[Field]]:
        body = self._contents[name]
        headers = headers_of(name, cache)
        if _takes_gzip(accept_encoding):
            if name not in self._compressed:
                self._compressed[name] = gzip.compress(body, mtime=0)
            body = self._compressed[name]
            headers.append((b"Content-Encoding", b"gzip"))
        return body, headers


def headers_of(name: str, cache: bytes) -> list[Field]:
    """The headers of the file *name*, which the page's policy holds for.

    :param cache: its Cache-Control.
    """
    return [
        (b"Content-Type", TYPES[name.rpartition(".")[2]]),
        (b"Cache-Control", cache),
        (b"Vary", b"Accept-Encoding"),
        *_SECURITY,
    ]


def _takes_gzip(accept_encoding: bytes) -> bool:
    """Whether gzip is named, and not as unwanted (RFC 9110, section 12.5.3)."""
    for each in accept_encoding.lower().split(b","):
        coding, _, weight = each.partition(b";")
        if coding.strip() == b"gzip":
            return weight.replace(b" ", b"").rstrip(b"0.") not in (b"q=",)
    return False
