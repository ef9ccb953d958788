"""Forms: one field is replaced, and every other byte stays."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import InvalidRequest
from skyproxy.formats import multipart

TYPE = b'multipart/form-data; boundary="xx yy"'


def form(*parts: tuple[bytes, bytes]) -> bytes:
    head = b"--xx yy\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n"
    return b"".join(head % part for part in parts) + b"--xx yy--\r\n"


AUDIO = (b'name="file"; filename="model.wav"', b'RIFF\r\n\r\nname="model"\r\n--xx y\x00\xff')


class MultipartTests(SynchronousTestCase):
    """find_model and replace_model."""

    def test_found_and_replaced(self) -> None:
        body = form(AUDIO, (b'name="model"', b"whisper-slot"), (b'name="language"', b"en"))
        self.assertEqual(multipart.find_model(body, TYPE), "whisper-slot")
        self.assertEqual(
            multipart.replace_model(body, TYPE, "whisper-1"),
            form(AUDIO, (b'name="model"', b"whisper-1"), (b'name="language"', b"en")),
        )

    def test_unquoted_name_and_other_parameters(self) -> None:
        self.assertEqual(multipart.find_model(form((b"name=model; x=y", b"a:b")), TYPE), "a:b")

    def test_what_comes_before_the_first_part(self) -> None:
        for preamble in (b"\r\n", b"\r\n\r\n", b'A form.\r\nname="model"\r\n\r\nno\r\n'):
            body = preamble + form(AUDIO, (b'name="model"', b"slot"))
            self.assertEqual(multipart.find_model(body, TYPE), "slot")
            self.assertEqual(multipart.replace_model(body, TYPE, "m"), preamble + form(AUDIO, (b'name="model"', b"m")))

    def test_refused(self) -> None:
        good = form((b'name="model"', b"m"))
        for body, kind in (
            (form(AUDIO), TYPE),
            (form((b'name="model"', b"m"), (b'name="model"', b"n")), TYPE),
            (good[:-20], TYPE),
            (b"{}", TYPE),
            (good, b"multipart/form-data"),
            (good, b"application/json"),
            (good, b"\xff"),
            (form((b'name="model"', b"\xff\xfe")), TYPE),
            (form((b'name="model"', b"a\nb")), TYPE),
            (b"--xx yy\r\n\r\n", TYPE),
        ):
            with self.assertRaises(InvalidRequest):
                multipart.find_model(body, kind)

    def test_what_another_server_could_understand_otherwise(self) -> None:
        """Who read a second field `model`, which is not seen here, would be asked for a model that nobody allowed."""
        good = form((b'name="model"', b"m"))
        hidden = b'Content-Disposition: form-data; name="model"\r\n\r\nhidden'
        self.assertEqual(multipart.find_model(good, TYPE), "m")
        self.assertEqual(multipart.find_model(good.replace(b"yy\r\n", b"yy \t\r\n"), TYPE), "m")
        for name in (
            b'\r\n name="model"',
            b"name*=utf-8''model",
            b'name*0="mo"; name*1="del"',
            b'name="mod\\el"',
            b'name="a"\nContent-Disposition: form-data; name="model"',
            b'name="a"\n\nx\n--xx yy\n' + hidden.replace(b"\r\n", b"\n"),
            b'name = "model"',
        ):
            for parts in (((name, b"hidden"), (b'name="model"', b"m")), ((b'name="model"', b"m"), (name, b"hidden"))):
                with self.assertRaises(InvalidRequest, msg=name):
                    multipart.find_model(form(*parts), TYPE)
        for body, kind in (
            (b"x\n--xx yy\r\n" + hidden + b"\r\n" + good, TYPE),
            (b"\n--xx yy\n" + hidden + b"\n" + good, TYPE),
            (b"--xx yy\n" + hidden + b"\r\n" + good, TYPE),
            (good.replace(b"yy\r\n", b"yy\n", 1), TYPE),
            (good.replace(b"yy\r\n", b"yyz\r\n", 1), TYPE),
            (good, TYPE + b"; boundary=z"),
            (good, b'multipart/form-data; boundary=z; Boundary = "xx yy"'),
            (good, TYPE + b"; boundary*0=z"),
            (good, TYPE + b"; a=" + b"b" * 1000),
        ):
            with self.assertRaises(InvalidRequest, msg=(body, kind)):
                multipart.find_model(body, kind)
