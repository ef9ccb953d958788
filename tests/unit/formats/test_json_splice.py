"""JSON texts of which something is changed: the rest stays, byte for byte."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import InvalidRequest
from skyproxy.formats.json_splice import with_members, with_model
from skyproxy.formats.openai.bodies import read_leniently

NUMBERS = b'"a": -0, "b" :1e-400,"c":[0.1000000000000000055511151231257827, 12345678901234567890123]'


class MembersTests(SynchronousTestCase):
    """with_members."""

    def changed(self, data: bytes, **changes: bytes | None) -> bytes:
        return with_members(data, read_leniently(data), changes)

    def test_every_other_byte_stays(self) -> None:
        data = b'{ %b , "model" : "x", "deep": %b }' % (NUMBERS, b"[" * 200 + b"]" * 200)
        self.assertEqual(self.changed(data, model=b'"y"'), data.replace(b'"x"', b'"y"'))
        self.assertEqual(self.changed(data, model=None), data.replace(b'"model" : "x", ', b""))
        self.assertEqual(self.changed(data, more=b"1"), data.replace(b" }", b',"more":1 }'))
        self.assertIs(self.changed(data), data)

    def test_every_kind_of_value_can_be_changed(self) -> None:
        for old in (b'"x"', b'"\\"}"', b"1.50", b"true", b"null", b"[1]", b'{"model":2}', b'"\\u005c"', b'""'):
            data = b'{%b,"model": %b ,"z":[]}' % (NUMBERS, old)
            self.assertEqual(self.changed(data, model=b"7"), data.replace(b'"model": %b ' % old, b'"model": 7 '), old)

    def test_the_outermost_object_is_meant(self) -> None:
        for data in (
            b'{"inner":{"model":1},"model":2}',
            b'{"model":2,"inner":{"model":1}}',
            b'{"inner":{"model":1},"mod\\u0065l":2}',
            b'{"text":"model","model":2}',
            b'{"text":["model"],"mod\\u0065l":2}',
        ):
            self.assertEqual(self.changed(data, model=b"7"), data.replace(b"2", b"7"))

    def test_a_name_that_stands_there_twice(self) -> None:
        self.assertEqual(self.changed(b'{"m":1,"m":2}', m=b"7"), b'{"m":7,"m":7}')
        self.assertEqual(self.changed(b'{"m":1,"m":2}', m=None), b"{}")

    def test_a_name_that_stands_there_twice_once_in_disguise(self) -> None:
        """Who read the other one would be asked for a model that nobody has allowed."""
        for first, last in ((b"model", b"m\\u006fdel"), (b"m\\u006Fdel", b"model"), (b"\\u006dodel", b"\\u006dodel")):
            data = b'{"%b":1,"messages":[],"%b":2}' % (first, last)
            self.assertEqual(self.changed(data, model=b"7"), b'{"%b":7,"messages":[],"%b":7}' % (first, last))
            self.assertEqual(json.loads(self.changed(data, model=None)), {"messages": []})
            self.assertEqual(
                with_model(data, b"7", read_leniently(data)), b'{"%b":7,"messages":[],"%b":7}' % (first, last)
            )

    def test_a_name_that_stands_there_very_often(self) -> None:
        """Each of them costs as much as the one before it: a body of 10 MB would take hours."""
        many = 100_000
        data = b'{"n":1,%b"z":2}' % (b'"m":3 , ' * many)
        self.assertEqual(self.changed(data, m=b"7"), data.replace(b"3", b"7"))
        self.assertEqual(self.changed(data, m=None), b'{"n":1,"z":2}')
        self.assertEqual(self.changed(data, n=None, m=None, z=None), b"{}")
        inner = b'{"response":{%b"z":2}}' % (b'"model":3,' * many)
        self.assertEqual(with_model(inner, b"7", read_leniently(inner)), inner.replace(b"3", b"7"))

    def test_very_many_names(self) -> None:
        names = [f"x{number}" for number in range(100_000)]
        data = b'{"m":1,%b,"n":2}' % b",".join(b'"%b":[0]' % name.encode() for name in names)
        gone = dict.fromkeys(names)
        self.assertEqual(self.changed(data, **gone), b'{"m":1,"n":2}')
        self.assertEqual(self.changed(data, m=b"7", n=None, new=b"8", **gone), b'{"m":7,"new":8}')

    def test_none_left_or_none_there(self) -> None:
        for data, left in ((b'{"m":1}', b"{}"), (b'{ "m":1 }', b"{}"), (b'{"m":1,"n":{}}', b'{"n":{}}'),
                           (b'{"n":{},"m":1}', b'{"n":{}}'), (b'{"n":{} , "m":1 }', b'{"n":{} }')):  # fmt: skip
            self.assertEqual(self.changed(data, m=None), left)
        self.assertEqual(self.changed(b"{ }", m=b"1"), b'{"m":1 }')

    def test_names_that_need_escapes(self) -> None:
        for name in ("é", 'a"b', "a\\b", "\ud800"):
            data = json.dumps({name: 1, "n": 2}).encode()
            value = read_leniently(data)
            self.assertEqual(json.loads(with_members(data, value, {name: b"7"})), {name: 7, "n": 2})
            self.assertEqual(json.loads(with_members(b'{"n":2}', {"n": 2}, {name: b"7"})), {name: 7, "n": 2})

    def test_too_many_levels(self) -> None:
        data = b'{"a":%b,"m":1,"b":{"m":2}}' % (b"[" * 100_000 + b"]" * 100_000)
        with self.assertRaises(InvalidRequest):
            with_members(data, {"m": 1, "a": [], "b": {}}, {"m": b"7"})

    def test_any_object_and_any_changes(self) -> None:
        random = Random(3)

        def some(levels: int) -> Any:
            kind = random.randrange(7 if levels else 4)
            if kind >= 4:
                names = random.sample(["a", "b", "model", "c d", "é", 'q"', "\u0001"], random.randrange(5))
                return {name: some(levels - 1) for name in names} if kind > 4 else [some(levels - 1) for _ in names]
            return [random.randrange(99), "a", random.choice(['model":', "}", ",", "\\", "é"]), None][kind]

        for _ in range(2000):
            value = {name: some(2) for name in random.sample(["a", "b", "model", "c", "é", 'q"'], random.randrange(6))}
            data = json.dumps(
                value, ensure_ascii=random.random() < 0.5, indent=random.choice([None, None, 1]),
                separators=random.choice([None, (",", ":"), (" , ", " : ")]),
            ).encode()  # fmt: skip
            changes: dict[str, Any] = {
                name: random.choice([None, 7, [8], "x"]) for name in random.sample(["a", "model", "é", "new", "b"], 3)
            }
            removed = {name for name, new in changes.items() if new is None}
            expected = {**value, **changes}
            given = {name: None if new is None else json.dumps(new).encode() for name, new in changes.items()}
            changed = with_members(data, value, given)
            expected = {name: new for name, new in expected.items() if name not in removed}
            self.assertEqual(json.loads(changed), expected, (data, given))


class ModelTests(SynchronousTestCase):
    """with_model: in an answer or an event, whether or not it is known what that says."""

    def assertNamed(self, data: bytes, expected: bytes) -> None:
        self.assertEqual(with_model(data, b'"own"'), expected)
        value = read_leniently(data)
        if isinstance(value, dict):
            self.assertEqual(with_model(data, b'"own"', value), expected)

    def test_every_other_byte_stays(self) -> None:
        for data in (
            b'{ "id":"x", "model" : "m", %b }' % NUMBERS,
            b'{ %b, "model":"m" }' % NUMBERS,
            b'{"id":"{[","model":"m","choices":[{"delta":{"content":"\\"model\\":\\"m\\""}}]}',
            b'{"choices":[{"model":"n"}],"model":"m"}',
            b'{"model":"m","inner":{"model":"n"}}',
            b'{"type":"response.created","response":{"id":"r","model":"m","tools":[{"model":"n"}]}}',
            b'{"type":"response.created","response":{"tools":[{"model":"n"}],"model":"m"},"x":"model"}',
        ):
            self.assertNamed(data, data.replace(b'"m"', b'"own"'))

    def test_a_byte_order_mark_and_bytes_that_are_no_text(self) -> None:
        for data in (
            b'\xef\xbb\xbf{"model":"m","x":"\xf0\x9f"}',
            b'\xef\xbb\xbf{"inner":{"model":"n"},"x":"caf\xc3","model":"m","y":"\xed\xa0\xbd"}',
        ):
            self.assertNamed(data, data.replace(b'"m"', b'"own"'))

    def test_both(self) -> None:
        self.assertNamed(
            b'{"inner":{},"model":"a","response":{"model":"b"}}',
            b'{"inner":{},"model":"own","response":{"model":"own"}}',
        )

    def test_where_there_is_none(self) -> None:
        for data in (
            b"{}",
            b'{"choices":[{"model":"m"}]}',
            b'{"a":"model"}',
            b'{"response":"model"}',
            b'{"response":{}}',
        ):
            self.assertNamed(data, data)

    def test_what_is_no_json(self) -> None:
        for data in (b"", b'"model"', b'[{"model":"m"}]', b'{"a":[}],"model":"m"', b"[DONE]", b'x "model"', b'{"model'):
            self.assertEqual(with_model(data, b'"own"'), data)
