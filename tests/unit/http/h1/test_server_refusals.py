"""What is malformed or can be understood in two ways."""

from __future__ import annotations

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from skyproxy.http.h1.request_head import REQUEST_LINE, Refused, read_head
from tests.unit.http.server_support import Client, Served, get

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def head(*lines: bytes, start: bytes = b"POST / HTTP/1.1") -> bytes:
    return b"\r\n".join([start, b"Host: x", *lines, b"", b""])


HEADS = {
    "Content-Length twice": head(b"Content-Length: 1", b"Content-Length: 2"),
    "the same Content-Length twice": head(b"Content-Length: 0", b"Content-Length: 0"),
    "Content-Length as a list": head(b"Content-Length: 0, 0"),
    "negative Content-Length": head(b"Content-Length: -1"),
    "signed Content-Length": head(b"Content-Length: +1"),
    "Content-Length in hexadecimal": head(b"Content-Length: 0x1"),
    "Content-Length with a space": head(b"Content-Length: 1 1"),
    "empty Content-Length": head(b"Content-Length:"),
    "Content-Length of no number": head(b"Content-Length: one"),
    "Content-Length over 64 bits": head(b"Content-Length: 99999999999999999999"),
    "Content-Length and Transfer-Encoding": head(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "Transfer-Encoding and Content-Length": head(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "Transfer-Encoding twice": head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "Transfer-Encoding twice, one foreign": head(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
    "chunked twice": head(b"Transfer-Encoding: chunked, chunked"),
    "coding before chunked": head(b"Transfer-Encoding: gzip, chunked"),
    "coding after chunked": head(b"Transfer-Encoding: chunked, gzip"),
    "identity": head(b"Transfer-Encoding: identity"),
    "empty Transfer-Encoding": head(b"Transfer-Encoding:"),
    "vertical tab before chunked": head(b"Transfer-Encoding: \x0bchunked"),
    "no-break space before chunked": head(b"Transfer-Encoding: \xa0chunked"),
    "quoted chunked": head(b'Transfer-Encoding: "chunked"'),
    "Transfer-Encoding with HTTP/1.0": head(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0"),
    "bare LF after a field": b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
    "bare LF after the request line": b"GET / HTTP/1.1\nHost: x\r\n\r\n",
    "bare LF everywhere": b"GET / HTTP/1.1\nHost: x\n\n" + b"\r\n\r\n",
    "bare LF in a value": head(b"A: b\nTransfer-Encoding: chunked"),
    "bare CR in a value": head(b"A: b\rTransfer-Encoding: chunked"),
    "bare CR in a name": head(b"A\rB: b"),
    "CR CR LF": b"GET / HTTP/1.1\r\r\nHost: x\r\n\r\n",
    "LF before the request": b"\n" + get(),
    "two blank lines before the request": b"\r\n\r\n" + get(),
    "continuation line": head(b"A: b", b" c"),
    "continuation line with a tab": head(b"A: b", b"\tc: d"),
    "continuation of the request line": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "NUL in a value": head(b"A: b\0c"),
    "NUL in a name": head(b"A\0: b"),
    "NUL in the target": b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "control character": head(b"A: \x01"),
    "DEL": head(b"A: \x7f"),
    "space before the colon": head(b"Content-Length : 1"),
    "tab before the colon": head(b"A\t: 1"),
    "space in a name": head(b"A B: 1"),
    "no colon": head(b"A"),
    "no name": head(b": b"),
    "name that is no token": head(b"A(b): c"),
    "name that is not ASCII": head(b"\xc3\xa4: c"),
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": head(b"Host: x"),
    "two different Hosts": head(b"host: y"),
    "Host with a path": b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
    "Host with user information": b"GET / HTTP/1.1\r\nHost: a@x\r\n\r\n",
    "Host with a space": b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n",
    "bad Host with HTTP/1.0": b"GET / HTTP/1.0\r\nHost: x/y\r\n\r\n",
    "URL of another host": get(b"http://y/"),
    "URL of another port": get(b"http://x:81/"),
    "URL with user information": get(b"http://x@y/"),
    "URL without Host": b"GET http://x/ HTTP/1.0\r\n\r\n",
    "URL of another scheme": get(b"ftp://x/"),
    "CONNECT": get(b"x:443", method=b"CONNECT"),
    "CONNECT to a path": get(b"/", method=b"CONNECT"),
    "GET *": get(b"*"),
    "target without a slash": get(b"a"),
    "fragment": get(b"/a#b"),
    "target that is not ASCII": get(b"/\xc3\xa4"),
    "space in the target": get(b"/a b"),
    "two spaces": get(b" /"),
    "tab for a space": b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "space before the method": b" " + get(),
    "space after the version": b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
    "lower-case method": get(method=b"get"),
    "unknown method": get(method=b"FETCH"),
    "method of another protocol": get(method=b"DESCRIBE"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "lower-case version": b"GET / http/1.1\r\nHost: x\r\n\r\n",
    "version of two digits": b"GET / HTTP/1.10\r\nHost: x\r\n\r\n",
    "other protocol": b"GET / ICE/1.0\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)) + b"\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\r\n",
}

BODIES = {
    "negative chunk": b"-1\r\n",
    "signed chunk": b"+1\r\nx\r\n",
    "chunk size with 0x": b"0x1\r\nx\r\n",
    "chunk size over 64 bits": b"fffffffffffffffff\r\n",
    "chunk size that wraps around": b"10000000000000001\r\nx\r\n",
    "no chunk size": b"\r\n",
    "extension without a size": b";a=b\r\n",
    "space before the size": b" 1\r\nx\r\n",
    "space after the size": b"1 \r\nx\r\n",
    "LF after the size": b"1\nx\r\n0\r\n\r\n",
    "CR after the size": b"1\rx",
    "LF in an extension": b"1;a\nb\r\nx\r\n",
    "CR in an extension": b"1;a\rb\r\nx\r\n",
    "LF in a quoted extension": b'1;a="\n"\r\nx\r\n',
    "NUL in an extension": b"1;a\0\r\nx\r\n",
    "chunk longer than its size": b"1\r\nxy\r\n0\r\n\r\n",
    "LF after a chunk": b"1\r\nx\n0\r\n\r\n",
    "LF after the last chunk": b"0\n\n",
    "LF at the end": b"0\r\n\n",
    "Content-Length in the trailer": b"0\r\nContent-Length: 5\r\n\r\n",
    "malformed trailer": b"0\r\nA : b\r\n\r\n",
    "continuation in the trailer": b"0\r\nA: b\r\n c\r\n\r\n",
}


class RefusalTests(SynchronousTestCase):
    """Each is refused once, closed, and never reaches the site."""

    def check(self, data: bytes, status: int, name: object, *pieces: bytes) -> Client:
        served = Served()
        client = served.connect()
        client.send(*(pieces or (data,)))
        client.send(get(), b"more")
        found = client.answers("POST")
        self.assertEqual((found[0].status, found[0].headers["connection"]), (status, "close"), name)
        self.assertTrue(client.transport.half_closed, name)
        self.assertEqual(served.seen, [], name)
        return client

    def test_heads(self) -> None:
        for name, data in HEADS.items():
            self.check(data, 400, name)

    def test_bodies(self) -> None:
        for name, data in BODIES.items():
            self.check(CHUNKED + data, 400, name)

    def test_byte_by_byte(self) -> None:
        for name, data in [*HEADS.items(), *((name, CHUNKED + data) for name, data in BODIES.items())]:
            self.check(data, 400, name, *(data[at : at + 1] for at in range(len(data))))

    def test_after_a_good_request(self) -> None:
        for name, data in HEADS.items():
            if data.startswith((b"\n", b"\r")):
                continue
            served = Served()
            client = served.connect()
            client.send(get(b"/good") + data + get(b"/evil"))
            self.assertEqual([seen[1] for seen in served.seen], [b"/good"], name)
            self.assertEqual([answer.status for answer in client.answers("GET", "POST")], [200, 400], name)
            self.assertTrue(client.transport.half_closed, name)

    def test_other_versions(self) -> None:
        for version in (b"2.0", b"1.2", b"0.9", b"3.0"):
            self.check(get(version=version), 505, version)
        self.check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "preface of HTTP/2")

    def test_early(self) -> None:
        # Long before the end of the head.
        for data in (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\nc", b"\x16\x03\x01", b"GET /\r\n", b"\nGET", b"G\rE"):
            self.check(data, 400, data)

    def test_reason_says_nothing_of_the_request(self) -> None:
        client = self.check(b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization : secret\r\n\r\n", 400, "space")
        self.assertNotIn(b"secret", client.received)

    def test_request_object_is_let_go(self) -> None:
        served = Served()
        made: list[Request] = []
        factory = served.site.requestFactory
        served.site.requestFactory = lambda *args, **kwargs: made.append(factory(*args, **kwargs)) or made[-1]
        client = served.connect()
        client.send(CHUNKED, b"nonsense\r\n")
        self.assertEqual(client.answers("POST")[0].status, 400)
        self.assertTrue(made[0]._disconnected)
        client.leave()


class HeadTests(SynchronousTestCase):
    """read_head() does not rely on what llhttp refuses before."""

    def test_framing(self) -> None:
        line = REQUEST_LINE.match(b"POST / HTTP/1.1\r\n")
        assert line is not None
        length, coding = (b"content-LENGTH", b"5"), (b"Transfer-encoding", b"chunked")
        for fields in ([length, length], [length, coding], [coding, coding], [(length[0], b"+5")], [(length[0], b"")]):
            self.assertEqual(self.assertRaises(Refused, read_head, line, [(b"Host", b"x"), *fields]).status, 400)
        self.assertEqual(read_head(line, [(b"Host", b"x"), length])[1], 5)
        self.assertIsNone(read_head(line, [(b"Host", b"x"), coding])[1])


class LingerTests(SynchronousTestCase):
    """How the connection of a refused request ends."""

    def setUp(self) -> None:
        self.served = Served()
        self.client = self.served.connect()
        self.client.send(b"nonsense\r\n")

    def test_what_still_comes_is_dropped(self) -> None:
        self.assertFalse(self.client.transport.disconnecting)
        self.client.send(b"x" * 100_000, get())
        self.assertEqual(self.client.transport.producerState, "producing")
        self.assertEqual(len(self.client.answers("GET")), 1)

    def test_not_for_ever(self) -> None:
        self.served.pass_time(14)
        self.assertFalse(self.client.transport.aborted)
        self.served.pass_time(3)
        self.assertTrue(self.client.transport.aborted)

    def test_client_closes(self) -> None:
        self.client.leave()
        self.assertEqual(len(self.served.connections), 0)
        self.assertEqual(self.served.clock.getDelayedCalls(), [])


class ToldTests(SynchronousTestCase):
    """What the log tells of requests that nothing else tells of."""

    def told(self, *pieces: bytes, **limits: int) -> list[str]:
        with capturedLogs() as logged:
            Served(**limits).connect().send(*pieces)
        return [event["reason"] for event in logged if event["log_level"] is LogLevel.warn]

    def test_a_setting_that_is_wrong(self) -> None:
        hello = bytes.fromhex("16030100fa010000f60303") + bytes(range(200))
        for pieces in ((hello,), (hello[:2], hello[2:]), (b"\x16\x03\x01 a\r\n\r\n",)):
            (reason,) = self.told(*pieces)
            self.assertIn("begins with http://, not with https://", reason)
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        for pieces in ((preface,), (preface[:16], preface[16:]), (preface[:5], preface[5:])):
            (reason,) = self.told(*pieces)
            self.assertIn("HTTP/2 without TLS", reason)
        (reason,) = self.told(head(b"Content-Length: 11"), body_bytes=10)
        self.assertEqual(reason, "The body is over 10 bytes.")
        (reason,) = self.told(CHUNKED, b"b\r\n01234567890\r\n", body_bytes=10)
        self.assertEqual(reason, "The body is over 10 bytes.")

    def test_what_no_client_sends(self) -> None:
        for sent in (HEADS["negative Content-Length"], b"\x00\r\n\r\n", head(b"A: b", start=b"GET / HTTP/9")):
            self.assertEqual(self.told(sent), [])
