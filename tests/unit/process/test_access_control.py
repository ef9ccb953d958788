"""Keys that are revoked on one machine, and on those that hear of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.access import Access
from skyproxy.access.audit import Audit
from skyproxy.access.keys import digest, hash_of
from skyproxy.access.store import ClientStore
from skyproxy.config.access import ClientSettings
from skyproxy.process.access_control import AccessControl
from tests.unit.configs import config_of

CONFIGURED = "sky-configured"
TEXT = f"""
providers: {{a: {{base_url: 'http://127.0.0.1:9'}}}}
model_slots: {{default: {{provider: a, model: m}}}}
clients: {{serana: {{key_hash: "{hash_of(CONFIGURED)}"}}}}
"""


class Threads:
    """Does at once what is for a thread."""

    def callInThreadWithCallback(self, done: Any, call: Callable[..., Any], *arguments: Any) -> None:
        try:
            result, good = call(*arguments), True
        except Exception:
            result, good = Failure(), False
        done(good, result)


class RevokedTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        self.path = folder / "clients"
        self.store = ClientStore(self.path)
        for name in ("lydia", "faendal"):
            self.store.create(name, "client", ClientSettings(), digest(name.encode()))
        threads = Threads()
        self.reactor: Any = SimpleNamespace(
            getThreadPool=lambda: threads, callFromThread=lambda call, *arguments: call(*arguments)
        )
        self.access = Access(lambda config: self.path)
        self.revoked: list[Any] = []
        self.control = self.controlled(lambda: succeed(0))

    def controlled(self, elsewhere: Callable[[], Deferred[int]]) -> AccessControl:
        """
        :param elsewhere: tells how many requests of other workers were ended, once they follow.
        """
        control = AccessControl(
            self.reactor,
            config_of(TEXT),
            self.access,
            Audit(lambda: 0.0),
            lambda config: self.path,
            tuple,
            lambda _: None,  # type: ignore[arg-type,return-value]
            changed=elsewhere,
        )
        control.revoked = self.revoked.append  # type: ignore[method-assign,assignment]
        return control

    def opens(self, key: str) -> bool:
        return self.access.holder(key.encode()) is not None

    def test_what_people_revoke_is_told(self) -> None:
        self.successResultOf(self.control.revoke({"name": "lydia"}, "me"))
        self.assertEqual(self.revoked, [{digest(b"lydia")}])
        self.failureResultOf(self.control.revoke({"name": "lydia"}, "me"))
        self.successResultOf(self.control.rotate({"name": "faendal"}, "me"))
        self.assertEqual(len(self.revoked), 1)

    def test_what_was_revoked_before_is_known(self) -> None:
        self.store.revoke("faendal", forget=False)
        self.successResultOf(self.control.revoke({"name": "lydia"}, "me"))
        before = self.successResultOf(self.controlled(lambda: succeed(0)).revoked_before())
        self.assertEqual(set(before), {digest(b"lydia"), digest(b"faendal")})

    def test_other_machines_do_not_wait_for_a_worker_that_is_slow(self) -> None:
        slow = Deferred[int]()
        self.control = self.controlled(lambda: slow)
        done = self.control.revoke({"name": "lydia"}, "me")
        self.assertEqual(self.revoked, [{digest(b"lydia")}])
        self.assertNoResult(done)
        slow.callback(2)
        self.assertEqual(self.successResultOf(done)["ended"], 2)

    def test_what_was_revoked_elsewhere(self) -> None:
        self.successResultOf(self.control.revoke_keys(lambda each: each == digest(b"lydia"), "another machine"))
        self.assertEqual((self.opens("lydia"), self.opens("faendal")), (False, True))
        self.assertEqual(self.revoked, [], "it is not told again")
        # Another skyproxy of the same file knows it, too.
        self.assertEqual([each.name for each in self.store.read() if each.keys], ["faendal"])

    def test_what_was_prepared_in_a_thread_is_taken(self) -> None:
        config = config_of(TEXT)
        self.control.prepare(config)
        self.patch(self.access, "prepare", None)
        self.control.take(config, lambda _: None)
        self.assertTrue(self.opens("lydia"))

    def test_keys_that_were_revoked_after_it_was_prepared(self) -> None:
        config = config_of(TEXT)
        self.control.prepare(config)
        self.successResultOf(self.control.revoke({"name": "lydia"}, "me"))
        self.control.take(config, lambda _: None)
        self.assertEqual((self.opens("lydia"), self.opens("faendal")), (False, True))

    def test_another_configuration_than_the_one_that_was_prepared(self) -> None:
        self.control.prepare(config_of("providers: {a: {base_url: 'http://127.0.0.1:1/v1'}}"))
        self.control.take(config_of(TEXT), lambda _: None)
        self.assertTrue(self.opens(CONFIGURED))

    def test_what_nobody_here_has(self) -> None:
        before = self.path.read_bytes()
        self.successResultOf(self.control.revoke_keys(lambda each: False, "another machine"))
        self.assertEqual(self.path.read_bytes(), before)

    def test_a_key_of_the_configuration_is_left_with_a_word(self) -> None:
        with capturedLogs() as logs:
            self.successResultOf(self.control.revoke_keys(lambda each: each == digest(CONFIGURED.encode()), "x"))
        self.assertTrue(self.opens(CONFIGURED))
        self.assertEqual(len([each for each in logs if each["log_level"].name == "warn"]), 1)
