"""JSON bodies: what is accepted arrives as the same value, the rest is refused as a client's error."""

from __future__ import annotations

import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import InvalidRequest
from skyproxy.formats import json_body


class ParseTests(SynchronousTestCase):
    """What parse reads and refuses."""

    def test_values_survive(self) -> None:
        value = {"a": [1, -(2**63), 2**64 - 1, 0.1, True, None, "é \U0001f409"], "b": {"c": {}}}
        self.assertEqual(json_body.parse(json_body.encode(value)), value)

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
            b'{"a":18446744073709551616}',
            b'{"a":-9223372036854775809}',
            b'{"a":%s}' % (b"9" * 5000),
            b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        ):
            with self.assertRaises(InvalidRequest, msg=data[:40]):
                json_body.parse(data)

    def test_digits_that_are_no_large_integer_pass(self) -> None:
        for data in (
            b'{"a":"12345678901234567890123"}',
            b'{"a":0.12345678901234567890123}',
            b'{"a":1234567890123456789}',
        ):
            json_body.parse(data)

    def test_too_many_levels_to_write_is_a_clients_error(self) -> None:
        value = json_body.parse(b'{"a":' + b"[" * 500 + b"]" * 500 + b"}")
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


class WithModelTests(SynchronousTestCase):
    """with_model: another name, and nothing else."""

    def renamed(self, data: bytes, model: str = "slot") -> bytes:
        return json_body.with_model(data, json_body.read(data), model)

    def test_every_other_byte_stays(self) -> None:
        data = b'{ "id": 1.50, "model" : "guard", "n": 123456789012345678901234567890, "t": "\\"model\\":\\"guard\\"" }'
        self.assertEqual(self.renamed(data), data.replace(b'"guard",', b'"slot",'))

    def test_the_same_name_or_none(self) -> None:
        for data in (b'{"model": "slot"}', b'{"id": 1}'):
            self.assertEqual(self.renamed(data), data)

    def test_names_that_look_alike(self) -> None:
        for data in (
            b'{"inner":{"model":"guard"},"model":"guard"}',
            b'{"text":"model","model":"guard"}',
            b'{"model":null}',
            b'{"mod\\u0065l":"guard","inner":{"model":"guard"}}',
        ):
            self.assertEqual(json_body.read(self.renamed(data)), {**json_body.read(data), "model": "slot"}, data)

    def test_what_cannot_be_written_again_is_refused(self) -> None:
        with self.assertRaises(InvalidRequest):
            self.renamed(b'{"model":"guard","a":{"model":123456789012345678901234567890}}')


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
