"""Vectors, sound, and the fields of an upload."""

from __future__ import annotations

import io
import math
import struct
import wave
from base64 import b64encode
from email import message_from_bytes
from email.policy import HTTP
from hashlib import sha256
from typing import Any

_SAMPLES_PER_SECOND = 8000
_SAMPLES = 1600


def vector(text: str, dimensions: int) -> list[float]:
    """A vector of length one that depends on *text* alone."""
    digest = sha256(text.encode("utf-8", "replace")).digest()
    values = [digest[index % len(digest)] / 127.5 - 1.0 + index * 1e-6 for index in range(dimensions)]
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return [value / length for value in values]


def in_base64(values: list[float]) -> str:
    """A vector as ``encoding_format: base64`` gives it: 32-bit floats, little-endian."""
    return b64encode(struct.pack(f"<{len(values)}f", *values)).decode("ascii")


def tone() -> bytes:
    """A WAV file: a fifth of a second of a horn, far away."""
    samples = (
        int(12000 * math.sin(2 * math.pi * 220 * index / _SAMPLES_PER_SECOND) * (1 - index / _SAMPLES))
        for index in range(_SAMPLES)
    )
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_SAMPLES_PER_SECOND)
        sound.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return file.getvalue()


def form_fields(body: bytes, content_type: bytes) -> dict[str, bytes]:
    """The fields of a multipart/form-data body; empty if it is none."""
    message: Any = message_from_bytes(b"Content-Type: " + content_type + b"\r\n\r\n" + body, policy=HTTP)
    fields: dict[str, bytes] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str):
            fields[name] = part.get_payload(decode=True) or b""
    return fields
