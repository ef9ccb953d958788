"""JSON bodies: what is accepted, and the rest is refused as a client's error."""

from __future__ import annotations

import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import InvalidRequest
from skyproxy.formats import json_body


class ReadTests(SynchronousTestCase):
    """What read reads and refuses."""

    def test_values_survive(self) -> None:
        value = {"a": [1, -(2**63), 2**64 - 1, 0.1, True, None, "é \U0001f409"], "b": {"c": {}}}
        self.assertEqual(json_body.read(json_body.encode(value)), value)

    def test_refused(self) -> None:
        for data in (
            b"",
            b"{",
            b'{"a":1} x',
            b"[1]",
            b'"text"',
            b"\xff{}",
            b'{"a":NaN}',
            b'{"a":1e400}',
            b'{"a":"\\ud800"}',
            b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        ):
            with self.assertRaises(InvalidRequest, msg=data[:40]):
                json_body.read(data)

    def test_half_of_a_surrogate_pair(self) -> None:
        """There is no UTF-8 for it, and what is accepted goes up with the same value."""
        with self.assertRaises(InvalidRequest):
            json_body.read_marked(rb'{"a":"\ud83d"}')

    def test_another_encoding_is_called_that(self) -> None:
        for data, told in (
            ('{"a":"é"}'.encode("cp1252"), "byte 7 is none of UTF-8, but of another encoding"),
            ('{"a":1}'.encode("utf-16"), "byte 1 is none of UTF-8, but of UTF-16"),
            (b'{"a":}', "line 1"),
        ):
            with self.assertRaises(InvalidRequest) as refused:
                json_body.read(data)
            self.assertIn(told, refused.exception.message)

    def test_a_byte_order_mark(self) -> None:
        self.assertEqual(json_body.read_marked(b'\xef\xbb\xbf{"a":1}'), ({"a": 1}, b'{"a":1}'))
        with self.assertRaises(InvalidRequest):
            json_body.read_marked(b'\xef\xbb\xbf\xef\xbb\xbf{"a":1}')

    def test_numbers_of_any_length_are_read(self) -> None:
        for number in (b"18446744073709551616", b"9" * 300, b"0.12345678901234567890123", b"1e-400", b"-0"):
            json_body.read(b'{"a":%b}' % number)

    def test_too_many_levels_to_write_is_a_clients_error(self) -> None:
        value = json_body.read(b'{"a":' + b"[" * 500 + b"]" * 500 + b"}")
        with self.assertRaises(InvalidRequest):
            json_body.encode(value)


class FieldTests(SynchronousTestCase):
    """The fields every request needs."""

    def test_model(self) -> None:
        self.assertEqual(json_body.model_of({"model": "default"}), "default")
        for fields in ({}, {"model": None}, {"model": 7}, {"model": ""}, {"model": "a\r\nb"}, {"model": "x" * 600}):
            with self.assertRaises(InvalidRequest) as caught:
                json_body.model_of(fields)
            self.assertEqual(caught.exception.param, "model")

    def test_messages(self) -> None:
        json_body.check_messages({"messages": []})
        for fields in ({}, {"messages": "hi"}, {"messages": {"role": "user"}}):
            with self.assertRaises(InvalidRequest) as caught:
                json_body.check_messages(fields)
            self.assertEqual(caught.exception.param, "messages")


class ExactTests(SynchronousTestCase):
    """is_exact: what was read is what was written."""

    def test_integers_beyond_64_bits(self) -> None:
        for number, exact in ((b"1", True), (b"18446744073709551615", True), (b"-9223372036854775808", True),
                              (b"0.5", True), (b"18446744073709551616", False), (b"-9223372036854775809", False),
                              (b"1e300", False)):  # fmt: skip
            for data in (b'{"a":%b}', b'{"a":[{"b":%b}]}'):
                self.assertEqual(json_body.is_exact(json_body.read(data % number)), exact, number)


class EncodeTests(SynchronousTestCase):
    """What encode gives."""

    def test_it_takes_no_more_room_than_it_has_bytes(self) -> None:
        value = {"prompt": "x" * 100_000}
        tracemalloc.start()
        try:
            data = json_body.encode(value)
            taken = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        self.assertEqual(json_body.read(data), value)
        self.assertLess(taken, 110_000)
