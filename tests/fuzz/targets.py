"""What must hold of each parser, whatever the bytes are and however they come."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from skyproxy.config import ConfigError, load
from skyproxy.errors import InvalidRequest
from skyproxy.formats.json_splice import with_members, with_model
from skyproxy.formats.openai.bodies import read_leniently
from skyproxy.formats.openai.stream_inspector import StreamInspector
from skyproxy.http.h1.response_reader import BadResponse, ResponseReader
from tests.unit.http.server_support import Served

Cuts = Sequence[float]
Target = Callable[[bytes, Cuts], None]
"""Raises if something does not hold of these bytes, cut at these places, from 0 to 1."""


def pieces_of(data: bytes, cuts: Cuts) -> list[bytes]:
    """*data* cut at each of *cuts*."""
    at = sorted({round(cut * len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(at)]


def responses(data: bytes, cuts: Cuts) -> None:
    """A provider's connection: a response or none, the same in any pieces."""
    whole, cut = _responses([data]), _responses(pieces_of(data, cuts))
    assert cut == whole, (cut, whole)


def _responses(pieces: Sequence[bytes]) -> Any:
    reader, body, refused = ResponseReader(), b"", False
    for piece in pieces:
        try:
            reader.receive(piece)
        except BadResponse:
            refused = True
        body += b"".join(reader.parts)
        if refused or reader.complete:
            break
    head = None if reader.head is None else (reader.head.status, list(reader.head.fields), reader.head.version)
    if head is not None:
        assert head[0] >= 200 and reader.head is not None and isinstance(reader.head.phrase, bytes)
    return head, body, reader.complete, refused


def events(data: bytes, cuts: Cuts) -> None:
    """A stream: what goes on is how it begins, but for errors that clients would not see, and what is known of it does
    not depend on the pieces.
    """
    whole, state = _events([data])
    cut, state_of_cut = _events(pieces_of(data, cuts))
    if state[1] is None:
        assert data.startswith(whole)
        assert data.startswith(cut)
    assert (_told(cut), state_of_cut) == (_told(whole), state)
    # With the client's own name for the model its bytes differ, but not with the pieces.
    (cut, state_of_cut), (whole, state) = _events(pieces_of(data, cuts), "mine"), _events([data], "mine")
    assert (_told(cut), state_of_cut) == (_told(whole), state)


def _told(came: bytes) -> bytes:
    """*came* without blank lines and comments at its end: they may go on before the event behind them is whole."""
    return re.sub(rb"(?:\A|(?<=\n)|(?<=\r))(?:(?::[^\r\n]*)?(?:\r\n|\n|\r))+\Z", b"", came)


def _events(pieces: Sequence[bytes], model: str | None = None) -> Any:
    inspector = StreamInspector(model=model)
    came = b"".join(inspector.feed(piece) for piece in pieces)
    state = inspector.state()
    if not inspector.done:
        came += inspector.end()
    return came, (state, inspector.error, inspector.usage, inspector.complete)


def configurations(data: bytes, cuts: Cuts = ()) -> None:
    """A file: a configuration, or problems, each of which names the file."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "skyproxy.yaml"
        file.write_bytes(data)
        try:
            load(file, environ={}, cwd=Path(folder), home=None)
        except ConfigError as error:
            assert error.problems
            assert str(error).isprintable() or "\n" in str(error) or "\t" in str(error), str(error)


def splices(data: bytes, cuts: Cuts = ()) -> None:
    """An object of which members are changed says what it said, but for these."""
    try:
        said = read_leniently(data)
    except InvalidRequest:
        return
    if not isinstance(said, dict):
        return
    # Numbers as they are: two readers of JSON make two kinds of one of 20 digits.
    exactly = json.loads(data, strict=False, parse_int=str, parse_float=str, parse_constant=str)
    for changes in ({"model": b'"new"'}, {"model": None}, {"seed": b"7", "model": b'"new"', "x": None}):
        changed = with_members(data, said, changes)
        expected = {**exactly, **{name: json.loads(new, parse_int=str) for name, new in changes.items() if new}}
        for name, new in changes.items():
            if new is None:
                expected.pop(name, None)
        found = json.loads(changed, strict=False, parse_int=str, parse_float=str, parse_constant=str)
        assert found == expected, (data, changes, changed)
    renamed = with_model(data, b'"new"', said)
    # Of one that stands there twice, the answer of a provider that nobody can read, the first may do.
    if max(data.count(b"model") + data.count(b"\\u"), data.count(b"response")) < 2:
        assert renamed == with_model(data, b'"new"')
    assert isinstance(read_leniently(renamed), dict)


def requests(data: bytes, cuts: Cuts) -> None:
    """A client's connection: never an exception, and the same in any pieces."""
    whole, cut = _requests([data]), _requests(pieces_of(data, cuts))
    assert cut == whole, (cut, whole)


def _requests(pieces: Sequence[bytes]) -> Any:
    served = Served()
    client = served.connect()
    client.send(*pieces)
    served.pass_time(100)
    statuses = [int(line[9:12]) for line in client.received.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    return served.seen, [status for status in statuses if status != 100]


TARGETS: dict[str, Target] = {
    "requests": requests, "responses": responses, "events": events, "configurations": configurations,
    "splices": splices,
}  # fmt: skip
