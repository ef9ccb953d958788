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
