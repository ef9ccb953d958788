"""Who is let in, by what, and what a browser must bring."""

from __future__ import annotations

from twisted.internet.address import IPv4Address

from skyproxy.access.keys import hash_of, new_key
from tests.unit.configs import config_of
from tests.unit.web.support import CONFIG, Answer, Line, WebCase

CLIENT, LIMITED, ADMIN, METRICS = (new_key() for _ in range(4))
CLIENTS = f"""
clients:
  lydia: {{key_hash: '{hash_of(CLIENT)}'}}
  faendal: {{key_hash: '{hash_of(LIMITED)}', slots: [default]}}
access: {{admin: {{key_hash: '{hash_of(ADMIN)}'}}, metrics: {{key_hash: '{hash_of(METRICS)}'}}}}
"""
CHAT = {"model": "default", "messages": []}


class DoorTests(WebCase):
    """Door, Logins"""

    def setUp(self) -> None:
        super().setUp()
        self.proxy.act = lambda _, client: client.answer(200, [], b"{}")

    def use(self, text: str = CLIENTS) -> None:
        config = config_of(CONFIG + text)
        self.access.use(config, self.access.prepare(config))

    def by(self, key: str, path: str, method: str = "GET", body: object = None, **headers: str) -> Answer:
        return self.ask(method, path, body, **{"Authorization": f"Bearer {key}", **headers})

    def login(self, key: str = ADMIN, **headers: str) -> Answer:
        return self.ask("POST", "/api/login", {"key": key}, **headers)

    def test_nothing_is_in_the_way_without_clients(self) -> None:
        self.use("")
        self.by("anything", "/v1/chat/completions", "POST", CHAT)
        request = self.proxy.served[-1][0]
        self.assertEqual((request.identity, request.credentials), (None, b"Bearer anything"))
        self.assertEqual(self.audit.refused, {})

    def test_each_key_opens_its_own(self) -> None:
        self.use()
        paths = ("/v1/models", "/metrics", "/api/now", "/api/setup", "/api/stats", "/api/changes")
        for key, opened in (
            (CLIENT, {"/v1/models"}), (METRICS, {"/metrics"}), (ADMIN, set(paths)), (new_key(), set()), ("", set()),
        ):  # fmt: skip
            found = {path for path in paths if self.by(key, path).status == 200}
            self.assertEqual(found, opened, key)
        for path in ("/healthz", "/readyz", "/", "/guide/player"):
            self.assertEqual(self.ask("GET", path).status, 200, path)
        # As they may be written, too: no way of writing a path makes it another one's.
        for path in ("/%61pi/now", "/api/now/", "//api/now", "/api//now", "/API/now", "/api/now%2f"):
            self.assertNotEqual(self.by(CLIENT, path).status, 200, path)

    def test_the_client_goes_with_its_request(self) -> None:
        self.use()
        for name, value in (("Authorization", f"Bearer {CLIENT}"), ("X_Api_Key", CLIENT), ("Api_Key", CLIENT)):
            self.ask("POST", "/v1/chat/completions", CHAT, **{name: value})
            request = self.proxy.served[-1][0]
            assert request.identity is not None
            self.assertEqual((request.identity.name, request.credentials), ("lydia", b"lydia"))
            self.assertNotIn(CLIENT.encode(), b"".join(value for _, value in request.headers))
        count = len(self.proxy.served)
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {CLIENT}"}):
            answer = self.ask("POST", "/v1/chat/completions", CHAT, **headers)
            self.assertEqual((answer.status, answer.code), (401, "invalid_api_key"))
            self.assertEqual(answer.headers["www-authenticate"], "Bearer")
        self.assertEqual(len(self.proxy.served), count)

    def test_models_are_those_that_the_client_may_ask_for(self) -> None:
        self.use()
        self.assertEqual([each["id"] for each in self.by(LIMITED, "/v1/models").json()["data"]], ["default"])
        self.assertEqual(len(self.by(CLIENT, "/v1/models").json()["data"]), 2)
        self.assertEqual(self.by(LIMITED, "/v1/models/combat/fast").status, 404)

    def test_where_no_key_is_needed_known_ones_tell_who_asks(self) -> None:
        self.use(CLIENTS.replace("access: {", "access: {required: false, "))
        for key, name in ((CLIENT, "lydia"), ("anything", None)):
            self.by(key, "/v1/chat/completions", "POST", CHAT)
            identity = self.proxy.served[-1][0].identity
            self.assertEqual(None if identity is None else identity.name, name)
        self.assertEqual(self.ask("GET", "/api/now").status, 200)

    def test_other_machines(self) -> None:
        far = IPv4Address("TCP", "192.0.2.7", 5)
        head = b"GET %b HTTP/1.1\r\nHost: skyproxy.example\r\n%b\r\n"
        admin = b"X-Api-Key: %b\r\n" % ADMIN.encode()
        for text, path, fields, status in (
            ("access: {required: false}", b"/api/now", b"", b"403"),
            ("access: {required: false}", b"/", b"", b"403"),
            ("access: {required: false}", b"/metrics", b"", b"200"),
            (CLIENTS, b"/api/now", b"", b"401"),
            (CLIENTS, b"/api/now", admin, b"200"),
            (CLIENTS, b"/", b"", b"200"),
            (CLIENTS.replace("access: {", "access: {required: false, "), b"/api/now", b"", b"401"),
            (CLIENTS.replace("access: {", "access: {required: false, "), b"/metrics", b"", b"401"),
        ):
            self.use(text)
            received = Line(self.site, far).send(head % (path, fields)).received
            self.assertEqual(received[9:12], status, (text, path, received))

    def test_the_page_is_the_same_by_whichever_name_a_browser_has_it(self) -> None:
        """Browsers send the page's own origin with its programs, and with what it does."""
        far, spared = IPv4Address("TCP", "192.0.2.7", 5), CLIENTS.replace("access: {", "access: {required: false, ")
        for text, host, origin, status in (
            (CLIENTS, b"192.168.1.5:35791", b"http://192.168.1.5:35791", b"200"),
            (CLIENTS, b"Gaming-PC:35791", b"http://gaming-pc:35791", b"200"),
            # TLS ended at a proxy in front.
            (CLIENTS, b"llm.example", b"https://llm.example", b"200"),
            (CLIENTS, b"llm.example", b"https://evil.example", b"403"),
            (CLIENTS, b"llm.example", b"http://llm.example:81", b"403"),
            # Without a key a page could have its own name lead here, and spend what it likes; an address is nobody's.
            (spared, b"rebound.example", b"http://rebound.example", b"403"),
            (spared, b"192.168.1.5:35791", b"http://192.168.1.5:35791", b"200"),
            (spared, b"[fd00::5]:35791", b"http://[fd00::5]:35791", b"200"),
            (spared, b"my.box", b"http://my.box", b"200"),
        ):
            self.use(text)
            for path in (b"/", b"/v1/models"):
                key = b"X-Api-Key: %b\r\n" % CLIENT.encode()
                head = b"GET %b HTTP/1.1\r\nHost: %b\r\nOrigin: %b\r\n%b\r\n" % (path, host, origin, key)
                received = Line(self.site, far).send(head).received
                self.assertEqual(received[9:12], status, (text, path, received))
        self.use()
        self.assertEqual(self.login(Origin="https://localhost").status, 200)

    def test_logins(self) -> None:
        self.use()
        for wrong in (CLIENT, METRICS, ADMIN[:-1], new_key(), "é"):
            self.assertIn(self.login(wrong).status, (400, 401), wrong)
        self.assertEqual(self.ask("POST", "/api/login", {"key": 5}).status, 400)
        for headers in ({"Origin": "http://localhost:81"}, {"Origin": "null"}, {"Sec_Fetch_Site": "same-site"}):
            self.assertEqual(self.login(**headers).status, 403, headers)
        cookie = self.login().headers["set-cookie"]
        self.assertTrue(cookie.endswith("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), cookie)
        ours = {"Cookie": cookie.partition(";")[0]}
        self.assertEqual(self.ask("GET", "/api/now", **ours).status, 200)
        self.assertEqual(self.ask("GET", "/api/now", Sec_Fetch_Site="same-site", **ours).status, 403)
        # To act, and to ask a model, takes what only the page knows.
        for path, body in (("/api/pause", {"slot": "default"}), ("/v1/chat/completions", CHAT)):
            self.assertEqual(self.ask("POST", path, body, **ours).status, 403, path)
        session = self.ask("GET", "/api/session", **ours)
        both = f"{ours['Cookie']}; {session.headers['set-cookie'].partition(';')[0]}"
        proven = {"Cookie": both, "X_Skyproxy_Csrf": session.json()["csrf"]}
        self.assertEqual(self.ask("POST", "/api/pause", {"slot": "default"}, **proven).status, 200)
        self.assertIn("page with admin key", self.operations.done[-1][1][-1])
        self.ask("POST", "/v1/chat/completions", CHAT, **proven)
        identity = self.proxy.served[-1][0].identity
        assert identity is not None
        self.assertEqual(identity.name, "admin")
        self.clock.advance(12 * 3600)
        self.assertEqual(self.ask("GET", "/api/now", **ours).status, 401)

    def test_a_login_is_as_good_as_its_key(self) -> None:
        self.use()
        ours = {"Cookie": self.login().headers["set-cookie"].partition(";")[0]}
        self.use(CLIENTS.replace(hash_of(ADMIN), hash_of(new_key())))
        self.assertEqual(self.ask("GET", "/api/now", **ours).status, 401)
        self.use()
        self.assertEqual(self.ask("GET", "/api/now", **ours).status, 200)
        gone = self.ask("POST", "/api/logout", {}, **ours).headers["set-cookie"]
        self.assertIn("Max-Age=0", gone)
        self.assertEqual(self.ask("GET", "/api/now", **ours).status, 401)

    def test_logins_are_bounded(self) -> None:
        self.use()
        first = {"Cookie": self.login().headers["set-cookie"].partition(";")[0]}
        for _ in range(100):
            last = {"Cookie": self.login().headers["set-cookie"].partition(";")[0]}
        self.assertEqual(self.ask("GET", "/api/now", **first).status, 401)
        self.assertEqual(self.ask("GET", "/api/now", **last).status, 200)

    def test_forwarded_requests(self) -> None:
        for text, near, status in (
            ("", "/api/now", 403),
            ("access: {required: false}", "/api/now", 403),
            ("access: {trust_forwarded_from: 10.0.0.1}", "/v1/models", 403),
            (CLIENTS.replace("access: {", "access: {trust_forwarded_from: 127.0.0.0/8, "), "/v1/models", 401),
            ("access: {required: false}", "/v1/models", 200),
            ("access: {trust_forwarded_from: 10.0.0.1}", "/healthz", 200),
        ):
            self.use(text)
            for header in ("Via", "Forwarded", "X_Forwarded_For", "X_Real_IP"):
                self.assertEqual(self.ask("GET", near, **{header: "x"}).status, status, (text, near, header))
