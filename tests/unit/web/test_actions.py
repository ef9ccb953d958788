"""skyproxy.web.actions, .acting and .session"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address

from skyproxy.pipeline.changes import Target
from skyproxy.web.admin import AdminApi
from tests.unit.configs import config_of
from tests.unit.web.support import CONFIG, Line, WebCase

PAGE = "page at 127.0.0.1"
TOKEN = "0123456789abcdef"


class ActionsTests(WebCase):
    def session(self) -> dict[str, str]:
        """What the page brings."""
        answer = self.ask("GET", "/api/session")
        self.assertEqual(answer.status, 200)
        return {"Cookie": answer.headers["set-cookie"].partition(";")[0], "X_Skyproxy_Csrf": answer.json()["csrf"]}

    def test_each_action_is_done_as_it_was_sent(self) -> None:
        ours = self.session()
        for path, body, expected in (
            ("/api/pause", {"provider": "a"}, ("pause", (Target("a"), PAGE), False)),
            ("/api/pause", {"slot": "s", "dry_run": True}, ("pause", (Target(slot="s"), PAGE), True)),
            ("/api/resume", {"provider": "a", "model": "m"}, ("resume", (Target("a", "m"), PAGE), False)),
            ("/api/breaker/close", {"provider": "a"}, ("close_breaker", (Target("a"), PAGE), False)),
            ("/api/key/aside", {"provider": "a", "key": "K"}, ("put_aside", (Target("a", key="K"), PAGE), False)),
            ("/api/key/back", {"provider": "a", "key": "K"}, ("put_back", (Target("a", key="K"), PAGE), False)),
            ("/api/set", {"slot": "s", "set": {"k": 1}}, ("set", (Target(slot="s"), {"k": 1}, PAGE), False)),
            ("/api/profile/p%20q", None, ("profile", ("p q", PAGE), False)),
            ("/api/cache/purge", {"dry_run": True}, ("purge", (PAGE,), True)),
            ("/api/undo/t-1", None, ("undo", ("t-1", PAGE), False)),
            ("/api/keep/last", {"dry_run": True}, ("keep", ("last", PAGE), True)),
        ):  # fmt: skip
            answer = self.ask("POST", path, body, **ours)
            self.assertEqual(answer.status, 200, (path, answer.body))
            self.assertEqual(answer.headers["cache-control"], "no-store")
            self.assertEqual(self.operations.done[-1], expected)
        self.assertEqual(self.ask("GET", "/api/changes").status, 200)
        answer = self.ask("POST", "/api/reload", **ours)
        self.assertTrue(answer.json()["good"])
        self.assertEqual(self.asked_to_reload, [PAGE])

    def test_what_cannot_be_understood(self) -> None:
        ours = self.session()
        for path, body, param in (
            ("/api/pause", b"{", None),
            ("/api/pause", b"[]", None),
            ("/api/pause", {"provider": ["a"]}, "provider"),
            ("/api/pause", {"provider": "a", "dry_run": 1}, "dry_run"),
            ("/api/pause", {"provider": "a", "sets": {}}, "sets"),
            ("/api/set", {"provider": "a"}, "set"),
            ("/api/set", {"provider": "a", "set": [1]}, "set"),
            ("/api/undo/x", {"provider": "a"}, "provider"),
        ):
            answer = self.ask("POST", path, body, **ours)
            self.assertEqual((answer.status, answer.json()["error"]["param"]), (400, param), path)
        self.assertEqual(self.ask("POST", "/api/pause", b"x" * 70_000, **ours).status, 413)
        self.assertEqual(self.operations.done, [])

    def test_who_may_not(self) -> None:
        ours = self.session()
        for why, changed in (
            ("no cookie", {"Cookie": ""}),
            ("a cookie of another port", {"Cookie": ours["Cookie"].replace("skyproxy", "other")}),
            ("an odd cookie", {"Cookie": "skyproxy_80=a b"}),
            ("no header", {"X_Skyproxy_Csrf": ""}),
            ("another header", {"X_Skyproxy_Csrf": "0" * 64}),
            ("a page elsewhere", {"Origin": "https://chat.example"}),
            ("another port of this machine", {"Origin": "http://localhost:8080"}),
            ("a page without an origin", {"Origin": "null"}),
            ("as the browser says", {"Sec_Fetch_Site": "cross-site"}),
            ("as the browser says of another port", {"Sec_Fetch_Site": "same-site"}),
        ):
            for path in ("/api/pause", "/api/reload", "/api/profile/p", "/api/keep/last"):
                answer = self.ask("POST", path, **{**ours, **changed})
                self.assertEqual(answer.status, 403, (why, path))
        for path in ("/api/pause", "/api/set", "/api/undo/last", "/api/keep/last", "/api/reload"):
            self.assertEqual(self.ask("GET", path, **ours).status, 405, path)
        self.assertEqual((self.operations.done, self.asked_to_reload), ([], []))
        self.assertEqual(self.ask("POST", "/api/pause", {"slot": "s"}, Origin="http://localhost", **ours).status, 200)

    def test_other_machines_and_other_names(self) -> None:
        head = b"%b HTTP/1.1\r\nHost: %b\r\nContent-Length: 0\r\n\r\n"
        for asked in (b"GET /api/session", b"GET /api/changes", b"POST /api/pause", b"GET /api/profile/p?token=x"):
            far = Line(self.site, IPv4Address("TCP", "192.0.2.7", 5)).send(head % (asked, b"localhost"))
            self.assertIn(b" 403 ", far.received, (asked, far.received))
            method, path = asked.decode().split()
            self.assertEqual(self.ask(method, path, Host="evil.example").code, "host_not_allowed")
        self.assertEqual(self.operations.done, [])

    def test_a_session_is_as_good_as_its_process(self) -> None:
        first, again = self.ask("GET", "/api/session"), self.ask("GET", "/api/session")
        self.assertEqual(first.json(), again.json(), "the browser has sent its cookie")
        cookie = first.headers["set-cookie"]
        self.assertTrue(cookie.endswith("; Path=/; HttpOnly; SameSite=Strict"), cookie)
        same = self.ask("GET", "/api/session", Cookie=f"a=b; {cookie.partition(';')[0]}; c")
        self.assertEqual(same.json()["csrf"], first.json()["csrf"], "several tabs have one")
        self.assertEqual(first.headers["cache-control"], "no-store")

    def test_hotkeys(self) -> None:
        path = f"/api/profile/p?token={TOKEN}"
        self.assertIn("holds nothing", self.ask("GET", path).json()["error"]["message"])
        self.config = config_of(CONFIG, SKYPROXY_PROFILE_TOKEN=TOKEN)
        for method in ("GET", "POST"):
            answer = self.ask(method, path)
            self.assertEqual((answer.status, answer.json()), (200, {"v": 1, "id": "t-1", "text": "profile was done."}))
        self.assertEqual(self.ask("GET", "/api/profile/p", Authorization=f"Bearer {TOKEN}").status, 200)
        self.assertEqual(self.operations.done, [("profile", ("p", "hotkey at 127.0.0.1"), False)] * 3)
        for wrong in ("/api/profile/p", "/api/profile/p?token=", f"{path}x", f"/api/profile/p?token={TOKEN[:-1]}"):
            self.assertEqual(self.ask("GET", wrong).status, 403, wrong)
        for headers in ({"Origin": "http://localhost:1"}, {"Sec_Fetch_Site": "cross-site"}):
            self.assertEqual(self.ask("GET", path, **headers).status, 403)
        for other in ("/api/pause", "/api/undo/last", "/api/reload", "/api/keep/last"):
            self.assertEqual(self.ask("POST", f"{other}?token={TOKEN}", {"slot": "s"}).status, 403, other)
        self.assertEqual(len(self.operations.done), 3)

    def test_at_the_admin_socket(self) -> None:
        operations: Any = self.operations
        actions: Any = None
        admin = AdminApi(actions, dict, "token", None, operations)
        self.treq._agent._serverFactory.resource._klein = admin.app
        self.treq._agent._serverFactory.resource._app = admin.app
        self.treq._agent._serverFactory.resource._known = {}
        self.assertEqual(self.ask("POST", "/api/pause", {"provider": "a"}).status, 401)
        answer = self.ask("POST", "/api/pause", {"provider": "a"}, X_Skyproxy_Token="token")
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.operations.done, [("pause", (Target("a"), "this user, by the admin socket"), False)])
        nobody = AdminApi(actions, dict, None)
        self.treq._agent._serverFactory.resource._klein = nobody.app
        self.treq._agent._serverFactory.resource._app = nobody.app
        self.assertEqual(self.ask("POST", "/api/pause", {"provider": "a"}).status, 503)
