"""Responses, cut anywhere, are read the same; what is no response is refused."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import UNKNOWN_LENGTH

from skyproxy.http.h1.response_reader import BadResponse, ResponseReader

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2 \r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-T: 1\r\n\r\n"


def read(reader: ResponseReader, pieces: list[bytes]) -> bytes:
    body = b""
    for piece in pieces:
        reader.receive(piece)
        body += b"".join(reader.parts)
    return body


class ReaderTests(SynchronousTestCase):
    """ResponseReader."""

    def test_framings_at_every_split(self) -> None:
        for response in (LENGTH, CHUNKED):
            for at in range(1, len(response)):
                reader = ResponseReader()
                self.assertEqual(read(reader, [response[:at], response[at:]]), b"hello")
                self.assertTrue(reader.complete and reader.keep_alive)
                assert reader.head is not None
                self.assertEqual(reader.head.status, 200)
                self.assertTrue(reader.head.framed)

    def test_fields_as_they_came(self) -> None:
        reader = ResponseReader()
        reader.receive(LENGTH)
        assert reader.head is not None
        self.assertEqual(reader.head.fields, [(b"Content-Length", b"5"), (b"X-A", b"1"), (b"x-a", b"2")])
        self.assertEqual(reader.head.length, 5)

    def test_one_after_the_other(self) -> None:
        reader = ResponseReader()
        for _ in range(3):
            self.assertEqual(read(reader, [CHUNKED]), b"hello")
            reader.next(bodyless=False)
            self.assertEqual(read(reader, [LENGTH]), b"hello")
            reader.next(bodyless=False)

    def test_interim_responses_are_passed_over(self) -> None:
        reader = ResponseReader()
        hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        self.assertEqual(read(reader, [b"HTTP/1.1 100 Continue\r\n\r\n", hint + LENGTH]), b"hello")
        assert reader.head is not None
        self.assertEqual(reader.head.fields[0], (b"Content-Length", b"5"))
        with self.assertRaises(BadResponse):
            ResponseReader().receive(hint * 100)

    def test_a_head_in_pieces_behind_an_interim_one(self) -> None:
        data = b"HTTP/1.1 103 Hints\r\nLink: </a>\r\nContent-Length: 3\r\n\r\n\r\n" + LENGTH
        for at in range(1, len(data)):
            for size in (1, 7, len(data)):
                reader = ResponseReader()
                pieces = [data[:at], *(data[each : each + size] for each in range(at, len(data), size))]
                self.assertFalse(reader.begun)
                self.assertEqual(read(reader, pieces), b"hello")
                assert reader.head is not None
                self.assertEqual(
                    reader.head.fields, [(b"Content-Length", b"5"), (b"X-A", b"1"), (b"x-a", b"2")], (at, size)
                )

    def test_values_are_bare(self) -> None:
        reader = ResponseReader()
        reader.receive(b"HTTP/1.1 200\r\nA:\r\nB: \t \r\nC:\t a:  b\t \r\nD:\xc3\xa9\r\nContent-Length:0\r\n\r\n")
        assert reader.head is not None
        self.assertEqual(reader.head.fields[:3], [(b"A", b""), (b"B", b""), (b"C", b"a:  b")])
        self.assertEqual(reader.head.fields[3:], [(b"D", b"\xc3\xa9"), (b"Content-Length", b"0")])

    def test_status_lines(self) -> None:
        for line, version, phrase in (
            (b"HTTP/1.1 200 OK", (b"HTTP", 1, 1), b"OK"),
            (b"HTTP/1.0 200 Not so  bad ", (b"HTTP", 1, 0), b"Not so  bad "),
            (b"HTTP/1.1 200 ", (b"HTTP", 1, 1), b""),
            (b"\r\nHTTP/1.1 200", (b"HTTP", 1, 1), b""),
        ):
            reader = ResponseReader()
            reader.receive(line + b"\r\nContent-Length: 0\r\n\r\n")
            assert reader.head is not None
            self.assertEqual((reader.head.version, reader.head.phrase), (version, phrase), line)

    def test_no_body(self) -> None:
        for start in (b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"):
            reader = ResponseReader()
            reader.receive(start)
            self.assertTrue(reader.complete and reader.keep_alive)
        reader = ResponseReader()
        reader.next(bodyless=True)
        reader.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        self.assertTrue(reader.complete)
        reader = ResponseReader()
        reader.next(bodyless=True)
        self.assertEqual(read(reader, [LENGTH]), b"")
        self.assertTrue(reader.complete)

    def test_body_until_the_end(self) -> None:
        reader = ResponseReader()
        self.assertEqual(read(reader, [b"HTTP/1.0 200 OK\r\n\r\n", b"all of it"]), b"all of it")
        self.assertFalse(reader.complete)
        assert reader.head is not None
        self.assertFalse(reader.head.framed)
        self.assertIs(reader.head.length, UNKNOWN_LENGTH)

    def test_close_is_honoured(self) -> None:
        reader = ResponseReader()
        reader.receive(LENGTH.replace(b"X-A: 1", b"Connection: close"))
        self.assertTrue(reader.complete)
        self.assertFalse(reader.keep_alive)

    def test_keep_alive_timeout(self) -> None:
        for value, seconds in ((b"timeout=5, max=100", 5.0), (b"max=3,timeout=120", 120.0), (b"max=3", None)):
            reader = ResponseReader()
            reader.receive(LENGTH.replace(b"X-A: 1", b"Keep-Alive: " + value))
            assert reader.head is not None
            self.assertEqual(reader.head.keep_alive, seconds)

    def test_junk_after_the_end_spoils_the_connection_not_the_answer(self) -> None:
        for junk in (b"junk", LENGTH, b"\x00"):
            reader = ResponseReader()
            self.assertEqual(read(reader, [LENGTH + junk]), b"hello")
            self.assertTrue(reader.complete)
            self.assertFalse(reader.keep_alive, junk)

    def test_refused(self) -> None:
        for response in (
            b"SSH-2.0-x\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 099 None\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000,
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw",
        ):
            with self.assertRaises(BadResponse, msg=response[:60]) as refused:
                ResponseReader().receive(response)
            self.assertRegex(str(refused.exception), r"^[A-Z][^<]*[a-z][^<]*\.$")

    def test_what_came_before_the_fault_still_holds(self) -> None:
        reader = ResponseReader()
        with self.assertRaises(BadResponse):
            reader.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\nzz\r\n")
        self.assertEqual(reader.parts, [b"hel"])
