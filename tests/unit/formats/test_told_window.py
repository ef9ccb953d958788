"""How many tokens a model reads at once, as it tells."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import ErrorKind
from skyproxy.formats.error_body import read_error
from skyproxy.formats.told_window import told_window
from tests.unit.formats.test_error_kinds import BODIES


def told(error: object) -> int | None:
    return told_window(read_error(json.dumps({"error": error}).encode(), b"application/json"))


class ToldWindowTests(SynchronousTestCase):
    def test_of_all_that_are_known_to_say_so(self) -> None:
        found = set()
        for _, status, body, kind in BODIES:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            tokens = told_window(read_error(data, b"application/json"))
            if kind is ErrorKind.CONTEXT_LENGTH:
                found.add(tokens)
                if tokens is not None:
                    self.assertIn(str(tokens), data.decode())
            # What an account may have in a minute, or pay for, is not what its model reads.
            self.assertFalse(tokens is not None and status in (402, 429), data)
        self.assertEqual(
            found,
            {None, 2048, 4096, 8192, 16384, 24000, 32768, 65536, 98304, 128_000, 131_072, 200_000, 262_144, 1_048_576},
        )

    def test_numbers(self) -> None:
        message = "This model's maximum context length is {} tokens."
        for number, tokens in (("1,048,576", 1_048_576), ("7", None), ("9" * 400, None), ("many", None)):
            self.assertEqual(told({"message": message.format(number)}), tokens, number)
        for value, tokens in ((4096, 4096), (0, None), (-1, None), ("4096", None), (None, None), (10**20, None)):
            self.assertEqual(told({"message": "too long", "n_ctx": value}), tokens, value)
